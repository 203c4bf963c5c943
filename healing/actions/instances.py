"""`instances.scale`: more or fewer instances of a service, at the address in the label `instances_url`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from healing.parameters import Strict, frozen, one_line, validated
from healing.result import Result
from selfheal.places import Place
from selfheal.states import Impact

from . import control
from .base import Context, Lasting

MOST = 100_000


def _some(delta: int) -> int:
    if not delta:
        raise ValueError("must not be 0: that would change nothing")
    return delta


Delta = Annotated[int, Field(ge=-3, le=3), AfterValidator(_some)]
Count = Annotated[int, Field(ge=0, le=MOST)]


class Parameters(Strict):
    delta: Delta


class Frozen(Strict):
    """`to` stands in place of `delta` in an undo: back to just what was there."""

    at: control.Control
    minimum: Count
    delta: Delta | None = None
    to: Count | None = None


class InstancesScale(Lasting):
    """Up to three instances more or fewer, never under `min_instances` of the service. `rollback: undo` brings the count back."""

    name, impact, undoes = "instances.scale", Impact.MEDIUM, True
    Parameters = Parameters

    def freeze(self, given: Mapping[str, Any], place: Place) -> dict[str, Any]:
        asked = validated(Parameters, given)
        where = control.declared(place, "instances_url")
        return frozen(validated(Frozen, {"at": where, "minimum": place.min_instances, "delta": asked.delta}))

    def idempotent(self, arguments: Mapping[str, Any]) -> bool:
        return False

    def targets(self, arguments: Mapping[str, Any]) -> tuple[str, ...]:
        return (f"instances at {one_line(validated(Frozen, arguments).at.url)}",)

    def dry_run(self, arguments: Mapping[str, Any]) -> str:
        plan = validated(Frozen, arguments)
        by = f"to {plan.to}" if plan.delta is None else f"by {plan.delta:+d}, never under {plan.minimum}"
        return f"scale {by}, at {one_line(plan.at.url)}"

    def undo(self, arguments: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any] | None:
        plan, before = validated(Frozen, arguments), data.get("before")
        if before is None:
            return None
        return frozen(Frozen(at=plan.at, minimum=plan.minimum, to=max(before, plan.minimum)))

    def run(self, arguments: Mapping[str, Any], context: Context) -> Result:
        plan = validated(Frozen, arguments)
        try:
            return _scaled(plan, context)
        except control.ControlError as error:
            return control.failed(error)


def _scaled(plan: Frozen, context: Context) -> Result:
    now = _count(control.read(plan.at, context))
    before = context.earlier.get("before", now)  # an earlier attempt has changed it already
    wanted = plan.to if plan.delta is None else before + plan.delta
    assert wanted is not None
    if wanted < plan.minimum and wanted < now:
        return Result(False, f"there are {now}; {wanted} would be under the least that the service allows, {plan.minimum}")
    context.note({"before": before})
    control.write("PUT", plan.at, context, {"instances": wanted})
    after = _count(control.until(plan.at, context, lambda found: _count(found) == wanted))
    return Result(True, f"there are {after} instances, there were {before}", {"before": before, "after": after})


def _count(answer: Mapping[str, Any]) -> int:
    count = answer.get("instances")
    if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count <= MOST:
        raise control.ControlError('instances are answered as {"instances": 4}')
    return count
