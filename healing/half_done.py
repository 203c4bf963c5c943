"""What is half-done, and what undoes it: the list that whoever stops everything wants to see.

Half-done is a step that changes something and was begun, in a run that is not over, or in one that the kill switch ended and that
nobody has undone. A check changes nothing, and neither does a step that was written down and then not started.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db.models import Q

from healing.models import PutBack, Run, Step
from selfheal.states import ACTIVE_RUN, AbortReason, StepStatus

NOT_BEGUN = (StepStatus.PENDING, StepStatus.SKIPPED)
NOT_STARTED = "not_started"  # in the result of a step that was written down, and whose action nobody started


def half_done(killed_since: datetime | None = None) -> list[dict[str, Any]]:
    """[{run, service, target, step, status, undo, put_back_at}], the runs in their order and the steps in theirs.

    `killed_since`: the kill switch is on since then; what it ended is listed as well.
    """
    wanted = Q(status__in=ACTIVE_RUN)
    if killed_since is not None:
        wanted |= Q(abort_reason=AbortReason.KILL_SWITCH, finished_at__gte=killed_since, started_at__isnull=False)
    runs = Run.objects.filter(wanted).order_by("started_at").select_related("service").prefetch_related("steps")
    found = [
        (run, step) for run in runs for step in sorted(run.steps.all(), key=lambda s: s.position) if _is_half_done(run, step)
    ]
    due = PutBack.objects.filter(step__in=[step.pk for _, step in found], due_at__isnull=False)
    put_back = dict(due.values_list("step", "due_at"))
    return [_told(run, step, put_back.get(step.pk)) for run, step in found]


def undo_of(run: Run, step: Step) -> Mapping[str, Any]:
    """What the plan says undoes a step; empty: nothing does."""
    return _planned(run, step).get("rollback") or {}


def was_started(step: Step) -> bool:
    """Whether the action of a step that was begun may have done something."""
    return not (step.status == StepStatus.FAILED and step.result.get(NOT_STARTED))


def _is_half_done(run: Run, step: Step) -> bool:
    begun = step.status not in (*NOT_BEGUN, StepStatus.ROLLED_BACK) and was_started(step)
    return step.phase == "step" and begun and "action" in _planned(run, step)


def _told(run: Run, step: Step, put_back_at: datetime | None) -> dict[str, Any]:
    return {
        "run": str(run.pk),
        "service": run.service.name,
        "target": step.target,
        "step": step.name,
        "status": step.status,
        "undo": undo_of(run, step).get("action", "nothing"),
        "put_back_at": put_back_at.isoformat() if put_back_at else None,
    }


def _planned(run: Run, step: Step) -> Mapping[str, Any]:
    steps = run.plan["steps"]
    return steps[step.position] if step.position < len(steps) else {}
