"""Problems: what is healed again and again, until somebody looks for its cause (`selfheal.debt`).

Rules that this module keeps:
1. A success counts in the transaction of its outcome: the problem is there before the next proposal is decided.
2. One problem is open for a diagnosis on a service, which the database sees to; what is healed meanwhile is added to it.
3. While it is open nothing starts alone for it (`selfheal.policy.root_cause`). A person who may operate acknowledges it and says
   what is done about the cause, and that stands in the log.
4. A success costs the same, whatever was healed before: the count looks at an index, and at as many rows as make a problem.
"""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F

from healing.models import Incident, Problem, ProblemIncident, Run, Service, User
from healing.transitions import move, record
from selfheal.debt import Debt, Healed, counts_after, debt
from selfheal.errors import Conflict, Invalid, NotAllowed
from selfheal.states import Outcome, ProblemStatus

PERMISSION = "healing.operate"
MAX_NOTE = 2_000


def stopped(service: Service, diagnosis: str) -> str:
    """Why nothing starts alone for this diagnosis on this service, in words; empty: it may."""
    problem = _open_of(service.pk, diagnosis)
    return problem.words if problem else ""


def healed(run: Run, at: datetime) -> None:
    """Count a run that has just succeeded; called in the transaction of its outcome."""
    if not settings.SELF_HEAL_PROBLEM_HEALS:
        return
    problem = _open_of(run.service_id, run.diagnosis)
    if problem is None:
        found = _debt_of(run, at)
        if found is None or _open(run, found, at):
            return
        problem = _open_of(run.service_id, run.diagnosis)
    if problem:
        _add(problem, run, at)


def acknowledge(problem_id: uuid.UUID, user: User, note: str, at: datetime) -> Problem:
    """Somebody has it: policy decides again. `note`: what is done about the cause.

    Raises NotAllowed (role), Invalid naming the field, Conflict where somebody has it already.
    """
    if not user.has_perm(PERMISSION):
        raise NotAllowed("this needs the role operator")
    if not 0 < len(note.strip()) <= MAX_NOTE or "\x00" in note:
        raise Invalid(f"says what is done about the cause, in 1 to {MAX_NOTE:,} characters", field="reason")
    problem = Problem.objects.select_related("service", "acknowledged_by").get(pk=problem_id)
    if problem.status != ProblemStatus.OPEN:
        raise Conflict(f"{problem.acknowledged_by} has acknowledged it already")
    changes = {"acknowledged_at": at, "acknowledged_by": user, "note": note}
    if not move(problem, ProblemStatus.ACK, actor=user.username, at=at, reason=note, changes=changes, payload=_told(problem)):
        raise Conflict("somebody else acknowledged it in the meantime")
    return problem


def _open_of(service_id: uuid.UUID, diagnosis: str) -> Problem | None:
    here = Problem.objects.filter(service=service_id, diagnosis=diagnosis, status=ProblemStatus.OPEN)
    return here.select_related("service").first()


def _debt_of(run: Run, at: datetime) -> Debt | None:
    """What the newest successes of its place come to."""
    heals, within = settings.SELF_HEAL_PROBLEM_HEALS, timedelta(days=settings.SELF_HEAL_PROBLEM_DAYS)
    before = Problem.objects.filter(service=run.service_id, diagnosis=run.diagnosis).order_by("-opened_at").first()
    settled = before.acknowledged_at if before else None
    runs = Run.objects.filter(
        service=run.service_id,
        diagnosis=run.diagnosis,
        outcome=Outcome.SUCCESS,
        finished_at__gt=counts_after(at, within, settled),
    )
    newest = list(runs.select_related("incident").order_by("-finished_at")[:heals])
    successes = [Healed(each.finished_at or at, str(each.incident_id or ""), _cost(each.incident, at)) for each in newest]
    return debt(successes, at, heals=heals, within=within, acknowledged_at=settled)


def _open(run: Run, found: Debt, at: datetime) -> bool:
    """Open it; False: another success at the same moment was quicker."""
    try:
        with transaction.atomic():
            problem = Problem.objects.create(
                service=run.service,
                diagnosis=run.diagnosis,
                owner=run.service.owner,
                heals=found.heals,
                seconds=found.seconds,
                first_at=found.first_at,
                last_at=found.last_at,
                opened_at=at,
            )
            known = [key for key in found.costs if key]
            ProblemIncident.objects.bulk_create(
                ProblemIncident(problem=problem, incident_id=uuid.UUID(key), seconds=found.costs[key]) for key in known
            )
            payload = _told(problem) | {"incidents": known}
            record(problem, "problem.opened", actor="scheduler", reason=problem.words, at=at, payload=payload)
    except IntegrityError:
        return False
    return True


def _add(problem: Problem, run: Run, at: datetime) -> None:
    """One more success of an open problem."""
    incident = Incident.objects.filter(pk=run.incident_id).first() if run.incident_id else None
    more = _cost(incident, at)
    if incident:
        part, fresh = ProblemIncident.objects.get_or_create(problem=problem, incident=incident, defaults={"seconds": more})
        if not fresh:
            ProblemIncident.objects.filter(pk=part.pk).update(seconds=more)
            more -= part.seconds
    changes = {"heals": F("heals") + 1, "seconds": F("seconds") + more, "last_at": at, "owner": run.service.owner}
    Problem.objects.filter(pk=problem.pk, status=ProblemStatus.OPEN).update(**changes)


def _cost(incident: Incident | None, at: datetime) -> int:
    """For how many seconds it was open, so far."""
    if incident is None:
        return 0
    return max(0, round(((incident.resolved_at or at) - incident.opened_at).total_seconds()))


def _told(problem: Problem) -> dict[str, object]:
    return {
        "service": problem.service.name,
        "diagnosis": problem.diagnosis,
        "owner": problem.owner,
        "heals": problem.heals,
        "minutes": problem.minutes,
    }
