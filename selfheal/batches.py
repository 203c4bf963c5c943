"""Going over the targets of a service batch by batch: what comes next, and whether there is room for it.

Rules that this module keeps:
1. Nothing is begun unless enough targets are healthy that are not in the batch.
2. What was begun is finished first; then what is down already, since touching it makes nobody worse; then the order declared.
3. A target whose steps or looks failed, or of which nothing is known, is not touched again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum

from selfheal.states import StepStatus

SHOWN = 20  # names that stand in a line


class Standing(StrEnum):
    """How far a run is with one target."""

    UNTOUCHED = "not touched"
    BEGUN = "begun"
    DONE = "done"
    FAILED = "failed"


def standing(steps: Sequence[str], looks: Sequence[str], checks: int, *, touched: bool) -> Standing:
    """From the statuses of a target's steps and of the looks after them. `touched`: a step was begun, once at least."""
    if any(status not in (StepStatus.PENDING, StepStatus.RUNNING, StepStatus.SUCCEEDED) for status in (*steps, *looks)):
        return Standing.FAILED
    if all(status == StepStatus.SUCCEEDED for status in (*steps, *looks)) and len(looks) == checks:
        return Standing.DONE
    return Standing.BEGUN if touched else Standing.UNTOUCHED


def next_batch(standings: Mapping[str, Standing], healthy: Collection[str], size: int) -> list[str]:
    """The targets that are touched next; none: it is over."""
    begun = [target for target, each in standings.items() if each is Standing.BEGUN]
    untouched = [target for target, each in standings.items() if each is Standing.UNTOUCHED]
    return begun or sorted(untouched, key=lambda target: target in healthy)[:size]


def no_room(batch: Collection[str], healthy: Collection[str], least: int) -> str:
    """Why the batch must not be touched, in words; empty: enough others are healthy."""
    others = [target for target in healthy if target not in batch]
    if len(others) >= least:
        return ""
    return f"beside {named(batch)} only {len(others)} targets are healthy, and {least} have to be: {named(others) or 'none is'}"


def tally(standings: Mapping[str, Standing]) -> str:
    """Which targets are done and which are not, in words."""
    groups = {kind: [target for target, each in standings.items() if each is kind] for kind in Standing}
    order = (Standing.DONE, Standing.FAILED, Standing.BEGUN, Standing.UNTOUCHED)
    return "; ".join(f"{kind}: {named(groups[kind])}" for kind in order if groups[kind])


def named(targets: Collection[str]) -> str:
    shown = list(targets)[:SHOWN]
    more = len(targets) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
