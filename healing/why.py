"""Why nothing happened, asked of the database: facts for `selfheal.whynot`, read within bounds.

Rules that this module keeps:
1. Nothing here costs in proportion to history: an alert's name is looked for in what is live, then in the newest that is over.
2. What never came is said to have never come only together with the time since which we would know.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet

from healing import pools, silences
from healing.models import ApprovalRequest, Episode, Incident, LedgerEntry, Run, TimelineEvent, UnmatchedAlert
from healing.notifications import deadman
from selfheal import whynot
from selfheal.states import ACTIVE_RUN, ALIVE_RUN, ApprovalStatus, EpisodeStatus, IncidentStatus, RunStatus

LOOKED_AT = 500  # incidents of each status, the newest, that are searched for an alert's name
SHOWN = 10  # incidents, and unmatched alerts, of one name


def of_incident(incident: Incident, at: datetime, run: Run | None = None) -> whynot.Why:
    """Why it is as it is. `run`: its newest one, where it is known."""
    newest = run or incident.runs.select_related("playbook").order_by("-created_at").first()
    return whynot.of_incident(
        whynot.IncidentFacts(
            service=incident.service.name,
            diagnosis=incident.diagnosis,
            status=incident.status,
            opened_at=incident.opened_at,
            resolved_at=incident.resolved_at,
            next_look_at=incident.next_look_at,
            last=incident.why,
            run=_run(newest, _silenced(incident, newest, at), _no_worker(incident, newest, at)) if newest else None,
            has_it=_has_it(incident) if incident.status == IncidentStatus.ACK else "",
            declared=incident.service.active,
        )
    )


def of_unmatched(row: UnmatchedAlert) -> whynot.Why:
    firing = row.status == EpisodeStatus.FIRING
    return whynot.of_unmatched(str(row), row.reason, row.suggestion, row.first_seen_at, firing=firing)


def of_alert(name: str, at: datetime) -> dict[str, Any]:
    """All that is known of alerts of that name: {alertname, why, incidents, unmatched}, the last two lists of (row, Why).

    `why` is the first answer: of an incident that is live, then of an unmatched alert, then of an incident that is over.
    """
    incidents = [(incident, of_incident(incident, at)) for incident in _named(name)]
    rows = UnmatchedAlert.objects.filter(labels__alertname=name).order_by("status", "-last_seen_at")[:SHOWN]
    unmatched = [(row, of_unmatched(row)) for row in rows]
    live = [why for incident, why in incidents if incident.status in (IncidentStatus.OPEN, IncidentStatus.ACK)]
    answers = [*live, *(why for _, why in unmatched), *(why for _, why in incidents)]
    first = answers[0] if answers else _nothing(name)
    return {"alertname": name, "why": first, "incidents": incidents, "unmatched": unmatched}


def _named(name: str) -> list[Incident]:
    """Incidents with an alert of that name: those that are live, else those that were over last."""
    found: list[Incident] = []
    for status in IncidentStatus:
        if found and status not in (IncidentStatus.OPEN, IncidentStatus.ACK):
            break
        newest = Incident.objects.filter(status=status).order_by("-opened_at").values("pk")[:LOOKED_AT]
        found += _with_alert(Incident.objects.filter(pk__in=list(newest.values_list("pk", flat=True))), name)
    return found[:SHOWN]


def _with_alert(incidents: QuerySet[Incident], name: str) -> Iterator[Incident]:
    by_episode = Episode.objects.filter(incident__in=incidents.values("pk"), labels__alertname=name).values("incident")
    rows = incidents.filter(Q(labels__alertname=name) | Q(title=name) | Q(pk__in=by_episode))
    return rows.select_related("service").order_by("-opened_at")[:SHOWN].iterator()


def _nothing(name: str) -> whynot.Why:
    if name == deadman.ALERTNAME:
        return whynot.of_sign_of_life(name, max((row.started_at for row in deadman.watched()), default=None))
    first = LedgerEntry.objects.order_by("index").values_list("at", flat=True).first()
    came = LedgerEntry.objects.filter(action="alerts.received").order_by("-at", "-index").values_list("at", flat=True).first()
    return whynot.of_nothing(name, first, came)


def _silenced(incident: Incident, run: Run, at: datetime) -> str:
    waits = run.status in ALIVE_RUN and run.status not in ACTIVE_RUN
    return silences.told(incident, at) if waits else ""


def _run(run: Run, silenced: str, no_worker: str) -> whynot.RunFacts:
    decision = run.decision
    return whynot.RunFacts(
        playbook=run.plan["playbook"],
        status=run.status,
        reason=run.reason,
        since=run.finished_at or run.started_at or run.approved_at or run.created_at,
        until=_until(run),
        held=run.held,
        verdict=str(decision.get("verdict") or ""),
        why=str(decision.get("why") or ""),
        rules=decision.get("rules") or (),
        started=run.started_at is not None,
        silenced=silenced,
        no_worker=no_worker,
    )


def _no_worker(incident: Incident, run: Run, at: datetime) -> str:
    """The pool that it waits for, where that has no worker."""
    pool = incident.service.pool if run.status == RunStatus.QUEUED else ""
    return pool if pool and pools.unmanned([pool], at) else ""


def _until(run: Run) -> datetime | None:
    """When the wait ends that its status stands for."""
    if run.status == RunStatus.PENDING:
        asked = ApprovalRequest.objects.filter(subject_id=run.pk, status=ApprovalStatus.PENDING)
        return asked.values_list("expires_at", flat=True).first()
    return run.due_at


def _has_it(incident: Incident) -> str:
    """Who was given it, else who acknowledged it."""
    if incident.assignee:
        return incident.assignee.username
    said = TimelineEvent.objects.filter(incident=incident, action="incident.ack").order_by("-outbox_id")
    return said.values_list("actor", flat=True).first() or ""
