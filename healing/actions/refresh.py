"""`cache.warm` and `breakers.flush`, at the addresses in the labels `cache_url` and `breakers_url`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from healing.parameters import Strict, frozen, one_line, validated
from healing.result import Result
from selfheal.places import Place
from selfheal.states import Impact

from . import control
from .base import Context, Lasting

Breaker = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}$")]
Names = Annotated[list[Breaker], Field(min_length=1, max_length=100)]


class CacheWarm(Lasting):
    """Fill the cache of a service, and wait until it says that it is warm."""

    name, impact = "cache.warm", Impact.LOW

    class Parameters(Strict):
        pass

    class Frozen(Strict):
        at: control.Control

    def freeze(self, given: Mapping[str, Any], place: Place) -> dict[str, Any]:
        validated(self.Parameters, given)
        return frozen(validated(self.Frozen, {"at": control.declared(place, "cache_url")}))

    def idempotent(self, arguments: Mapping[str, Any]) -> bool:
        return True

    def targets(self, arguments: Mapping[str, Any]) -> tuple[str, ...]:
        return (f"cache at {one_line(validated(self.Frozen, arguments).at.url)}",)

    def dry_run(self, arguments: Mapping[str, Any]) -> str:
        return f"warm the cache at {one_line(validated(self.Frozen, arguments).at.url)}"

    def run(self, arguments: Mapping[str, Any], context: Context) -> Result:
        at = validated(self.Frozen, arguments).at
        try:
            control.write("POST", at, context, {})
            control.until(at, context, _is_warm)
        except control.ControlError as error:
            return control.failed(error)
        return Result(True, "the cache is warm")


def _is_warm(answer: Mapping[str, Any]) -> bool:
    if not isinstance(answer.get("warm"), bool):
        raise control.ControlError('a cache is answered as {"warm": true}')
    return bool(answer["warm"])


class BreakersFlush(Lasting):
    """Close circuit breakers that are open: those of `breakers`, else whichever are open then."""

    name, impact = "breakers.flush", Impact.LOW

    class Parameters(Strict):
        breakers: Names | None = None

    class Frozen(Strict):
        at: control.Control
        breakers: Names | None = None

    def freeze(self, given: Mapping[str, Any], place: Place) -> dict[str, Any]:
        asked = validated(self.Parameters, given)
        return frozen(validated(self.Frozen, {"at": control.declared(place, "breakers_url"), "breakers": asked.breakers}))

    def idempotent(self, arguments: Mapping[str, Any]) -> bool:
        return True

    def targets(self, arguments: Mapping[str, Any]) -> tuple[str, ...]:
        plan = validated(self.Frozen, arguments)
        url = one_line(plan.at.url)
        return tuple(f"breaker {name} at {url}" for name in plan.breakers or ()) or (f"open breakers at {url}",)

    def dry_run(self, arguments: Mapping[str, Any]) -> str:
        plan = validated(self.Frozen, arguments)
        return f"close {one_line(', '.join(plan.breakers or ['every breaker that is open']))} at {one_line(plan.at.url)}"

    def run(self, arguments: Mapping[str, Any], context: Context) -> Result:
        plan = validated(self.Frozen, arguments)
        try:
            before = _open(control.read(plan.at, context))
            asked = sorted(set(before) & set(plan.breakers or before))
            if asked:
                control.write("POST", plan.at, context, {"close": asked})
            left = set(_open(control.read(plan.at, context))) & set(asked)
        except control.ControlError as error:
            return control.failed(error)
        if left:
            return Result(False, f"still open: {', '.join(sorted(left))}", {"closed": sorted(set(asked) - left)})
        return Result(True, f"closed {', '.join(asked)}" if asked else "none of them was open", {"closed": asked})


def _open(answer: Mapping[str, Any]) -> list[str]:
    names = answer.get("open")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise control.ControlError('breakers are answered as {"open": ["db"]}')
    return names
