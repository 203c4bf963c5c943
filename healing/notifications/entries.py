"""Which entries of the log are told, and with which facts. Whatever is told is an entry first.

`transitions.record` calls `about` for each entry about a run, a request or a step; entries without such a thing (kill switch,
storm, Watchdog, tokens) are told where they are written.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.db import transaction

from healing.models import ApprovalRequest, Incident, Problem, Run, Service, Step
from healing.notifications import links
from healing.notifications.writing import listening, tell
from selfheal.messages import Facts
from selfheal.states import AbortReason, KillState

logger = logging.getLogger(__name__)


def about(thing: Any, action: str, reason: str, payload: Mapping[str, Any], at: datetime) -> None:
    """Tell of an entry, if it is one that is told."""
    telling = _TOLD.get(action)
    if telling is not None and listening():
        telling(thing, action, reason, payload, at)


def unhealed(incident: Incident, reason: str, at: datetime) -> None:
    """An incident that nothing heals: a person has to. Called where that is written down first."""
    if not listening():
        return
    facts = Facts(
        what=f"{incident.title}: {incident.service.name} / {incident.target}",
        service=incident.service.name,
        target=incident.target,
        impact=incident.severity,
        why=reason,
        link=links.address("healing_incident_change", incident.pk),
    )
    tell("incident.unhealed", facts, subject=f"incident:{incident.pk}", at=at, service=incident.service)


def storm(event: str, reason: str, at: datetime) -> None:
    """A storm has begun, or is over (`storm.tripped`, `storm.over`)."""
    if listening():
        tell(event, Facts(what=reason, link=links.address("index")), subject="storm", at=at)


def guardrail(event: str, what: str, reason: str, at: datetime) -> None:
    """The meta loop has changed the guardrail (`guardrail.tightened`, `guardrail.loosened`)."""
    if listening():
        tell(event, Facts(what=what, why=reason, link=links.address("index")), subject="guardrail", at=at)


def kill_switch(state: str, reason: str, actor: str, at: datetime) -> None:
    """The switch was moved. Telling of it must not keep it from being moved, whatever is wrong with telling."""
    try:
        with transaction.atomic():
            if listening():
                what = f"on {state}" if state != KillState.OFF else "released"
                facts = Facts(what=what, why=reason, who=actor, link=links.address("healing_control_change", 1))
                tell("kill_switch.moved", facts, subject="kill_switch", at=at)
    except Exception:
        logger.exception("nobody is told that the kill switch was moved")


def _request(request: ApprovalRequest, action: str, reason: str, payload: Mapping[str, Any], at: datetime) -> None:
    facts, service = _asked(request)
    facts = replace(
        facts,
        why=f"{reason}; {request.why}" if action == "approval.escalated" else reason,
        who=f"approved by {', '.join(payload.get('approvers') or ()) or 'everybody with the role approver'}",
        until=f"{request.expires_at:%Y-%m-%d %H:%M} UTC",
        link=links.approval_link(request),
    )
    tell(action, facts, subject=f"approval:{request.pk}", at=at, service=service)


def _expired(request: ApprovalRequest, action: str, reason: str, payload: Mapping[str, Any], at: datetime) -> None:
    facts, service = _asked(request)
    facts = replace(facts, why=reason, link=links.address("healing_approvalrequest_change", request.pk))
    tell(action, facts, subject=f"approval:{request.pk}", at=at, service=service)


def _run(run: Run, action: str, reason: str, payload: Mapping[str, Any], at: datetime) -> None:
    tell(action, _facts_of(run, reason), subject=f"run:{run.pk}", at=at, service=run.service)


def _aborted(run: Run, action: str, reason: str, payload: Mapping[str, Any], at: datetime) -> None:
    """Only a run that had started: one that did not is told as what kept it from starting."""
    if run.started_at is not None and run.abort_reason != AbortReason.KILL_SWITCH:
        _run(run, action, reason, payload, at)


def _put_back(step: Step, action: str, reason: str, payload: Mapping[str, Any], at: datetime) -> None:
    facts = _facts_of(step.run, f"{payload.get('does', step.action)}: {reason}")
    tell(action, facts, subject=f"run:{step.run_id}", at=at, service=step.run.service)


def _problem(problem: Problem, action: str, reason: str, payload: Mapping[str, Any], at: datetime) -> None:
    facts = Facts(
        what=f"{problem.diagnosis}: {problem.service.name}",
        service=problem.service.name,
        why=reason,
        who=problem.owner,
        link=links.address("healing_problem_change", problem.pk),
    )
    tell(action, facts, subject=f"problem:{problem.pk}", at=at, service=problem.service)


def _facts_of(run: Run, why: str) -> Facts:
    return Facts(
        what=f"{run.plan['title']}: {run.service.name} / {run.target}",
        service=run.service.name,
        target=run.target,
        impact=run.impact,
        why=why,
        link=links.address("healing_run_change", run.pk),
    )


def _asked(request: ApprovalRequest) -> tuple[Facts, Service | None]:
    """What a request is about, and the service where it is about a run."""
    about_step = request.subject_type == "step"
    runs = Run.objects.filter(steps=request.subject_id) if about_step else Run.objects.filter(pk=request.subject_id)
    run = runs.select_related("service").first()
    facts = Facts(what=request.title, impact=request.impact)
    return (replace(facts, service=run.service.name, target=run.target), run.service) if run else (facts, None)


_TOLD: dict[str, Callable[[Any, str, str, Mapping[str, Any], datetime], None]] = {
    "approval.requested": _request,
    "approval.escalated": _request,
    "approval.expired": _expired,
    "run.succeeded": _run,
    "run.failed": _run,
    "run.rolled_back": _run,
    "run.aborted": _aborted,
    "run.not_held": _run,
    "autonomy.demoted": _run,
    "problem.opened": _problem,
    "put_back.failed": _put_back,
}
