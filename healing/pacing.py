"""What the waits say: duplicates, backoff, and the rate of proposals, for many places at once or for one that is locked.

Rules that this module keeps:
1. All places of a look are asked about in four queries, each by an index on the place, however long its history is.
2. What they say is asked again in the transaction of the proposal, when the place is locked (`refuse`): it was true a moment ago
   for many schedulers at once, and is then true for one.
3. An instant of the past that is still to come (the clock was set back) counts as just now: nothing is proposed twice by that.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection
from django.db.models import QuerySet

from healing.intake.lookup import among, newest
from healing.mode import global_mode
from healing.models import Backoff, Incident, Run, Service
from selfheal import backoff
from selfheal.errors import Conflict
from selfheal.states import ALIVE_RUN, Outcome, Verdict

Place = tuple[uuid.UUID, str, str]
PLACE = ("service", "target", "diagnosis")
ALIVE = ", ".join(f"'{status}'" for status in ALIVE_RUN)


class Kept(Conflict):
    """Nothing is proposed now, for the reason of `skip`."""

    def __init__(self, skip: backoff.Skip) -> None:
        super().__init__(f"{skip.reason}: {skip.detail}" + (f", until {skip.until:%H:%M:%S} UTC" if skip.until else ""))
        self.skip = skip


def place_of(thing: Incident | Run | Backoff) -> Place:
    return thing.service_id, thing.target, thing.diagnosis


def skips(incidents: Collection[Incident], at: datetime) -> dict[uuid.UUID, backoff.Skip | None]:
    """Why nothing is proposed for each of the incidents now, or None, by key."""
    pasts = _pasts({place_of(each): each.service for each in incidents}, at)
    return {
        each.pk: backoff.skip(
            pasts[place_of(each)],
            at=at,
            duplicate_window=timedelta(minutes=settings.SELF_HEAL_DUPLICATE_WINDOW_MIN),
            per_hour=settings.SELF_HEAL_PROPOSALS_PER_HOUR,
            poll=timedelta(seconds=settings.SELF_HEAL_POLL_SECONDS),
        )
        for each in incidents
    }


def refuse(incident: Incident, at: datetime) -> None:
    """Raises Kept if nothing is to be proposed now. The caller has locked the service and the incident."""
    skip = skips([incident], at)[incident.pk]
    if skip:
        raise Kept(skip)


def modes(service: Service) -> str:
    return f"{global_mode()}/{service.mode}"


def _pasts(places: Mapping[Place, Service], at: datetime) -> dict[Place, backoff.Past]:
    keys = sorted(places)
    alive = {place_of(run): run.status for run in _runs().filter(pk__in=among(Run, PLACE, keys, f"e.status IN ({ALIVE})"))}
    last = {place_of(run): run for run in _runs().filter(pk__in=newest(Run, PLACE, keys, "created_at"))}
    waits = {place_of(row): row.next_allowed_at for row in Backoff.objects.filter(pk__in=among(Backoff, PLACE, keys))}
    hours = _hours(sorted({place[:2] for place in keys}), at)
    return {
        place: _past(alive.get(place), last.get(place), waits.get(place), hours.get(place[:2], []), service)
        for place, service in places.items()
    }


def _past(
    alive: str | None, last: Run | None, allowed_at: datetime | None, hour: list[datetime], service: Service
) -> backoff.Past:
    if last and _only_mode_refused(last, service):
        last, allowed_at = None, None
    return backoff.Past(
        alive=alive or "",
        last_proposed_at=last.created_at if last and last.outcome != Outcome.SUCCESS else None,
        next_allowed_at=allowed_at,
        proposals_last_hour=len(hour),
        oldest_in_hour=hour[0] if hour else None,
    )


def _hours(pairs: Collection[tuple[uuid.UUID, str]], at: datetime) -> dict[tuple[uuid.UUID, str], list[datetime]]:
    """When something was proposed for each service and target in the last hour, in order."""
    since = connection.ops.adapt_datetimefield_value(at - backoff.HOUR)
    rows = Run.objects.filter(pk__in=among(Run, PLACE[:2], pairs, "e.created_at > %s", [since])).order_by("created_at")
    found: dict[tuple[uuid.UUID, str], list[datetime]] = {}
    for service, target, created_at in rows.values_list("service_id", "target", "created_at"):
        found.setdefault((service, target), []).append(created_at)
    return found


def _runs() -> QuerySet[Run]:
    return Run.objects.only(*PLACE, "status", "outcome", "created_at", "decision").order_by()


def _only_mode_refused(run: Run, service: Service) -> bool:
    """Whether the mode refused the last proposal and is another one now: then it is no reason to wait."""
    refused = run.decision.get("verdict") == Verdict.DENY and run.decision.get("but_for_mode") != Verdict.DENY
    return refused and run.decision.get("mode") != modes(service)
