"""Strict reading of YAML, with the line and column of everything.

Rules that this module keeps:
1. Values are strings, whole numbers, true, false, null, lists, and mappings with string keys. Anything else is refused where it
   stands: anchors, aliases, tags, duplicate keys, fractions (write them as quoted strings), a second document.
2. Nothing is built before it is bounded: at most 256 KiB, at most 32 levels.
3. Only `true`, `false` and `null` (or nothing) mean themselves; `yes`, `on`, dates and hexadecimal numbers are plain strings.
4. Every fault is `Invalid` with file:line:column, says what was expected, and names the nearest known key for an unknown one.

    document = read(text, "services.yaml")
    services = shaped(document, ServicesFile)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from selfheal.canonical import MAX_INTEGER
from selfheal.errors import Invalid, InvalidDocument, TooLarge
from selfheal.explain import explained

MAX_BYTES = 256 * 1024
MAX_DEPTH = 32
Path = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FRACTION = re.compile(r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?|[-+]?\.(inf|nan)", re.IGNORECASE)
_WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}


@dataclass
class Document:
    """A value and where each part of it stands; lines and columns count from 1."""

    file: str
    value: Any = None
    values: dict[Path, tuple[int, int]] = field(default_factory=dict)
    keys: dict[Path, tuple[int, int]] = field(default_factory=dict)

    def place(self, path: Path, *, key: bool = False) -> tuple[int, int]:
        """Where `path` stands, or the nearest part around it that there is."""
        if key and path in self.keys:
            return self.keys[path]
        while path and path not in self.values:
            path = path[:-1]
        return self.values.get(path, (1, 1))

    def fault(self, message: str, path: Path = (), *, key: bool = False) -> Invalid:
        """An error that points at `path`."""
        line, column = self.place(path, key=key)
        return Invalid(message, field=".".join(map(str, path)), file=self.file, line=line, column=column)


def read(text: str, file: str) -> Document:
    """The document that `text` holds. Raises Invalid (one fault: reading stops there) or TooLarge."""
    if len(text.encode("utf-8", "replace")) > MAX_BYTES:
        raise TooLarge(f"is larger than {MAX_BYTES // 1024} KiB", file=file, line=1, column=1)
    document = Document(file)
    try:
        _Reader(document, text).run()
    except YAMLError as error:
        line, column = _mark(error)
        raise Invalid(f"is no YAML: {_problem(error)}", file=file, line=line, column=column) from None
    except (ValueError, OverflowError) as error:
        raise Invalid(f"is no YAML: {error}", file=file, line=1, column=1) from None
    return document


def shaped(document: Document, model: type[Model]) -> Model:
    """The document as a `model`. Raises InvalidDocument with every fault."""
    try:
        return model.model_validate(document.value)
    except ValidationError as error:
        raise InvalidDocument(faults(document, model, error)) from None


def faults(
    document: Document,
    model: type[BaseModel],
    error: ValidationError,
    under: Path = (),
    skip: Callable[[Any], bool] = lambda _: False,
    beside: Sequence[str] = (),
) -> list[Invalid]:
    """What pydantic found wrong with the part at `under`, each where it stands; `skip` and `beside` as `explained` has them."""
    found = []
    for path, message, at_key in explained(model, error, skip, beside):
        found.append(document.fault(message, (*under, *path), key=at_key))
    return sorted(found, key=lambda fault: (fault.line, fault.column))


class _Reader:
    """Builds the value from the parser's events, one level a call."""

    def __init__(self, document: Document, text: str) -> None:
        self.document = document
        self.events: Iterator[Any] = YAML(typ="safe", pure=True).parse(text)

    def run(self) -> None:
        seen = False
        for event in self.events:
            if isinstance(event, DocumentStartEvent):
                if seen:
                    raise self._refuse(event, "one file holds one document; this begins a second one")
                seen = True
                self.document.value = self._value(next(self.events), ())
            elif isinstance(event, StreamEndEvent):
                return

    def _value(self, event: Any, path: Path) -> Any:
        self._check(event, path)
        self.document.values[path] = _position(event)
        if isinstance(event, ScalarEvent):
            return self._scalar(event)
        return self._sequence(path) if isinstance(event, SequenceStartEvent) else self._mapping(path)

    def _check(self, event: Any, path: Path) -> None:
        if isinstance(event, AliasEvent) or getattr(event, "anchor", None) is not None:
            raise self._refuse(event, "anchors and aliases are refused here: write the value out")
        if getattr(event, "tag", None) is not None:
            raise self._refuse(event, f"tags are refused here: remove {str(event.tag)[:60]!r}")
        if len(path) >= MAX_DEPTH:
            raise self._refuse(event, f"is nested deeper than {MAX_DEPTH} levels")

    def _sequence(self, path: Path) -> list[Any]:
        items: list[Any] = []
        for event in self.events:
            if isinstance(event, SequenceEndEvent):
                break
            items.append(self._value(event, (*path, len(items))))
        return items

    def _mapping(self, path: Path) -> dict[str, Any]:
        items: dict[str, Any] = {}
        for event in self.events:
            if isinstance(event, MappingEndEvent):
                break
            key = self._key(event, path)
            if key in items:
                line, _ = self.document.keys[(*path, key)]
                raise self._refuse(event, f"the key {_short(key)} stands here twice, first in line {line}")
            self.document.keys[(*path, key)] = _position(event)
            items[key] = self._value(next(self.events), (*path, key))
        return items

    def _key(self, event: Any, path: Path) -> str:
        self._check(event, path)
        key = self._scalar(event) if isinstance(event, ScalarEvent) else None
        if not isinstance(key, str):
            raise self._refuse(event, "a key is a string: put it into quotes")
        return key

    def _scalar(self, event: ScalarEvent) -> Any:
        text: str = event.value
        if event.style is not None or not event.implicit[0]:
            return text
        if text.lower() in _WORDS and (text in _WORDS or text in (text.title(), text.upper())):
            return _WORDS[text.lower()]
        if _FRACTION.fullmatch(text):
            raise self._refuse(event, f"fractions are written as strings here: '{text}'")
        if not _INTEGER.fullmatch(text):
            return text
        if len(text) > 17 or abs(int(text)) > MAX_INTEGER:
            raise self._refuse(event, "is outside ±(2^53 − 1): write it as a quoted string")
        return int(text)

    def _refuse(self, event: Any, message: str) -> Invalid:
        line, column = _position(event)
        return Invalid(message, file=self.document.file, line=line, column=column)


def _position(event: Any) -> tuple[int, int]:
    return event.start_mark.line + 1, event.start_mark.column + 1


def _mark(error: YAMLError) -> tuple[int, int]:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    return (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)


def _problem(error: YAMLError) -> str:
    if isinstance(error, MarkedYAMLError):
        return " ".join(str(part) for part in (error.context, error.problem) if part) or "it cannot be read"
    return str(error).splitlines()[0] if str(error) else "it cannot be read"


def _short(text: str) -> str:
    return repr(text) if len(text) <= 60 else f"{text[:57]!r}…"
