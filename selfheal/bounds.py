"""Typed values with bounds: the parameters of a playbook and the slots of a command.

Rules that this module keeps:
1. A value has its type, or it is refused; the only text that becomes something else is a whole number, true, false or a duration.
2. A pattern holds for the whole value. Patterns are Rust regular expressions: linear in time, whatever text an alert brings.
3. No value holds a NUL, and none is longer than its bound.

    Bound(type="string", pattern="^[a-z]+$").accept("web", "parameters.unit") == "web"
    Bound(type="duration", max="5m").accept("90s", "parameters.wait") == 90_000
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import SchemaError, SchemaValidator, core_schema

from selfheal.canonical import MAX_INTEGER
from selfheal.errors import Invalid

MAX_TEXT = 1000
MAX_PATTERN = 500
_DURATION = re.compile(r"([0-9]{1,9})(ms|s|m|h|d)")
_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_KEYS_OF = {
    "string": {"pattern", "enum", "min_length", "max_length"},
    "integer": {"min", "max", "enum"},
    "boolean": set(),
    "duration": {"min", "max"},
    "list": {"items", "max_items"},
}


def milliseconds(text: str) -> int:
    """`250ms`, `60s`, `10m`, `2h`, `1d` → milliseconds. Raises Invalid."""
    found = _DURATION.fullmatch(text)
    if not found:
        raise Invalid(f"{text!r} is no duration; write it like 250ms, 60s, 10m or 2h")
    return int(found[1]) * _UNITS[found[2]]


def matches(pattern: str, text: str) -> bool:
    """Whether `pattern` holds for the whole of `text`. Raises Invalid for a pattern that is none."""
    try:
        return bool(_whole(pattern).isinstance_python(text))
    except SchemaError as error:
        raise Invalid(f"{pattern!r} is no pattern: {_reason(error)}") from None


@lru_cache(maxsize=2000)
def _whole(pattern: str) -> SchemaValidator:
    SchemaValidator(core_schema.str_schema(pattern=pattern))  # alone first: no way out of the group below
    return SchemaValidator(core_schema.str_schema(pattern=rf"\A(?:{pattern})\z"))


def _reason(error: SchemaError) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].removeprefix("error: ") if lines else "it cannot be compiled"


def _duration(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError(f"expected a duration like 60s or 10m, got {value!r}")
    return _said(milliseconds, value)


def _pattern(value: str) -> str:
    _said(matches, value, "")
    return value


def _said(function: Any, *arguments: Any) -> Any:
    """What `function` returns; its Invalid in the words that pydantic expects."""
    try:
        return function(*arguments)
    except Invalid as error:
        raise ValueError(error.message) from None


Duration = Annotated[int, BeforeValidator(_duration)]
Pattern = Annotated[str, Field(max_length=MAX_PATTERN), AfterValidator(_pattern)]


class Strict(BaseModel):
    """What every document is made of: no unknown key, no value of another type, nothing changed afterwards."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Bound(Strict):
    """The type of a value and how far it may go. Durations and their bounds are whole milliseconds once read."""

    type: Literal["string", "integer", "boolean", "duration", "list"]
    description: str = ""
    pattern: Pattern | None = None
    enum: list[str | int] | None = Field(default=None, min_length=1, max_length=200)
    min_length: int = Field(default=0, ge=0)
    max_length: int = Field(default=MAX_TEXT, ge=1, le=65_535)
    min: int | str | None = None
    max: int | str | None = None
    items: Bound | None = None
    max_items: int = Field(default=100, ge=1, le=1000)

    @model_validator(mode="after")
    def _consistent(self) -> Bound:
        """Bounds that belong to the type, and that leave something between them."""
        foreign = self.model_fields_set & set().union(*_KEYS_OF.values()) - _KEYS_OF[self.type]
        if foreign:
            raise ValueError(f"{sorted(foreign)[0]!r} does not bound a {self.type}; {_known(self.type)}")
        if self.type == "list" and (self.items is None or self.items.type == "list"):
            raise ValueError("a list needs `items`, a bound for each element that is no list itself")
        low, high = self.limits()
        if low is not None and high is not None and low > high:
            raise ValueError("`min` is greater than `max`")
        wanted = int if self.type == "integer" else str
        if any(not isinstance(value, wanted) for value in self.enum or []):
            raise ValueError(f"`enum` of a {self.type} holds values of that type")
        return self

    def limits(self) -> tuple[int | None, int | None]:
        """`min` and `max` as numbers; durations in milliseconds."""
        return _limit(self.type, self.min), _limit(self.type, self.max)

    def accept(self, value: Any, field: str) -> Any:
        """The typed value. Raises Invalid naming `field` and what was expected."""
        typed = _TYPED[self.type](self, value, field)
        if self.enum is not None and typed not in self.enum:
            raise Invalid(f"must be one of {', '.join(map(str, self.enum))}, not {_short(value)}", field=field)
        return typed


def _limit(kind: str, value: int | str | None) -> int | None:
    if isinstance(value, str) and kind == "duration":
        return int(_said(milliseconds, value))
    if isinstance(value, str) or (value is not None and kind == "duration"):
        raise ValueError(f"`min` and `max` of a {kind} are {'durations like 60s' if kind == 'duration' else 'whole numbers'}")
    return value


def _known(kind: str) -> str:
    keys = sorted(_KEYS_OF[kind])
    return f"what does: {', '.join(keys)}" if keys else "nothing does"


def _string(bound: Bound, value: Any, field: str) -> str:
    if not isinstance(value, str):
        raise Invalid(f"must be a string, not {_short(value)}", field=field)
    if "\0" in value or any("\ud800" <= c <= "\udfff" for c in value):
        raise Invalid("holds a character that no argument can carry", field=field)
    if not bound.min_length <= len(value) <= bound.max_length:
        raise Invalid(f"must have {bound.min_length} to {bound.max_length} characters, it has {len(value)}", field=field)
    if bound.pattern is not None and not matches(bound.pattern, value):
        raise Invalid(f"must match {bound.pattern}, {_short(value)} does not", field=field)
    return value


def _integer(bound: Bound, value: Any, field: str) -> int:
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,16}", value):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > MAX_INTEGER:
        raise Invalid(f"must be a whole number, not {_short(value)}", field=field)
    return _between(bound, value, field, str)


def _boolean(_: Bound, value: Any, field: str) -> bool:
    if value in ("true", "false"):
        return bool(value == "true")
    if not isinstance(value, bool):
        raise Invalid(f"must be true or false, not {_short(value)}", field=field)
    return value


def _milliseconds(bound: Bound, value: Any, field: str) -> int:
    if not isinstance(value, str):
        raise Invalid(f"must be a duration like 60s or 10m, not {_short(value)}", field=field)
    try:
        number = milliseconds(value)
    except Invalid as error:
        raise Invalid(error.message, field=field) from None
    return _between(bound, number, field, lambda limit: f"{limit} ms")


def _between(bound: Bound, value: int, field: str, shown: Any) -> int:
    low, high = bound.limits()
    if low is not None and value < low:
        raise Invalid(f"must be {shown(low)} or more, not {shown(value)}", field=field)
    if high is not None and value > high:
        raise Invalid(f"must be {shown(high)} or less, not {shown(value)}", field=field)
    return value


def _list(bound: Bound, value: Any, field: str) -> list[Any]:
    if not isinstance(value, list):
        raise Invalid(f"must be a list, not {_short(value)}", field=field)
    if len(value) > bound.max_items:
        raise Invalid(f"must have at most {bound.max_items} elements, it has {len(value)}", field=field)
    assert bound.items is not None
    return [bound.items.accept(item, f"{field}.{position}") for position, item in enumerate(value)]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


_TYPED = {"string": _string, "integer": _integer, "boolean": _boolean, "duration": _milliseconds, "list": _list}
