"""Looks after runs that nobody looks after: lost workers, passed deadlines, hints that were never taken.

Every run is over by its deadline + 30 s, whoever died: while its worker lives, the worker ends it; when the lease has run out,
another worker takes it over; when none does, it is ended here, with a higher token, so that the old worker can write nothing.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Q

from healing import proposals
from healing.governance import kill_state, notice_stop_file
from healing.log_context import about
from healing.mode import global_mode
from healing.models import Run
from healing.runs.ending import abort_before_start, end_lost, judge_held
from healing.runs.starting import MAX_ATTEMPTS, send, too_old
from selfheal.states import ACTIVE_RUN, ALIVE_RUN, AbortReason, GlobalMode, KillState, RunStatus

logger = logging.getLogger(__name__)

PATIENCE = timedelta(seconds=20)  # for another worker to take over, after the lease or the deadline
POLL = timedelta(seconds=30)
WAITING = tuple(status for status in ALIVE_RUN if status not in ACTIVE_RUN)
BY_ITSELF = (RunStatus.DEFERRED, RunStatus.APPROVED, RunStatus.QUEUED)  # of these, what needs nobody to go on
LET_GO = (*ACTIVE_RUN, RunStatus.APPROVED, RunStatus.QUEUED)


def look_after(at: datetime) -> int:
    """Take care of every active run whose lease has run out or whose deadline has passed; returns how many."""
    lost = Q(lease_expires_at__lt=at) | Q(deadline_at__lt=at - PATIENCE)
    found = list(Run.objects.filter(lost, status__in=ACTIVE_RUN).select_related("service", "incident"))
    for run in found:
        with about(run=run.pk, incident=run.incident_id):
            try:
                _look_after(run, at)
            except Exception:  # it is looked at again in seconds, and must not keep the others from it
                logger.exception("run %s could not be looked after", run.pk)
    return len(found)


def _look_after(run: Run, at: datetime) -> None:
    late = run.deadline_at is not None and at > run.deadline_at + PATIENCE
    given_up = run.lease_expires_at is None or at > run.lease_expires_at + PATIENCE or run.attempts >= MAX_ATTEMPTS
    if late or given_up:
        why, words = AbortReason.LOST_WORKER, f"lost its worker ({run.lease_holder})"
        if late:
            why, words = AbortReason.TIMEOUT, "passed its deadline"
        end_lost(run, why, at, actor="watchdog", words=words)
    else:
        send(run.pk)


def clear_waiting(at: datetime) -> None:
    """What must not start does not go on waiting: releasing the kill switch, or switching to execute, revives nothing.

    While the kill switch is on (the STOP file counts) all that waits is ended; while nothing is executed, what would start by
    itself. Requests stay then, for people to answer or to let expire.
    """
    notice_stop_file(at)
    if kill_state() is not KillState.OFF:
        _clear(WAITING, AbortReason.KILL_SWITCH, "the kill switch is on", at)
    elif global_mode() is not GlobalMode.EXECUTE:
        _clear(BY_ITSELF, AbortReason.POLICY, f"the installation is on {global_mode()}: nothing runs", at)


def _clear(statuses: tuple[RunStatus, ...], why: AbortReason, reason: str, at: datetime) -> None:
    for run in Run.objects.filter(status__in=statuses).select_related("service", "incident")[:200]:
        abort_before_start(run, why, reason, actor="scheduler", at=at)


def take_care(at: datetime, limit: int = 200) -> int:
    """Do what is due for runs that wait (`due_at`): expire, send again, judge whether a success held, decide again."""
    due = Run.objects.filter(due_at__lte=at).select_related("service", "incident__service", "playbook").order_by("due_at")
    found = list(due.exclude(status=RunStatus.DEFERRED)[:limit])
    for run in found:
        _try_to_take_care_of(run, at)
    return len(found) + _decide_again(list(due.filter(status=RunStatus.DEFERRED)[:limit]), at)


def _decide_again(deferred: list[Run], at: datetime) -> int:
    """Deferred runs whose window has opened, until one of them is let go: the facts for the next are those of the next tick.

    While as many as may run at once do, or are about to, all of them go on waiting.
    """
    if not deferred or Run.objects.filter(status__in=LET_GO).count() >= settings.SELF_HEAL_MAX_CONCURRENT_RUNS:
        return 0
    for number, run in enumerate(deferred, 1):
        _try_to_take_care_of(run, at)
        if run.status in LET_GO:
            return number
    return len(deferred)


def _try_to_take_care_of(run: Run, at: datetime) -> None:
    try:
        take_care_of(run, at)
    except Exception:  # one run that cannot be looked after must not keep the others waiting; it is tried again
        logger.exception("run %s could not be looked after", run.pk)
        Run.objects.filter(pk=run.pk, due_at=run.due_at).update(due_at=at + POLL)


def take_care_of(run: Run, at: datetime) -> None:
    if run.status == RunStatus.PENDING:
        reason = "nobody answered in time; the incident stays open and is looked at again"
        abort_before_start(run, AbortReason.EXPIRED, reason, actor="scheduler", at=at)
    elif run.status == RunStatus.DEFERRED:
        proposals.decide_again(run, at)
    elif run.status in (RunStatus.APPROVED, RunStatus.QUEUED) and too_old(run, at):
        abort_before_start(run, AbortReason.SUPERSEDED, "approved and not started in time", actor="scheduler", at=at)
    elif run.status in (RunStatus.APPROVED, RunStatus.QUEUED):
        _send_again(run, at)
    elif run.status == RunStatus.SUCCEEDED and run.held is None:
        judge_held(run, at)
    else:
        Run.objects.filter(pk=run.pk, status=run.status).update(due_at=None)


def _send_again(run: Run, at: datetime) -> None:
    """A hint was lost, or the run waits for a slot: hint again. `approved` never lasts: it was queued in the same transaction."""
    if Run.objects.filter(pk=run.pk, status=run.status, due_at=run.due_at).update(due_at=at + POLL) == 1:
        send(run.pk)
