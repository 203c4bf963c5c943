"""What the log teaches about playbooks: one lesson for every decision and outcome of a run, and what became of it.

Rules that this module keeps:
1. A lesson is made from one leaf. What a later leaf does not repeat (playbook, service, …) is in the leaf of the proposal.
2. Every run that started counts, whatever became of it. A rate over none is None.
3. Times to repair are kept as counts in buckets five per cent wide, so that a quantile of millions costs what one of ten does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from selfheal.states import AbortReason, RunStatus
from selfheal.trust import wilson_lower

WIDTH = 1.05  # of a bucket: the next begins at 1.05 times where this one does
BLOCKING = (AbortReason.POLICY, AbortReason.BOUNDS, AbortReason.CHANGE_WINDOW, AbortReason.KILL_SWITCH)
STARTED = (RunStatus.RUNNING, RunStatus.VERIFYING, RunStatus.ROLLING_BACK)


class Status(StrEnum):
    PROPOSED = "proposed"
    AUTO_APPROVED = "auto_approved"
    APPROVED = "approved"
    REJECTED = "rejected"
    BLOCKED = "blocked"
    ABORTED = "aborted"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"


class Result(StrEnum):
    OK = "ok"
    FAILED = "failed"
    TIMEOUT = "timeout"
    BLOCKED = "blocked"
    ABORTED = "aborted"
    ROLLED_BACK = "rolled_back"
    REJECTED = "rejected"


ENDINGS = (Status.SUCCEEDED, Status.FAILED, Status.ROLLED_BACK, Status.ABORTED)  # of a run that has started
RESULTS = {
    Status.SUCCEEDED: Result.OK,
    Status.FAILED: Result.FAILED,
    Status.ROLLED_BACK: Result.ROLLED_BACK,
    Status.REJECTED: Result.REJECTED,
    Status.BLOCKED: Result.BLOCKED,
    Status.ABORTED: Result.ABORTED,
}
JUDGED = "run.shadow_judged"
HELD = {"run.held": True, "run.not_held": False}


@dataclass(frozen=True)
class Lesson:
    """What one leaf says of a run. `status` None: it is no decision and no outcome, but the run started, or it (not) held, or a
    person `judged` what it would have done."""

    run: str
    at: datetime
    status: Status | None = None
    result: Result | None = None
    reason: str = ""
    began: bool = False
    ended: bool = False  # after it had started
    held: bool | None = None
    judged: bool = False


def lesson_of(leaf: Mapping[str, Any]) -> Lesson | None:
    """The lesson in a leaf of the log; None: it has none."""
    action, resource, payload = leaf["action"], leaf["resource"], leaf["payload"]
    if not (action.startswith("run.") and resource.startswith("run:")):
        return None
    run, at = resource.removeprefix("run:"), datetime.fromisoformat(leaf["at"])
    if action == "run.running":
        return Lesson(run, at, began=True)
    if action in HELD:
        return Lesson(run, at, held=HELD[action])
    if action == JUDGED:
        return Lesson(run, at, judged=True)
    status, result = _status(action.removeprefix("run."), leaf["actor"], payload)
    if status is None:
        return None
    started = payload.get("from") in STARTED and status in ENDINGS
    return Lesson(run, at, status, result, str(payload.get("reason") or ""), ended=started)


def _status(name: str, actor: str, payload: Mapping[str, Any]) -> tuple[Status | None, Result | None]:
    if name == "approved":
        return (Status.AUTO_APPROVED if actor == "policy" else Status.APPROVED), None
    if name == "aborted":
        return _aborted(payload)
    if name == "proposed":
        return Status.PROPOSED, None
    status = Status(name) if name in (*ENDINGS, Status.REJECTED) else None
    return status, RESULTS[status] if status else None


def _aborted(payload: Mapping[str, Any]) -> tuple[Status, Result]:
    """Whoever was kept from starting by policy was blocked; whoever ran out of time says so."""
    why = payload.get("abort_reason")
    if payload.get("from") not in STARTED and why in BLOCKING:
        return Status.BLOCKED, Result.BLOCKED
    return Status.ABORTED, Result.TIMEOUT if why == AbortReason.TIMEOUT else Result.ABORTED


def rate(succeeded: int, started: int) -> float | None:
    return round(succeeded / started, 4) if started else None


def lower_bound(succeeded: int, started: int) -> float | None:
    """The one-sided 90 % Wilson bound of the success rate."""
    bound = wilson_lower(succeeded, started)
    return None if bound is None else round(bound, 4)


def bucket(seconds: float) -> int:
    """The bucket of a time to repair; 0 is a second or less."""
    return max(0, math.ceil(math.log(seconds, WIDTH))) if seconds > 1 else 0


def quantile(counts: Mapping[int, int], share: float) -> float | None:
    """The upper end, in seconds, of the bucket in which the `share` of all times lies; None over none."""
    total, seen = sum(counts.values()), 0
    for each in sorted(counts):
        seen += counts[each]
        if seen >= share * total:
            return round(WIDTH**each, 1)
    return None
