"""What the sources find becomes findings, and incidents on their terms; what they do not find any more is over.

Rules that this module keeps:
1. A source that fails is written in the worker's log, and keeps neither the others nor the loop from going on.
2. The same trouble is one finding as long as it is found; it is tried again while it may not open its incident.
3. A finding that was not seen in two cycles is over, and so is the incident that it opened, unless an alert has come to it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import F, QuerySet

from healing import found, guardrail
from healing.models import Incident
from metafocus.models import Cycle, Finding, SourceDay
from metafocus.sources import SOURCES, Source
from selfheal.sources import Candidate
from selfheal.states import LIVE_INCIDENT, IncidentStatus, Trigger

logger = logging.getLogger(__name__)

KEPT, PRUNED = timedelta(days=90), 200  # findings that are over; of one source in one cycle

MOST = 50  # candidates of one source in one cycle
SHADOW = "shadow"


def look(cycle: Cycle, at: datetime) -> None:
    """Ask every source once."""
    for source in SOURCES.values():
        try:
            take(source, source.look(cycle, at), at)
            prune(source, at)
        except Exception:
            logger.exception("the source %s could not be asked", source.trigger)


def take(source: Source, candidates: Iterable[Candidate], at: datetime) -> None:
    """Write down what is found, open what may be opened, end what is gone."""
    live = {(row.service, row.target, row.diagnosis): row for row in _live(source)}
    for candidate in list(candidates)[:MOST]:
        known = live.pop(candidate.key, None)
        if known is None:
            _begin(source, candidate, at)
        else:
            _go_on(source, known, candidate, at)
    for gone in live.values():
        if at - gone.seen_at > 2 * guardrail.cycle():
            _end(gone, at)


def prune(source: Source, at: datetime) -> None:
    """Delete what was over long ago; the days are kept."""
    old = Finding.objects.filter(source=source.trigger, found_at__lt=at - KEPT, over_at__isnull=False).order_by("found_at")
    Finding.objects.filter(pk__in=list(old.values_list("pk", flat=True)[:PRUNED])).delete()


def count(source: str, at: datetime, **counts: int) -> None:
    """Add to the day of a source."""
    with transaction.atomic():
        day, _ = SourceDay.objects.get_or_create(source=source, day=at.date())
        SourceDay.objects.filter(pk=day.pk).update(**{name: F(name) + number for name, number in counts.items()})


def _live(source: Source) -> QuerySet[Finding]:
    return Finding.objects.filter(source=source.trigger, over_at=None).select_related("incident__service")


def _begin(source: Source, candidate: Candidate, at: datetime) -> None:
    row = Finding(source=source.trigger, found_at=at, service=candidate.service, target=candidate.target)
    row.diagnosis = candidate.diagnosis
    try:
        with transaction.atomic():
            _try(source, row, candidate, at)
            row.save(force_insert=True)
            count(source.trigger, at, found=1, opened=int(row.incident is not None))
    except IntegrityError:  # another loop has found it too
        return


def _go_on(source: Source, row: Finding, candidate: Candidate, at: datetime) -> None:
    before = row.incident
    with transaction.atomic():
        _try(source, row, candidate, at)
        row.save()
        if row.incident and before is None:
            count(source.trigger, at, opened=1)


def _try(source: Source, row: Finding, candidate: Candidate, at: datetime) -> None:
    """Say what is so now, and open its incident if there is none and there may be one."""
    row.confidence, row.title, row.seen_at = candidate.confidence, candidate.title[:300], at
    if row.incident_id:
        return
    opened = _open(source, candidate, at)
    row.incident, row.refused = (opened, "") if isinstance(opened, Incident) else (None, opened)


def _open(source: Source, candidate: Candidate, at: datetime) -> Incident | str:
    if source.trigger is Trigger.AGENTIC_SPINE:
        return _opened_by_healing(candidate) or "live"
    if source.shadow():
        return "live" if found.is_live(candidate) else SHADOW
    return found.open_found(source.trigger, candidate, at)


def _opened_by_healing(candidate: Candidate) -> Incident | None:
    place = {"service__name": candidate.service, "target": candidate.target, "diagnosis": candidate.diagnosis}
    return Incident.objects.filter(source=Trigger.AGENTIC_SPINE, status__in=LIVE_INCIDENT, **place).first()


def _end(row: Finding, at: datetime) -> None:
    """It is not found any more. What a person has acknowledged stays for that person to close."""
    with transaction.atomic():
        Finding.objects.filter(pk=row.pk).update(over_at=at)
        incident = row.incident
        mine = incident is not None and incident.source == row.source != Trigger.AGENTIC_SPINE
        if incident and mine and incident.status == IncidentStatus.OPEN and not incident.episodes.exists():
            found.end(incident, f"it is not found any more: {row.title}", at)
