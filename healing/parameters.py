"""Parameters of actions and checks: strict, bounded, and wrong ones are `Invalid` with the path of the field."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, StringConstraints, ValidationError

from selfheal.bounds import Strict, milliseconds
from selfheal.canonical import dumps
from selfheal.errors import Invalid
from selfheal.places import Place

__all__ = ["Duration", "Strict", "Text", "frozen", "local", "one_line", "validated"]


def _duration(value: Any) -> Any:
    """`250ms`, `2s`, `10m`, `1h`, or milliseconds: that is what a plan holds."""
    if not isinstance(value, str):
        return value
    try:
        return milliseconds(value)
    except Invalid as error:
        raise ValueError(error.message) from error


def _no_nul(value: str) -> str:
    if "\0" in value:
        raise ValueError("must not hold a NUL byte")
    return value


Duration = Annotated[int, BeforeValidator(_duration)]
Text = Annotated[str, StringConstraints(max_length=4096), AfterValidator(_no_nul)]

Model = TypeVar("Model", bound=BaseModel)


def validated(model: type[Model], given: Any) -> Model:
    """`given` as a `model`. Raises Invalid with the path of the first wrong field."""
    try:
        return model.model_validate(dict(given) if isinstance(given, Mapping) else given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        message = first["msg"].removeprefix("Value error, ")
        raise Invalid(message[0].lower() + message[1:], field=".".join(_path(given, first["loc"]))) from None


def _path(given: Any, location: Iterable[int | str]) -> Iterator[str]:
    """The part of a location that a person wrote: pydantic adds the names of types and marks keys."""
    for part in location:
        if isinstance(given, Mapping):
            given = given.get(part)
        elif isinstance(given, list) and isinstance(part, int):
            given = given[part]
        else:
            return
        yield str(part)


def frozen(parameters: BaseModel) -> dict[str, Any]:
    """As plain JSON values that the canonical form can hold."""
    values: dict[str, Any] = parameters.model_dump(mode="json", exclude_none=True, by_alias=True)
    dumps(values)
    return values


def one_line(text: str, limit: int = 200) -> str:
    """`text` as part of a line for people: what is no printable character is escaped, what is too long is cut."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[: limit + 1])
    return shown if len(shown) <= limit else f"{shown[:limit]}…"


def local(place: Place, what: str) -> None:
    """Raise Invalid if `place` is not this machine: what works here must not touch this machine for another's sake."""
    if place.via != "local":
        raise Invalid(f"{what} works on this machine only, and {place.target} is reached by {place.via}", field="target")
