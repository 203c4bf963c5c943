"""What is known of how often a place changed: from the spans of its alerts, by indexes, for many places at once.

Most places have not changed lately, and cost a look into two indexes; only where enough alerts ended is everything read.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from django.db import connection
from django.db.models import Count, Q

from healing.intake.lookup import among
from healing.models import Episode, Incident
from selfheal.flapping import CHANGES, WITHIN, Flap, Span, flap
from selfheal.states import EpisodeStatus, IncidentStatus

Place = tuple[uuid.UUID, str, str]
PLACE = ("service", "target", "diagnosis")
BACK = timedelta(days=1)  # how long an incident is reopened while its place flaps; after that it is another one


def flapping(incidents: Collection[Incident], at: datetime) -> dict[uuid.UUID, Flap]:
    """How the places of the incidents flap, by the key of the incident; those that do not are left out."""
    places = {each.pk: (each.service_id, each.target, each.diagnosis) for each in incidents}
    flaps = flaps_of(dict(_lately(set(places.values()), at)) | places, at)
    return {pk: flaps[place] for pk, place in places.items() if place in flaps}


def to_reopen(places: Collection[Place], at: datetime) -> dict[Place, uuid.UUID]:
    """The last incident of each of the places that flaps and has none that is live: it is opened again, and no new one."""
    lately = _lately(places, at, f"e.status = '{IncidentStatus.RESOLVED}'")
    flaps = flaps_of(dict(lately), at) if lately else {}
    return {place: pk for pk, place in lately if place in flaps}


def flaps_of(incidents: Mapping[uuid.UUID, Place], at: datetime) -> dict[Place, Flap]:
    """How the places flap that these incidents were at."""
    over = Episode.objects.filter(incident__in=incidents, status=EpisodeStatus.RESOLVED, ends_at__gt=at - WITHIN)
    ended: dict[Place, int] = {}
    for pk, count in over.order_by().values_list("incident").annotate(Count("pk")):
        ended[incidents[pk]] = ended.get(incidents[pk], 0) + count
    spans: dict[Place, list[Span]] = {place: [] for place, count in ended.items() if count >= CHANGES // 2}
    if not spans:
        return {}
    lately = Episode.objects.filter(Q(ends_at__gt=at - WITHIN) | Q(status=EpisodeStatus.FIRING))
    suspects = [pk for pk, place in incidents.items() if place in spans]
    for pk, start, end, status in lately.filter(incident__in=suspects).values_list("incident", "starts_at", "ends_at", "status"):
        spans[incidents[pk]].append((start, None if status == EpisodeStatus.FIRING else end))
    found = {place: flap(each, at) for place, each in spans.items()}
    return {place: each for place, each in found.items() if each}


def _lately(places: Collection[Place], at: datetime, where: str = "true") -> list[tuple[uuid.UUID, Place]]:
    """The incidents that were opened at these places within a day, the oldest first."""
    since = connection.ops.adapt_datetimefield_value(at - BACK)
    here = among(Incident, PLACE, sorted(places), f"e.opened_at > %s AND {where}", [since])
    rows = Incident.objects.filter(pk__in=here).order_by("opened_at", "pk")
    return [
        (pk, (service, target, diagnosis))
        for pk, service, target, diagnosis in rows.values_list("pk", "service_id", "target", "diagnosis")
    ]
