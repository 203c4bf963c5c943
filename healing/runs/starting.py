"""From approved to running: release, send, claim.

Rules that this module keeps:
1. A task carries an id and is only a hint. Whoever updates no row when claiming walks away; sending twice changes nothing.
2. What starts is looked at again at the moment of its start: digest, approval, plan, policy with the facts of now, age.
   Anything stricter than what was granted ends it before its first step.
3. Every claim raises the fencing token; whoever holds an older one can write nothing more. Who takes a run over looks whether
   its plan is still the one that was decided on; else the run is ended, with nothing further done and nothing undone.
4. All claims share one lock. What is slow is worked out before it (`foreseen`), and compared under it.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone
from kombu.exceptions import OperationalError

from healing import alertmanager, approvals, pools, proposals
from healing.alertmanager import Answer
from healing.governance import control, kill_state, service_graph, world
from healing.locks import lock_run
from healing.models import Incident, Playbook, Run
from healing.runs.ending import abort_before_start, end_lost
from healing.runs.foreseen import Foreseen, foresee
from healing.transitions import move, record
from selfheal import changes, graph, policy
from selfheal.errors import Invalid
from selfheal.playbooks import NotApplicable
from selfheal.states import ACTIVE_RUN, LIVE_INCIDENT, AbortReason, KillState, RunStatus, Trigger, Verdict

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=15)
MAX_ATTEMPTS = 3
UNSOUND = "the stored plan is not the one that was decided on"


@dataclass(frozen=True)
class Lease:
    """The right to work on a run, until somebody claims it with a higher token."""

    run_id: uuid.UUID
    holder: str
    token: int
    recovered: bool  # an earlier worker died with it


def release(run: Run, at: datetime) -> None:
    """approved → queued, and a hint to the workers once this is committed."""
    if move(run, RunStatus.QUEUED, actor="scheduler", at=at, reason=run.reason, changes={"due_at": at + _poll()}):
        transaction.on_commit(lambda: _send_now(run.pk))


def send(run_id: uuid.UUID) -> None:
    """Hint to the workers after the commit that a run waits."""
    transaction.on_commit(lambda: _send_now(run_id))


def _send_now(run_id: uuid.UUID) -> None:
    from healing.tasks import execute_run

    plan, pool = Run.objects.values_list("plan", "service__pool").get(pk=run_id)
    try:
        execute_run.apply_async((str(run_id),), queue=pools.queue(pool), retry=False, time_limit=hard_limit(plan))
    except (OperationalError, OSError) as error:  # the broker is only a hint: the tick sends it again
        logger.warning("run %s could not be sent, the next tick will: %s", run_id, error)


def hard_limit(plan: Mapping[str, Any]) -> int:
    """Seconds after which Celery kills the worker's child: run timeout, verification and rollback, a minute, and however long
    people may take to confirm."""
    undo = sum((step["rollback"] or {}).get("timeout_ms", 0) for step in plan["steps"])
    verify = sum(check["within_ms"] for check in plan["verify"])
    asked = sum(bool(step.get("confirm")) for step in plan["steps"]) * settings.SELF_HEAL_APPROVAL_TTL_MIN * 60
    return 60 + (plan["timeout_ms"] + undo + verify) // 1000 + asked


def claim(run_id: uuid.UUID, holder: str, at: datetime | None = None) -> Lease | None:
    """Take a run that waits, or one whose worker is gone. None: not to be had, or ended before its start.

    Without `at` the clock is read once the lock is there: a lease must not be old when it is born.
    """
    answer, seen = alertmanager.about_run(run_id, at or timezone.now()), foresee(run_id)
    try:
        with transaction.atomic():
            control(lock=True)
            if not Run.objects.filter(pk=run_id).exists():
                return None
            run, at = lock_run(run_id), at or timezone.now()
            if run.status in ACTIVE_RUN:
                return _take_over(run, holder, seen, at)
            if run.status != RunStatus.QUEUED or not _may_start(run, answer, seen, at):
                return None
            return _start(run, holder, answer, at)
    except IntegrityError as error:
        if not _target_is_taken(error):
            raise
        return None  # another run has just taken the target: this one stays queued


def _target_is_taken(error: IntegrityError) -> bool:
    """Whether the constraint of one active run a target refused it; SQLite names its columns, PostgreSQL the constraint."""
    said = str(error)
    return "one_active_run_a_target" in said or "healing_run.service_id, healing_run.target" in said


def _start(run: Run, holder: str, answer: Answer, at: datetime) -> Lease | None:
    changes = {
        "lease_token": run.lease_token + 1,
        "lease_holder": holder,
        "lease_expires_at": at + LEASE,
        "attempts": run.attempts + 1,
        "started_at": at,
        "deadline_at": at + timedelta(milliseconds=run.plan["timeout_ms"]),
        "due_at": None,
    }
    where = {"lease_token": run.lease_token}
    payload = {"digest": run.digest, "worker": holder, "token": changes["lease_token"]}
    reason = f"a person approved it; Alertmanager could not be asked: {answer.doubt}" if answer.doubt else ""
    if not move(run, RunStatus.RUNNING, actor=holder, reason=reason, at=at, where=where, changes=changes, payload=payload):
        return None
    return Lease(run.pk, holder, run.lease_token, recovered=False)


def _take_over(run: Run, holder: str, seen: Foreseen, at: datetime) -> Lease | None:
    """Claim a run whose lease has run out: a higher token shuts the old worker out. None, too, if its plan is another one now."""
    token = run.lease_token + 1
    stale = Run.objects.filter(
        pk=run.pk, lease_token=run.lease_token, lease_expires_at__lt=at, attempts__lt=MAX_ATTEMPTS, status__in=ACTIVE_RUN
    )
    taken = stale.update(lease_token=token, lease_holder=holder, lease_expires_at=at + LEASE, attempts=run.attempts + 1)
    if taken != 1:
        return None
    payload = {"worker": holder, "token": token, "lost": run.lease_holder}
    record(run, "run.taken_over", actor=holder, reason=f"{run.lease_holder} let its lease run out", at=at, payload=payload)
    if not seen.is_sound(run):
        run.lease_token = token
        end_lost(run, AbortReason.SUPERSEDED, at, actor=holder, words=f"was taken over, and {UNSOUND}: a person has to look")
        return None
    return Lease(run.pk, holder, token, recovered=True)


def _may_start(run: Run, answer: Answer, seen: Foreseen, at: datetime) -> bool:
    """Every look at the moment of the start; what fails for good ends the run, what is only busy leaves it queued."""
    refusal = _refusal(run, answer, seen, at)
    if refusal:
        why, reason = refusal
        if why is AbortReason.CHANGE_WINDOW:
            record(run, "playbook_run_blocked", actor="policy", reason=reason, at=at, payload={"digest": run.digest})
        abort_before_start(run, why, reason, actor="policy", at=at)
        return False
    if _busy(run):
        Run.objects.filter(pk=run.pk, status=RunStatus.QUEUED).update(due_at=at + _poll())
        return False
    if _needs_approval(run) and not approvals.consume(run, at):
        abort_before_start(run, AbortReason.SUPERSEDED, "there is no unused approval of this plan", actor="policy", at=at)
        return False
    return True


def _refusal(run: Run, answer: Answer, seen: Foreseen, at: datetime) -> tuple[AbortReason, str] | None:
    incident = run.incident
    if incident is None:
        return AbortReason.SUPERSEDED, "the incident is gone"
    gone = outdated(run, incident, seen)
    if gone:
        return gone
    if too_old(run, at):
        return AbortReason.SUPERSEDED, f"approved and not started within {settings.SELF_HEAL_START_TTL_MIN} min"
    if answer.skip:
        return AbortReason.SUPERSEDED, answer.detail
    return _stricter(run, incident, answer, at)


def outdated(run: Run, incident: Incident, seen: Foreseen | None = None) -> tuple[AbortReason, str] | None:
    """Whether what it was proposed for is over by now, or its plan would be another one."""
    seen, moved_at = seen or Foreseen(), control().kill_at
    if kill_state() is not KillState.OFF or (moved_at and run.created_at <= moved_at):
        return AbortReason.KILL_SWITCH, "the kill switch is on, or was moved since it was proposed: nothing old is revived"
    if incident.status not in LIVE_INCIDENT:
        return AbortReason.SUPERSEDED, "the incident is over"
    if not run.service.active:
        return AbortReason.SUPERSEDED, "the service is not declared any more"
    if not seen.is_sound(run):
        return AbortReason.SUPERSEDED, UNSOUND
    return _changed(run, incident, seen)


def too_old(run: Run, at: datetime) -> bool:
    """Whether its start TTL is over: switching something on must start nothing old."""
    return at > (run.approved_at or run.created_at) + timedelta(minutes=settings.SELF_HEAL_START_TTL_MIN)


def _changed(run: Run, incident: Incident, seen: Foreseen) -> tuple[AbortReason, str] | None:
    """Whether the same playbook, parameters and target still give the same plan."""
    if not run.playbook.active:
        return AbortReason.SUPERSEDED, f"the playbook was changed after the decision: {_edited(run)}"
    try:
        plan, digest = seen.plan_now(run, incident)
    except NotApplicable as error:
        return AbortReason.SUPERSEDED, f"it does not apply any more: {error}"
    except Invalid as error:
        return AbortReason.BOUNDS, f"it is out of its bounds now: {error}"
    if digest != run.digest:
        return AbortReason.SUPERSEDED, f"the plan would be another one now: {_differences(run, plan)}"
    return None


def _edited(run: Run) -> str:
    """What the edited playbook would do otherwise, in words."""
    active = Playbook.objects.filter(name=run.playbook.name, active=True).first()
    if active is None or run.incident is None:
        return f"{run.playbook.name} is not there any more"
    try:
        plan = proposals.plan_for(run.incident, active, run.decision.get("given", {}), gathered=run.plan.get("gathered", {}))
    except (NotApplicable, Invalid) as error:
        return f"{active} does not apply: {error}"
    return _differences(run, plan)


def _differences(run: Run, plan: Mapping[str, Any]) -> str:
    """What `plan` does otherwise than the plan of the run, in words; place by place it is kept with the run, for its page."""
    found = changes.changes(run.plan, plan)
    run.decision = {**run.decision, "changed": [change._asdict() for change in found]}
    Run.objects.filter(pk=run.pk).update(decision=run.decision)
    return changes.words(found)[:1000]


def _stricter(run: Run, incident: Incident, answer: Answer, at: datetime) -> tuple[AbortReason, str] | None:
    """Whether policy, with the facts of now, would grant less than what was granted."""
    decision = proposals.decide(
        incident, run.plan, Trigger(run.trigger), world(at), at, doubt=answer.doubt, asked=proposals.asked_by(run)
    )
    allowed = decision.verdict is not Verdict.DENY if _needs_approval(run) else decision.verdict is Verdict.AUTO
    if allowed:  # a person who approved exactly this plan has answered whatever policy would ask or wait for
        return None
    return abort_reason_of(decision), decision.why


def abort_reason_of(decision: policy.Decision) -> AbortReason:
    """The reason that stands on the run, from the strictest rules."""
    names = {r.rule for r in decision.rulings if r.verdict is decision.verdict}
    for rule, reason in (
        ("kill_switch", AbortReason.KILL_SWITCH),
        ("bounds", AbortReason.BOUNDS),
        ("change_window", AbortReason.CHANGE_WINDOW),
    ):
        if rule in names:
            return reason
    return AbortReason.POLICY


def _needs_approval(run: Run) -> bool:
    return run.decision.get("verdict") == Verdict.APPROVAL


def _busy(run: Run) -> bool:
    """At most so many runs at once, one a service, one a dependency chain; the rest stay queued."""
    active = list(Run.objects.filter(status__in=ACTIVE_RUN).values_list("service__name", flat=True))
    if len(active) >= settings.SELF_HEAL_MAX_CONCURRENT_RUNS:
        return True
    return not graph.chain(service_graph(), run.service.name).isdisjoint(active)


def _poll() -> timedelta:
    return timedelta(seconds=settings.SELF_HEAL_POLL_SECONDS)
