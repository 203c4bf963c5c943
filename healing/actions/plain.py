"""`wait` and `noop`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from healing.parameters import Duration, Strict, frozen, validated
from healing.result import Result
from selfheal.places import Place
from selfheal.states import Impact

from .base import Context, Lasting

SELF = ("this run",)  # and nothing outside of it


class Wait(Lasting):
    """Let time pass: `{duration}`, up to two hours; the step's timeout bounds it as any other."""

    name, impact, reads_only = "wait", Impact.LOW, True

    class Parameters(Strict):
        duration: Annotated[Duration, Field(ge=0, le=7_200_000)]

    def freeze(self, given: Mapping[str, Any], place: Place) -> dict[str, Any]:
        return frozen(validated(self.Parameters, given))

    def idempotent(self, arguments: Mapping[str, Any]) -> bool:
        return True

    def targets(self, arguments: Mapping[str, Any]) -> tuple[str, ...]:
        return SELF

    def dry_run(self, arguments: Mapping[str, Any]) -> str:
        return f"wait {validated(self.Parameters, arguments).duration:,} ms"

    def run(self, arguments: Mapping[str, Any], context: Context) -> Result:
        duration = validated(self.Parameters, arguments).duration
        time.sleep(duration / 1000)
        return Result(True, f"waited {duration:,} ms")


class Noop(Lasting):
    """Do nothing, and say so."""

    name, impact, reads_only = "noop", Impact.LOW, True

    class Parameters(Strict):
        pass

    def freeze(self, given: Mapping[str, Any], place: Place) -> dict[str, Any]:
        return frozen(validated(self.Parameters, given))

    def idempotent(self, arguments: Mapping[str, Any]) -> bool:
        return True

    def targets(self, arguments: Mapping[str, Any]) -> tuple[str, ...]:
        return SELF

    def dry_run(self, arguments: Mapping[str, Any]) -> str:
        return "do nothing"

    def run(self, arguments: Mapping[str, Any], context: Context) -> Result:
        return Result(True, "did nothing")
