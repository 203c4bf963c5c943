"""A proposal: the plan frozen and digested, policy's word on it, and what follows from that word.

Rules that this module keeps:
1. A proposal is one transaction: run, plan, digest, decision, request and log entries stand or fall together.
2. Two proposals for one (service, target, diagnosis) are refused by the database, not by an `if`.
3. Each verdict has its one move: deny → aborted, defer → deferred, approval → pending and a request, auto → queued.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction

from healing import approvals, catalog, notifications, pacing
from healing.actions import ACTIONS
from healing.checks import CHECKS
from healing.gathering import SECONDS, gather
from healing.governance import World, facts_for, kill_state, world
from healing.ledger import instant
from healing.locks import lock_incident, lock_run, lock_service
from healing.models import Backoff, Incident, Playbook, Run, User
from healing.transitions import move, record
from selfheal import backoff, policy, scores
from selfheal.canonical import digest
from selfheal.errors import Conflict
from selfheal.playbooks import Facts, Vocabulary, resolve, to_gather
from selfheal.proposals import proposal_of
from selfheal.states import LIVE_INCIDENT, AbortReason, EpisodeStatus, Impact, KillState, RunStatus, Trigger, Verdict

NOBODY: Mapping[str, str] = MappingProxyType({})
VOCABULARY = Vocabulary(actions=ACTIONS, checks=CHECKS)


@dataclass(frozen=True)
class Resolved:
    """A playbook that fits, with its frozen plan; or one that would, were it not for `problems`: those are denied.

    `choice`: why this one and no other (`selfheal.choices`); empty where a person chose it.
    """

    playbook: Playbook
    plan: dict[str, Any]
    problems: tuple[str, ...] = ()
    choice: dict[str, Any] = field(default_factory=dict)


def plan_for(
    incident: Incident,
    playbook: Playbook,
    given: Mapping[str, Any],
    *,
    gathered: Mapping[str, Any] | None = None,
    until: float | None = None,
) -> dict[str, Any]:
    """The frozen plan. Raises NotApplicable with its reason, Invalid for a given parameter that is out of bounds.

    `gathered`: what was gathered already; a transaction must hand it in, since without it it is read now, `until` an instant of
    `time.monotonic`.
    """
    document = catalog.document_of(playbook)
    facts = what_a_plan_is_made_of(incident, playbook, given)
    if gathered is None:
        planned = to_gather(document, facts, VOCABULARY)
        gathered = gather(planned, incident.service.name, until or time.monotonic() + SECONDS)
    return resolve(document, replace(facts, gathered=gathered), VOCABULARY)


def what_a_plan_is_made_of(incident: Incident, playbook: Playbook, given: Mapping[str, Any]) -> Facts:
    """Everything that a plan depends on, but for the playbook itself and what is gathered. Raises Invalid."""
    return Facts(
        incident={
            "id": str(incident.pk),
            "diagnosis": incident.diagnosis,
            "severity": incident.severity,
            "title": incident.title,
            "labels": incident.labels,
            "confidence": incident.confidence,
        },
        place=catalog.place_of(incident.service, incident.target),
        parameters=dict(given),
        version=playbook.version,
        run_timeout_ms=settings.SELF_HEAL_RUN_TIMEOUT_MIN * 60_000,
        places=catalog.places_of(incident.service) if catalog.document_of(playbook).targets == "service" else (),
    )


def refused_plan(incident: Incident, playbook: Playbook, given: Mapping[str, Any]) -> dict[str, Any]:
    """What stands in the place of a plan whose parameters are out of bounds: it names the playbook and its checks, no step."""
    return {
        "playbook": playbook.name,
        "version": playbook.version,
        "playbook_digest": playbook.digest,
        "title": playbook.title,
        "domain": playbook.domain,
        "impact": playbook.impact,
        "reversible": playbook.reversible,
        "service": incident.service.name,
        "target": incident.target,
        "targets": [incident.target],
        "diagnosis": incident.diagnosis,
        "parameters": dict(given),
        "gather": [],
        "gathered": {},
        "batch": None,
        "timeout_ms": settings.SELF_HEAL_RUN_TIMEOUT_MIN * 60_000,
        "outside_window": "ask",
        "symptom": [],
        "steps": [],
        "verify": [
            {"check": check["check"], "target": incident.target, "with": {}, "within_ms": 0, "every_ms": 0}
            for check in playbook.document.get("verify", [])
        ],
    }


def decide(
    incident: Incident,
    plan: Mapping[str, Any],
    trigger: Trigger,
    now: World,
    at: datetime,
    *,
    problems: tuple[str, ...] = (),
    doubt: str = "",
    asked: Mapping[str, str] = NOBODY,
) -> policy.Decision:
    """Policy's word on a plan, with the facts of this moment.

    `problems`: what is out of bounds; `doubt`: why Alertmanager could not be asked; `asked`: {requested_by, token}, who wants it.
    """
    firing = incident._state.adding or incident.episodes.filter(status=EpisodeStatus.FIRING).exists()
    behind = scores.behind({"playbook": plan["playbook"], "domain": plan["domain"], "trigger": trigger, **asked})
    about = (incident.service, plan["playbook"], incident.diagnosis, Impact(plan["impact"]))
    facts = facts_for(*about, now, at, doubt=doubt, behind=behind)
    proposal = proposal_of(plan, confidence=incident.confidence, trigger=trigger, own_alert=firing, problems=problems)
    return policy.decide(proposal, facts, at)


def asked_by(run: Run) -> dict[str, str]:
    """Who wanted a run, as `decide` takes it."""
    return {"requested_by": run.requested_by, "token": run.decision.get("token", "")}


def decision_json(decision: policy.Decision) -> dict[str, Any]:
    return {
        "verdict": decision.verdict,
        "but_for_mode": decision.but_for_mode,
        "why": decision.why,
        "needed": decision.needed,
        "policy": decision.version,
        "opens_at": decision.opens_at.isoformat() if decision.opens_at else None,
        "rules": [ruling._asdict() for ruling in decision.rulings],
    }


def make(
    incident: Incident,
    found: Resolved,
    trigger: Trigger,
    user: User | None,
    given: Mapping[str, Any],
    now: World,
    at: datetime,
    approves_via: str = "",
    doubt: str = "",
    token: str = "",
) -> Run:
    """Store a proposal and do what policy says of it. `token`: the public id of the one that it was asked for with.

    Raises Conflict if another one for the same place was quicker.
    """
    asked = {"requested_by": user.username if user else "scheduler", "token": token}
    decision = decide(incident, found.plan, trigger, now, at, problems=found.problems, doubt=doubt, asked=asked)
    said = {**decision_json(decision), "given": dict(given), "mode": pacing.modes(incident.service), "token": token}
    said |= {"choice": found.choice} if found.choice else {}
    try:
        with transaction.atomic():
            lock_service(incident.service_id)
            _still_wanted(incident)
            pacing.refuse(incident, at)
            run = Run.objects.create(
                incident=incident,
                service=incident.service,
                target=incident.target,
                diagnosis=incident.diagnosis,
                playbook=found.playbook,
                trigger=trigger,
                requested_by=asked["requested_by"],
                requester=user,
                impact=found.plan["impact"],
                plan=found.plan,
                digest=digest(found.plan),
                decision=said,
                created_at=at,
            )
            _log_proposal(run, decision, at)
            _follow(run, decision, user, approves_via, at)
            _raise_backoff(incident, at)
            _write_proposed(incident, run, decision, at)
    except IntegrityError as error:
        raise Conflict("a run for it is alive already") from error
    return run


def _still_wanted(incident: Incident) -> None:
    """What was read a moment ago still holds. Raises Conflict."""
    status = lock_incident(incident.pk).status
    if status not in LIVE_INCIDENT:
        raise Conflict(f"the incident is {status}")
    if kill_state() is not KillState.OFF:
        raise Conflict("the kill switch is on")


def _log_proposal(run: Run, decision: policy.Decision, at: datetime) -> None:
    payload = {
        "playbook": run.plan["playbook"],
        "version": run.plan["version"],
        "digest": run.digest,
        "impact": run.impact,
        "domain": run.plan["domain"],
        "trigger": run.trigger,
        "token": run.decision["token"],
        "service": run.service.name,
        "target": run.target,
        "diagnosis": run.diagnosis,
        "incident": str(run.incident_id),
        **({"since": instant(run.incident.opened_at)} if run.incident else {}),
        "verdict": decision.verdict,
        "policy": decision.version,
        "rules": [ruling._asdict() for ruling in decision.rulings],
        **({"choice": run.decision["choice"]} if "choice" in run.decision else {}),
    }
    record(run, "run.proposed", actor=run.requested_by, reason=decision.why, at=at, payload=payload)


def _follow(run: Run, decision: policy.Decision, user: User | None, approves_via: str, at: datetime) -> None:
    """Do what policy said: each verdict has its move."""
    from healing.runs.ending import abort_before_start
    from healing.runs.starting import abort_reason_of, release

    if decision.verdict is Verdict.DENY:
        abort_before_start(run, abort_reason_of(decision), decision.why, actor="policy", at=at)
    elif decision.verdict is Verdict.DEFER:
        changes = {"due_at": decision.opens_at}
        move(run, RunStatus.DEFERRED, actor="policy", reason=decision.why, at=at, changes=changes)
    elif decision.verdict is Verdict.APPROVAL:
        expires = at + timedelta(minutes=settings.SELF_HEAL_APPROVAL_TTL_MIN)
        move(run, RunStatus.PENDING, actor="policy", reason=decision.why, at=at, changes={"due_at": expires})
        request = approvals.ask(run, decision, at)
        counts = user and approves_via and user.has_perm(approvals.PERMISSION) and request.needed == 1
        if user and counts and not approvals.kept_from_approving(request, user):
            approvals.approve(request.pk, user, "their own proposal counts as the approval", approves_via, at)
            run.refresh_from_db()
    else:
        move(run, RunStatus.APPROVED, actor="policy", reason=decision.why, at=at, changes={"approved_at": at, "due_at": at})
        release(run, at)


def _raise_backoff(incident: Incident, at: datetime) -> None:
    place = {"service": incident.service, "target": incident.target, "diagnosis": incident.diagnosis}
    row, _ = Backoff.objects.get_or_create(**place, defaults={"next_allowed_at": at})
    pause = backoff.wait(
        row.proposals + 2,
        base=timedelta(minutes=settings.SELF_HEAL_BACKOFF_BASE_MIN),
        longest=timedelta(minutes=settings.SELF_HEAL_BACKOFF_MAX_MIN),
        jitter=random.uniform(-1, 1),  # noqa: S311 — spreads waits, keeps no secret
    )
    Backoff.objects.filter(pk=row.pk).update(proposals=row.proposals + 1, next_allowed_at=at + pause)


def _write_proposed(incident: Incident, run: Run, decision: policy.Decision, at: datetime) -> None:
    over = run.status == RunStatus.ABORTED
    again = at + timedelta(seconds=settings.SELF_HEAL_POLL_SECONDS) if over else None
    why = {
        "skip": "",
        "reason": f"{run.plan['playbook']} proposed: {decision.verdict}, {decision.why}",
        "since": at.isoformat(),
        "at": at.isoformat(),
        "run": str(run.pk),
        "verdict": decision.verdict,
        "but_for_mode": decision.but_for_mode,
        "next_look_at": again.isoformat() if again else None,
    }
    Incident.objects.filter(pk=incident.pk).update(why=why, next_look_at=again)
    refused = decision.verdict is Verdict.DENY and decision.but_for_mode is Verdict.DENY
    if refused and incident.why.get("verdict") != Verdict.DENY:  # said once, not with each look
        notifications.unhealed(incident, f"{run.plan['playbook']} would fit and is denied: {decision.why}", at)


def decide_again(run: Run, at: datetime) -> None:
    """A deferred run at its opening: decided anew, with the facts of now. Nobody is asked about what is out of date."""
    from healing.runs.ending import abort_before_start
    from healing.runs.starting import abort_reason_of, outdated, release

    if run.incident is None:
        abort_before_start(run, AbortReason.SUPERSEDED, "its incident is gone", actor="scheduler", at=at)
        return
    gone = outdated(run, run.incident)
    if gone:
        abort_before_start(run, *gone, actor="scheduler", at=at)
        return
    decision = decide(run.incident, run.plan, Trigger(run.trigger), world(at), at, asked=asked_by(run))
    with transaction.atomic():
        lock_run(run.pk)
        before, run.decision = run.decision.get("verdict"), {**run.decision, **decision_json(decision)}
        if not Run.objects.filter(pk=run.pk, status=RunStatus.DEFERRED).update(decision=run.decision):
            return
        said = {"before": before, **{key: run.decision[key] for key in ("verdict", "policy", "rules")}}
        record(run, "run.decided", actor="policy", reason=decision.why, at=at, payload=said)
        if decision.verdict is Verdict.DENY:
            abort_before_start(run, abort_reason_of(decision), decision.why, actor="policy", at=at)
        elif decision.verdict is Verdict.DEFER:
            Run.objects.filter(pk=run.pk, status=RunStatus.DEFERRED).update(due_at=decision.opens_at)
        elif decision.verdict is Verdict.APPROVAL:
            expires = at + timedelta(minutes=settings.SELF_HEAL_APPROVAL_TTL_MIN)
            if move(run, RunStatus.PENDING, actor="policy", reason=decision.why, at=at, changes={"due_at": expires}):
                approvals.ask(run, decision, at)
        elif move(run, RunStatus.APPROVED, actor="policy", reason=decision.why, at=at, changes={"approved_at": at}):
            release(run, at)
