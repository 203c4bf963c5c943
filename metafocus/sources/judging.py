"""Whether the sources were right, and what they have missed.

Rules that this module keeps:
1. A finding was right if, within an hour of it, an alert opened an incident of that service with that diagnosis (of the service
   graph: with any), or an alert came to its own incident, or a run that was proposed for it succeeded. It was wrong if a person
   rejected that run, or the hour passed without any of it.
2. What a source was not sure enough to say, may not say, or says where an incident is open already, is not judged.
3. An alert's incident was foreseen by a source if that had a finding of the service in the hour before; else, if it is one of
   those that the source is there for, it was missed.
4. Each is judged once. It costs what was found and what was opened since the cycle before, a few hundred at most. The recall of
   one cycle is lost if its worker dies between the cycle and this.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q, QuerySet

from healing.models import Incident, Run
from metafocus.models import Finding
from metafocus.sources import SOURCES, Source
from metafocus.sources.running import count
from selfheal.sources import AHEAD
from selfheal.states import IncidentStatus, Outcome, Trigger

MOST = 300
UNSAID = ("confidence", "disabled", "not_declared", "live")


def judge(since: datetime | None, at: datetime) -> None:
    """Judge the findings that can be, and the incidents that alerts have opened after `since`."""
    open_ones = Finding.objects.filter(right=None, found_at__gt=at - 2 * AHEAD).exclude(refused__in=UNSAID)
    for row in open_ones.select_related("incident").order_by("found_at")[:MOST]:
        _judge(row, at)
    if since is not None:
        for source in SOURCES.values():
            _recall(source, max(since, at - AHEAD), at)


def _judge(row: Finding, at: datetime) -> None:
    right, because = _verdict(row, at)
    if right is None:
        return
    with transaction.atomic():
        if Finding.objects.filter(pk=row.pk, right=None).update(right=right, judged_because=because):
            count(row.source, at, **{"right" if right else "wrong": 1})


def _verdict(row: Finding, at: datetime) -> tuple[bool | None, str]:
    if row.incident:
        if row.incident.episodes.exists():
            return True, "an alert has come to it"
        outcomes = set(Run.objects.filter(incident=row.incident).values_list("outcome", flat=True))
        if Outcome.SUCCESS in outcomes:
            return True, "what was proposed for it has helped"
        if Outcome.REJECTED in outcomes:
            return False, "a person has rejected what was proposed for it"
    if _came(row):
        return True, "an alert has said the same within the hour"
    return (False, "an hour has passed, and nothing has come of it") if at >= row.found_at + AHEAD else (None, "")


def _came(row: Finding) -> bool:
    """Whether an alert has opened such an incident after it."""
    said = Q() if row.source == Trigger.AGENTIC_SPINE else Q(diagnosis=row.diagnosis)
    came = _by_alerts(row.found_at, row.found_at + AHEAD).filter(said, service__name=row.service)
    return (came.exclude(pk=row.incident_id) if row.incident_id else came).exists()


def _by_alerts(since: datetime, until: datetime) -> QuerySet[Incident]:
    """Incidents that alerts have opened, by the index on status and opening."""
    return Incident.objects.filter(
        source=Trigger.ALERT, status__in=list(IncidentStatus), opened_at__gt=since, opened_at__lte=until
    )


def _recall(source: Source, since: datetime, at: datetime) -> None:
    came = list(_by_alerts(since, at).filter(source.foresees).distinct().values_list("service__name", "opened_at")[:MOST])
    if not came:
        return
    names = {service for service, _ in came}
    said = Finding.objects.filter(source=source.trigger, service__in=names, found_at__gt=since - AHEAD, found_at__lte=at)
    before = list(said.exclude(refused__in=UNSAID).values_list("service", "found_at"))
    foreseen = sum(any(name == service and _ahead(opened, found) for name, found in before) for service, opened in came)
    count(source.trigger, at, foreseen=foreseen, missed=len(came) - foreseen)


def _ahead(opened: datetime, found: datetime) -> bool:
    return timedelta() < opened - found <= AHEAD
