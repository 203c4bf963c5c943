"""How a run ends: outcome, record, incident and backoff are written in one transaction."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import F

from healing import approvals, debt
from healing.locks import lock_run
from healing.models import Backoff, Episode, Incident, Record, Run
from healing.transitions import move, record
from selfheal import outcomes, trust
from selfheal.errors import Conflict
from selfheal.states import (
    ACTIVE_RUN,
    ALIVE_RUN,
    LIVE_INCIDENT,
    OUTCOME_OF,
    AbortReason,
    ApprovalStatus,
    Impact,
    IncidentStatus,
    Outcome,
    RunStatus,
    StepStatus,
)

NOBODY = uuid.UUID(int=0)  # the incident of a run that has none
COUNTER = {
    Outcome.SUCCESS: "succeeded",
    Outcome.FAILED: "failed",
    Outcome.ROLLED_BACK: "rolled_back",
    Outcome.ABORTED: "aborted",
}


def finish(
    run: Run,
    to: RunStatus,
    *,
    actor: str,
    reason: str,
    at: datetime,
    abort_reason: AbortReason | None = None,
    where: Mapping[str, Any] | None = None,
) -> bool:
    """End a run that has started. False if somebody else ended it first (the fencing token in `where` is old)."""
    outcome = OUTCOME_OF[to]
    changes = {
        "abort_reason": abort_reason,
        "lease_expires_at": None,
        "due_at": at + outcomes.QUIET if outcome is Outcome.SUCCESS else None,
    }
    payload = {"outcome": outcome, "abort_reason": abort_reason, "digest": run.digest}
    with transaction.atomic():
        lock_run(run.pk)
        if not move(run, to, actor=actor, reason=reason, at=at, where=where, changes=changes, payload=payload):
            return False
        approvals.cancel(run, ApprovalStatus.CANCELLED, actor=actor, reason="the run is over", at=at)
        _count(run, outcome, abort_reason, at)
        if outcome is Outcome.SUCCESS:
            _resolve_incident(run, actor, at)
            debt.healed(run, at)
        else:
            _look_again(run, f"the last run {to.replace('_', ' ')}: {reason}", at)
        wake_queued()
    return True


def end_lost(run: Run, why: AbortReason, at: datetime, *, actor: str, words: str) -> bool:
    """End a run without its worker. What was running is `unknown`; the incident stays open and says so."""
    with transaction.atomic():
        lock_run(run.pk)
        fence = {"pk": run.pk, "lease_token": run.lease_token, "status": run.status}
        if Run.objects.filter(**fence).update(lease_token=F("lease_token") + 1) != 1:
            return False
        run.lease_token += 1
        lost, changes = list(run.steps.filter(status=StepStatus.RUNNING)), {"message": f"the run {words}"}
        for step in lost:
            move(step, StepStatus.UNKNOWN, actor=actor, at=at, reason=f"the run {words}", changes=changes)
        unknown = f"; unknown: {', '.join(step.name for step in lost)}" if lost else ""
        to = RunStatus.FAILED if run.status == RunStatus.VERIFYING else RunStatus.ABORTED
        return finish(run, to, actor=actor, reason=f"the run {words}{unknown}", at=at, abort_reason=why)


def abort_before_start(run: Run, why: AbortReason, reason: str, *, actor: str, at: datetime) -> bool:
    """End a run that never started; what was asked about it is taken back."""
    with transaction.atomic():
        lock_run(run.pk)
        changes = {"abort_reason": why, "due_at": None}
        if not move(run, RunStatus.ABORTED, actor=actor, reason=reason, at=at, changes=changes, payload={"abort_reason": why}):
            return False
        to = ApprovalStatus.EXPIRED if why is AbortReason.EXPIRED else ApprovalStatus.CANCELLED
        approvals.cancel(run, to, actor=actor, reason=reason, at=at)
        _look_again(run, f"the last proposal was aborted: {reason}", at)
    return True


def supersede(incident_ids: Collection[uuid.UUID], *, actor: str, reason: str, at: datetime) -> None:
    """End what waits for incidents that are over: nobody should be asked about a trouble that is gone."""
    waiting = [s for s in ALIVE_RUN if s not in ACTIVE_RUN]
    for run in Run.objects.filter(incident__in=incident_ids, status__in=waiting).select_related("service", "incident"):
        abort_before_start(run, AbortReason.SUPERSEDED, reason, actor=actor, at=at)


def rejected(run: Run, *, actor: str, reason: str, at: datetime) -> None:
    """A person said no; called in the transaction of the rejection."""
    if not move(run, RunStatus.REJECTED, actor=actor, reason=reason, at=at, changes={"due_at": None}):
        raise Conflict("the run was ended in the meantime")
    _look_again(run, f"rejected by {actor}: {reason}", at)


def abort(run_id: uuid.UUID, actor: str, reason: str, at: datetime) -> Run:
    """Stop a run: at once when it has not started, else its worker ends it within seconds.

    Raises Conflict when it is over.
    """
    run = Run.objects.select_related("service", "incident").get(pk=run_id)
    if run.status in OUTCOME_OF:
        raise Conflict(f"the run is over: {run.status}")
    if run.status not in ACTIVE_RUN:
        if not abort_before_start(run, AbortReason.OPERATOR, reason or f"aborted by {actor}", actor=actor, at=at):
            raise Conflict("the run moved on in the meantime; look at it again")
        return run
    with transaction.atomic():
        said = {"by": actor, "reason": reason or f"aborted by {actor}", "at": at.isoformat()}
        decision = {**run.decision, "abort_asked": said}
        if not Run.objects.filter(pk=run.pk, status__in=ACTIVE_RUN).update(decision=decision):
            raise Conflict("the run ended in the meantime")
        record(run, "run.abort_asked", actor=actor, reason=said["reason"], at=at)
    run.decision = decision
    return run


def judge_held(run: Run, at: datetime) -> None:
    """Decide whether a success held, and let record, autonomy and backoff follow."""
    same = Incident.objects.filter(service=run.service_id, target=run.target, diagnosis=run.diagnosis)
    incidents = [run.incident_id or NOBODY, *same.filter(opened_at__gte=run.created_at).values_list("pk", flat=True)[:50]]
    rows = Episode.objects.filter(incident__in=incidents).values_list("starts_at", "ends_at")
    episodes = [outcomes.Occurrence(*row) for row in rows]
    verdict = outcomes.held(run.finished_at or at, episodes, at)
    with transaction.atomic():
        lock_run(run.pk)
        due = verdict.look_at
        if not Run.objects.filter(pk=run.pk, held__isnull=True, due_at=run.due_at).update(held=verdict.held, due_at=due):
            return
        if verdict.held is None:
            return
        run.held = verdict.held
        record(run, "run.held" if verdict.held else "run.not_held", actor="scheduler", reason=verdict.reason, at=at)
        if verdict.held:
            _promote(run, at)
            Backoff.objects.filter(service=run.service_id, target=run.target, diagnosis=run.diagnosis).delete()
        else:
            _demote(run, verdict.reason, at)
            Record.objects.filter(pk=_record_of(run).pk).update(not_held=F("not_held") + 1)
            _reopen(run, verdict.reason, at)


def wake_queued() -> None:
    """A slot has become free: after the commit, send the runs that wait for one."""
    from healing.runs.starting import send

    waiting = Run.objects.filter(status=RunStatus.QUEUED).order_by("approved_at").values_list("pk", flat=True)[:4]
    for run_id in waiting:
        send(run_id)


def _count(run: Run, outcome: Outcome, abort_reason: AbortReason | None, at: datetime) -> None:
    standing = _record_of(run)
    Record.objects.filter(pk=standing.pk).update(started=F("started") + 1, **{COUNTER[outcome]: F(COUNTER[outcome]) + 1})
    if trust.demotes(outcome, abort_reason):
        _demote(run, f"the run {run.status.replace('_', ' ')}", at)


def _promote(run: Run, at: datetime) -> None:
    """Count a success that held; with the one that reaches the bound the playbook may act alone (again)."""
    standing = _record_of(run, lock=True)
    before = trust.autonomy(standing.standing, Impact(run.impact), at)
    standing.held += 1
    standing.streak += 1
    standing.save(update_fields=["held", "streak"])
    after = trust.autonomy(standing.standing, Impact(run.impact), at)
    if after[0] and not before[0]:
        payload = _place_of(standing) | {"before": {"autonomy": before[1]}, "after": {"autonomy": after[1]}}
        record(run, "autonomy.promoted", actor="scheduler", reason=after[1], at=at, payload=payload)


def _demote(run: Run, reason: str, at: datetime) -> None:
    """A bad run takes away what was earned, and what a person granted."""
    standing = _record_of(run, lock=True)
    before = {"streak": standing.streak, "granted_until": standing.granted_until and standing.granted_until.isoformat()}
    Record.objects.filter(pk=standing.pk).update(streak=0, demoted_at=at, granted_until=None)
    payload = _place_of(standing) | {"before": before, "after": {"streak": 0, "granted_until": None}}
    record(run, "autonomy.demoted", actor="scheduler", reason=reason, at=at, payload=payload)


def _record_of(run: Run, *, lock: bool = False) -> Record:
    rows = Record.objects.select_for_update() if lock else Record.objects
    return rows.get_or_create(diagnosis=run.diagnosis, playbook=run.plan["playbook"])[0]


def _place_of(standing: Record) -> dict[str, str]:
    return {"playbook": standing.playbook, "diagnosis": standing.diagnosis}


def _resolve_incident(run: Run, actor: str, at: datetime) -> None:
    incident = Incident.objects.filter(pk=run.incident_id or NOBODY, status__in=LIVE_INCIDENT).first()
    if incident is None:
        return
    why = {**incident.why, "skip": "", "reason": f"healed by {run.plan['playbook']}: verified", "run": str(run.pk)}
    changes = {"resolved_at": at, "next_look_at": None, "why": why}
    move(incident, IncidentStatus.RESOLVED, actor=actor, reason=f"verified by run {run.pk}", at=at, changes=changes)


def _look_again(run: Run, reason: str, at: datetime) -> None:
    """The incident stays open, says why, and is looked at again when the scheduler's own rules allow it."""
    for incident in Incident.objects.filter(pk=run.incident_id or NOBODY, status=IncidentStatus.OPEN):
        why = {**incident.why, "reason": reason, "last": reason, "run": str(run.pk)}
        Incident.objects.filter(pk=incident.pk).update(why=why, next_look_at=at)


def _reopen(run: Run, reason: str, at: datetime) -> None:
    from healing.incidents import reopen

    incident = Incident.objects.filter(pk=run.incident_id or NOBODY, status=IncidentStatus.RESOLVED).first()
    if incident:
        reopen(incident, "scheduler", f"the fix did not hold: {reason}", at)
