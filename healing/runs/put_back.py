"""What was changed for a while is put back by itself.

Rules that this module keeps:
1. The intent to put back is written in the transaction of the step's own intent, before anything is changed: with arguments
   that put back a declared normal state, due when the step's bound and its time to live are over. So it survives whoever dies.
2. When the step ended, the exact state that it found takes the place of the normal one, and the time counts from then. A step
   that failed before it changed anything needs nothing put back; neither does one that its run has undone.
3. A second change of the same thing takes over what the first would have put back: the state before both. That is put back also
   if the run of the second has undone it, which leads to what the first had set.
4. What is due is claimed by a conditional UPDATE, done under the launcher, and tried again, MAX_ATTEMPTS times in all. Each end
   is in the log: `put_back.done`, or `put_back.failed`, which a person has to look at.
5. Putting back is the safe direction: it goes on while the kill switch says `pause`, and whatever the mode is, since it ends
   what was allowed for a while. `kill` holds it; what is due meanwhile is put back once the switch is released.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone
from kombu.exceptions import OperationalError

from healing import pools
from healing.actions import ACTIONS
from healing.actions.base import Action
from healing.context import context_of
from healing.governance import kill_state
from healing.launcher import Launched, launch
from healing.models import PutBack, Step
from healing.transitions import record
from selfheal.states import KillState, StepStatus

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 5
PATIENCE = timedelta(seconds=30)  # for the worker that claimed it, after its bound
AGAIN = timedelta(seconds=30)  # doubled with each attempt
LONGEST = 300.0  # seconds, whatever its step had; Celery's limit for the task stands behind it
BATCH = 100
ACTOR = "put back"


# -- with the step


def intend(step: Step, at: datetime) -> None:
    """Write down that this step will be put back, if it will. Called in the transaction of its intent."""
    action, after = _temporary(step)
    if action is None or after is None:
        return
    normal = action.undo(step.arguments, {})
    if normal is None:
        raise RuntimeError(f"{step.action} wants to be put back and does not say to what")  # the step is not begun
    due = at + timedelta(seconds=step.bound_seconds + after)
    fields = {"service_id": step.run.service_id, "target": step.target, "action": step.action}
    _, fresh = PutBack.objects.get_or_create(step=step, defaults={**fields, "arguments": normal, "due_at": due})
    if not fresh:  # another attempt: what is known of the state before stays known
        PutBack.objects.filter(step=step).update(due_at=due, done_at=None, attempts=0, message="")
    _say(step, "intended", at, f"put back by {due:%Y-%m-%d %H:%M:%S} UTC at the latest", action.dry_run(normal))


def settle(step: Step, at: datetime) -> None:
    """Say exactly what is put back and when, now that the step has ended. Called in the transaction of its end."""
    _undone_by_run(step)
    action, after = _temporary(step)
    row = PutBack.objects.filter(step=step, due_at__isnull=False).first()
    if action is None or after is None or row is None:
        return
    if step.status != StepStatus.SUCCEEDED and "before" not in step.result:
        _close(row, "the step changed nothing")
        return
    arguments, due = action.undo(step.arguments, step.result) or row.arguments, at + timedelta(seconds=after)
    for other in _taken_over(row, action):
        arguments, due = other.arguments, max(due, other.due_at or due)
    PutBack.objects.filter(pk=row.pk).update(arguments=arguments, due_at=due)


def _temporary(step: Step) -> tuple[Action | None, float | None]:
    action = ACTIONS.get(step.action)
    return action, action.put_back_after(step.arguments) if action else None


def _undone_by_run(step: Step) -> None:
    """A step that its run has undone by its own undo is not put back once more, unless it took over from an earlier change."""
    if step.phase != "rollback" or step.status != StepStatus.SUCCEEDED:
        return
    of_run = PutBack.objects.filter(step__run=step.run_id, step__position=step.position, step__phase="step", due_at__isnull=False)
    for row in of_run.filter(target=step.target, action=step.action):
        if row.arguments == step.arguments:
            _close(row, "undone by its run")


def _taken_over(row: PutBack, action: Action) -> list[PutBack]:
    """The earlier changes of the same thing that wait to be put back, at most one: this one takes over from it."""
    same = PutBack.objects.filter(service=row.service_id, target=row.target, action=row.action, due_at__isnull=False)
    touched = action.targets(row.arguments)
    waiting = [other for other in same.exclude(pk=row.pk) if action.targets(other.arguments) == touched]
    return [other for other in waiting if _close(other, f"taken over by run {row.step.run_id}")]


def _close(row: PutBack, message: str) -> bool:
    return PutBack.objects.filter(pk=row.pk, due_at=row.due_at).update(due_at=None, message=message) == 1


# -- by the watchdog


def look(at: datetime) -> int:
    """Send what is due to the workers; returns how many."""
    if kill_state() is KillState.KILL:
        return 0
    due = list(PutBack.objects.filter(due_at__lte=at).order_by("due_at").values_list("pk", "service__pool")[:BATCH])
    for pk, pool in due:
        _send(pk, pool)
    return len(due)


def _send(pk: uuid.UUID, pool: str) -> None:
    from healing.tasks import put_back

    try:
        put_back.apply_async((str(pk),), queue=pools.queue(pool), retry=False, expires=60)
    except (OperationalError, OSError) as error:  # the broker is only a hint: the next tick sends it again
        logger.warning("put back %s could not be sent, the next tick will: %s", pk, error)


def perform(pk: uuid.UUID, at: datetime) -> bool:
    """Put one back, if it is to be had; whether it was done."""
    row = _claim(pk, at)
    if row is None:
        return False
    action = ACTIONS.get(row.action)
    if action is None:
        return _finish(row, False, f"there is no action {row.action!r} any more", timezone.now())
    launched = _run(row, action)
    return _finish(row, launched.result.ok, launched.message, timezone.now())


def _claim(pk: uuid.UUID, at: datetime) -> PutBack | None:
    """The row with its due time moved behind this attempt: a worker that dies leaves it to be tried again."""
    row = PutBack.objects.select_related("step__run__service", "step__run__incident").filter(pk=pk, due_at__lte=at).first()
    if row is None or kill_state() is KillState.KILL:
        return None
    until = at + timedelta(seconds=_bound(row)) + PATIENCE
    claimed = PutBack.objects.filter(pk=pk, due_at=row.due_at).update(due_at=until, attempts=F("attempts") + 1)
    row.due_at, row.attempts = until, row.attempts + 1
    return row if claimed == 1 else None


def _run(row: PutBack, action: Action) -> Launched:
    step = row.step
    key = f"{step.idempotency_key}:put_back"
    context = context_of(step.run.service.name, row.target, key=key, bound_seconds=_bound(row))
    return launch(
        lambda channel: action.run(row.arguments, context.on(channel)),
        bound_seconds=_bound(row),
        wake=lambda: "kill_switch" if kill_state() is KillState.KILL else "",
        title=f"put back {step.name}",
    )


def _bound(row: PutBack) -> float:
    return min(row.step.bound_seconds, LONGEST)


def _finish(row: PutBack, ok: bool, message: str, at: datetime) -> bool:
    """Done; or tried again; or, after the last attempt, failed. A row that somebody else took over meanwhile is left alone."""
    last = row.attempts >= MAX_ATTEMPTS
    again = None if ok or last else at + AGAIN * 2 ** (row.attempts - 1)
    with transaction.atomic():
        mine = PutBack.objects.filter(pk=row.pk, due_at=row.due_at)
        done = {"done_at": at} if ok else {}
        if mine.update(due_at=again, message=message[:2000], **done) != 1:
            return False
        if ok or last:
            _say(row.step, "done" if ok else "failed", at, message, _words(row))
    return ok


def _words(row: PutBack) -> str:
    action = ACTIONS.get(row.action)
    return action.dry_run(row.arguments) if action else row.action


def _say(step: Step, what: str, at: datetime, reason: str, does: str) -> None:
    payload: Mapping[str, Any] = {"action": step.action, "target": step.target, "does": does}
    record(step, f"put_back.{what}", actor=ACTOR, at=at, reason=reason, payload=payload)
