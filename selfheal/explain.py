"""What pydantic found, in words that say what was expected: (path, message, whether it is about the key)."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

Path = tuple[str | int, ...]

_EXPECTED = {
    "string_type": "expected a string",
    "int_type": "expected a whole number",
    "bool_type": "expected true or false",
    "list_type": "expected a list",
    "dict_type": "expected a mapping",
    "model_type": "expected a mapping",
    "model_attributes_type": "expected a mapping",
}


def explained(
    model: type[BaseModel], error: ValidationError, skip: Callable[[Any], bool] = lambda _: False, beside: Sequence[str] = ()
) -> Iterator[tuple[Path, str, bool]]:
    """Each fault once: branches of a union that say the same of the same place are one.

    `skip`: values that are not judged yet; what is missing or unknown beside them is. `beside`: keys that may stand beside the
    model's own, for the nearest known one.
    """
    seen = set()
    for each in error.errors(include_url=False):
        path, known = _walk(model, each["loc"])
        kind, key = each["type"], each["loc"][-1] if each["loc"] else ""
        if kind not in ("extra_forbidden", "missing") and skip(each["input"]):
            continue
        if kind == "extra_forbidden":
            fault = path, unknown_key(str(key), known + list(beside) * (len(path) == 1)), True
        elif kind == "missing":
            fault = path[:-1], f"{key!r} is missing", False
        elif key == "[key]":
            fault = path, f"is no name that can stand here: {_reason(each)}", True
        else:
            said = _message(each)
            fault = path, f"{path[-1]}: {said}" if path and isinstance(path[-1], str) else said, False
        if fault not in seen:
            seen.add(fault)
            yield fault


def unknown_key(key: str, known: list[str]) -> str:
    """`unknown key 'step'; did you mean 'steps'?`"""
    near = difflib.get_close_matches(key[:100], known, 1)
    if near:
        return f"unknown key {key[:60]!r}; did you mean {near[0]!r}?"
    return f"unknown key {key[:60]!r}; known here: {', '.join(known) or 'none'}"


def _message(each: Any) -> str:
    kind, got = each["type"], each["input"]
    shown = "nothing" if got is None else repr(got) if len(repr(got)) <= 60 else f"{type(got).__name__} of {len(got)}"
    if kind in ("literal_error", "enum"):
        return f"expected {each['ctx']['expected']}, got {shown}"
    if kind in _EXPECTED:
        return f"{_EXPECTED[kind]}, got {shown}"
    return _reason(each) if kind == "value_error" else f"{_reason(each)}, got {shown}"


def _reason(each: Any) -> str:
    text = str(each["msg"]).removeprefix("Value error, ").replace("Input should", "should")
    return text


def _walk(model: type[BaseModel], loc: tuple[str | int, ...]) -> tuple[Path, list[str]]:
    """The path in the document (pydantic's own marks for unions and keys left out) and the keys known where it ends."""
    path: list[str | int] = []
    types: list[Any] = [model]
    known: list[str] = []
    for part in loc:
        inner = [t for each in types for t in _inner(each, part)]
        models = [t for t in types if isinstance(t, type) and issubclass(t, BaseModel)]
        if not inner and not _fits(types, part):
            continue
        known = [name for t in models for name in _names(t)]
        path.append(part)
        types = inner
    return tuple(path), known


def _fits(types: list[Any], part: str | int) -> bool:
    """Whether `part` can be a key or a position where such a type stands, known or not."""
    if isinstance(part, int):
        return any(t is Any or get_origin(t) is list for t in types)
    models = any(t is Any or (isinstance(t, type) and issubclass(t, BaseModel)) for t in types)
    return models and part != "[key]"


def _inner(kind: Any, part: str | int) -> list[Any]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        fields = {(field.alias or name): field for name, field in kind.model_fields.items()}
        if "root" in fields:
            return [t for each in _flat(fields["root"].annotation) for t in _inner(each, part)]
        return _flat(fields[part].annotation) if part in fields else []
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is dict and isinstance(part, str) and part != "[key]":
        return _flat(arguments[1])
    if origin is list and isinstance(part, int):
        return _flat(arguments[0])
    return []


def _names(kind: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in kind.model_fields.items() if name != "root"]


def _flat(annotation: Any) -> list[Any]:
    """The types that an annotation allows, without Annotated and unions around them."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _flat(arguments[0])
    if origin in (Union, UnionType):
        return [t for each in arguments for t in _flat(each)]
    return [annotation]
