"""`log_level.set`: a logger's level for a while, at the address in the label `log_level_url`, as Spring Boot's actuator has it.

It is put back by itself after `ttl` (`healing.runs.put_back`): to the level that was found, or, if its worker died in between and
nobody knows that, to the one in the label `log_level_normal` (INFO without it).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from healing.parameters import Duration, Strict, frozen, one_line, validated
from healing.result import Result
from selfheal.places import Place
from selfheal.states import Impact

from . import control
from .base import Context, Lasting

NORMAL = "INFO"

Level = Literal["DEBUG", "INFO", "WARN", "ERROR"]
Known = Annotated[str, Field(pattern="^[A-Z]{1,20}$")]  # what a service may have had: TRACE, OFF, …
Logger = Annotated[str, Field(pattern=r"^[A-Za-z0-9_$.-]{1,200}$")]


class Parameters(Strict):
    level: Level
    logger: Logger = "ROOT"
    ttl: Annotated[Duration, Field(ge=60_000, le=7_200_000)] = 900_000


class Frozen(Strict):
    """Without `ttl_ms` it stays: that is how it is put back. Without `level` the logger has none of its own, and inherits."""

    at: control.Control
    logger: Logger
    level: Known | None = None
    normal: Known = NORMAL
    ttl_ms: Annotated[int, Field(ge=60_000, le=7_200_000)] | None = None


class LogLevelSet(Lasting):
    """A logger's level, put back by itself after `ttl`, one minute to two hours."""

    name, impact, undoes = "log_level.set", Impact.LOW, True
    Parameters = Parameters

    def freeze(self, given: Mapping[str, Any], place: Place) -> dict[str, Any]:
        asked = validated(Parameters, given)
        normal = place.labels.get("log_level_normal", NORMAL)
        where = control.declared(place, "log_level_url", asked.logger)
        plan = {"at": where, "logger": asked.logger, "level": asked.level, "normal": normal, "ttl_ms": asked.ttl}
        return frozen(validated(Frozen, plan))

    def idempotent(self, arguments: Mapping[str, Any]) -> bool:
        return False  # a second run would find its own level, and not know what was before

    def targets(self, arguments: Mapping[str, Any]) -> tuple[str, ...]:
        return (f"logger at {one_line(validated(Frozen, arguments).at.url)}",)

    def dry_run(self, arguments: Mapping[str, Any]) -> str:
        plan = validated(Frozen, arguments)
        back = f", put back after {plan.ttl_ms / 60_000:g} min" if plan.ttl_ms else ""
        return f"set logger {plan.logger} to {plan.level or 'inherit'} at {one_line(plan.at.url)}{back}"

    def undo(self, arguments: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any] | None:
        plan = validated(Frozen, arguments)
        return frozen(Frozen(at=plan.at, logger=plan.logger, normal=plan.normal, level=data.get("before", plan.normal)))

    def put_back_after(self, arguments: Mapping[str, Any]) -> float | None:
        ttl = validated(Frozen, arguments).ttl_ms
        return ttl / 1000 if ttl else None

    def run(self, arguments: Mapping[str, Any], context: Context) -> Result:
        plan = validated(Frozen, arguments)
        try:
            before = context.earlier.get("before", _level(control.read(plan.at, context)))
            context.note({"before": before})
            control.write("POST", plan.at, context, {"configuredLevel": plan.level})
            after = _level(control.read(plan.at, context))
        except control.ControlError as error:
            return control.failed(error)
        words = f"{plan.logger} is at {after or 'inherit'}, it was at {before or 'inherit'}"
        same = after == plan.level
        return Result(same, words if same else f"{words}, and should be at {plan.level}", {"before": before, "after": after})


def _level(answer: Mapping[str, Any]) -> str | None:
    level = answer.get("configuredLevel")
    if level is None and "effectiveLevel" in answer:
        return None
    if not isinstance(level, str) or not level.isalpha() or not level.isupper() or len(level) > 20:
        raise control.ControlError('a logger is answered as {"configuredLevel": "INFO"}')
    return level
