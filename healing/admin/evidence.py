"""What a person needs in order to decide about a request, in half a minute. Reads only; nothing here is live but what says so.

The plan, the decision and the reason are the frozen ones that the request is bound to. The incident, its silence, the votes, the
dependents and the last results are read now.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from healing import silences
from healing.approvals import ABOUT_RUNS, PERMISSION, approvers_of, run_of
from healing.governance import service_graph
from healing.models import ApprovalRequest, Run, Step, User
from selfheal import graph
from selfheal.states import OUTCOME_OF, ApprovalStatus

RESULTS = 3


def evidence(request: ApprovalRequest, at: datetime) -> dict[str, Any]:
    """Everything that the page shows, by name: of what is no run, what is asked for and how it was answered."""
    return {**_answers(request, at), **(_of_run(request, at) if request.subject_type in ABOUT_RUNS else {})}


def _answers(request: ApprovalRequest, at: datetime) -> dict[str, Any]:
    votes = list(request.votes.select_related("user"))
    return {
        "approvers": approvers_of(request.domain),
        "votes": votes,
        "approvals": sum(vote.approve for vote in votes),
        "overdue": request.status == ApprovalStatus.PENDING and request.expires_at <= at,
    }


def _of_run(request: ApprovalRequest, at: datetime) -> dict[str, Any]:
    run = run_of(request)
    return {
        "run": run,
        "plan": run.plan,
        "incident": run.incident,
        "service": run.service,
        "targets_in_all": run.service.targets.count(),
        "checked_at": checked_at(run),
        "reasons": reasons(request, run),
        "dependents": sorted(graph.dependents(service_graph(), run.service.name)),
        "undo": [step for step in reversed(run.plan["steps"]) if step["rollback"]],
        "stops": [step for step in run.plan["steps"] if step["on_fail"] == "stop"],
        "here": last_results(run, here=True),
        "elsewhere": last_results(run, here=False),
        "changed": run.decision.get("changed"),
        "edited": request.status == ApprovalStatus.PENDING and not run.playbook.active,
        "silenced": silences.told(run.incident, at) if request.status == ApprovalStatus.PENDING and not run.started_at else "",
    }


def checked_at(run: Run) -> datetime | None:
    """When somebody last looked: the newest symptom check, or triage."""
    looks = Step.objects.filter(run=run, phase="symptom", finished_at__isnull=False).order_by("-finished_at")
    seen = looks.values_list("finished_at", flat=True).first()
    return max((m for m in (seen, run.incident and run.incident.looked_at) if m), default=None)


def reasons(request: ApprovalRequest, run: Run) -> list[str]:
    """Why a person is asked, the reason that comes first in the rules first; together they are `request.why`."""
    said = [rule["reason"] for rule in run.decision.get("rules", []) if rule["verdict"] == run.decision["verdict"]]
    return said if request.why == "; ".join(said)[:500] else [request.why]


def last_results(run: Run, here: bool) -> list[Run]:
    """The newest runs of this playbook that are over, of any version: on this target, or on every other."""
    over = Run.objects.filter(playbook__name=run.playbook.name, status__in=list(OUTCOME_OF), started_at__isnull=False)
    place = {"service": run.service_id, "target": run.target}
    chosen: QuerySet[Run] = over.filter(**place) if here else over.exclude(**place)
    return list(chosen.select_related("service", "playbook").order_by("-created_at")[:RESULTS])


def kept_from(request: ApprovalRequest, user: User, votes: list[Any], at: datetime) -> str:
    """Why this person cannot answer at all, in words; empty: they can."""
    if request.status != ApprovalStatus.PENDING:
        return f"This request is {request.status} already."
    if request.expires_at <= at:
        return "This request has expired. If the trouble goes on, a new one will come."
    if not user.has_perm(PERMISSION):
        return "You may look but not decide: that needs the role approver."
    if any(vote.user_id == user.pk for vote in votes):
        return "You have answered this request already."
    return ""
