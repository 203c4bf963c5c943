"""The adapters asked at each poll: how the services of their domains are, as seen from here.

Rules that this module keeps:
1. What is seen is taken as every other sample is; nothing is decided here, and there is no second road.
2. All looks together take no longer than a poll, and `MOST_SECONDS`. Who was not reached is looked at first the next time.
3. It costs what the domains of SELF_HEAL_SENSE have of services, and nothing of the history.
4. What could not be seen is written down with its reason. No state changes by it: after the window it is unknown.
5. An adapter that fails, or says what it did not declare, stops no other.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from django.conf import settings

from healing import catalog
from healing.adapters import ADAPTERS
from healing.adapters.base import NO_TIME, Adapter, Around, Place, Seen
from healing.http import Guard
from healing.models import Sensed, Service
from healing.transitions import in_batches
from selfheal.errors import Invalid
from selfheal.signals import Measured
from selfheal.telemetry import check_values, thresholds

from .receiving import take

ACTOR = "sensor"
MOST_SECONDS = 10.0  # for all looks: the worker that senses has other short things to do
PROBED = 4.0  # for those between two polls
FORGET = timedelta(days=1)  # a place that was not looked at for so long is not one any more

logger = logging.getLogger(__name__)


class Failed(Exception):
    """Adapters that did not do what they should; the message says which. What the others saw is taken."""


def sense(at: datetime) -> int:
    """Look at every service of the domains that are sensed; how many samples that brought. Raises Failed when it is done."""
    faults: list[str] = []
    taken = _look(_adapters(), min(MOST_SECONDS, settings.SELF_HEAL_POLL_SECONDS), faults, at)
    Sensed.objects.filter(at__lt=at - FORGET).delete()
    if faults:
        raise Failed("; ".join(faults))
    return taken


def metrics() -> list[str]:
    """What can be looked at between two polls: what judges health in the domains that are sensed, each once."""
    return list(dict.fromkeys(name for adapter in _adapters() for name in thresholds(adapter.telemetry)))


def probe(wanted: Collection[str], at: datetime) -> int:
    """Look once more at the domains that measure one of these; how many samples. What is wrong is for the poll to say."""
    return _look([each for each in _adapters() if not thresholds(each.telemetry).keys().isdisjoint(wanted)], PROBED, [], at)


def _adapters() -> list[Adapter]:
    return [ADAPTERS[name] for name in settings.SELF_HEAL_SENSE]


def _look(adapters: Sequence[Adapter], seconds: float, faults: list[str], at: datetime) -> int:
    if not adapters:
        return 0
    around = Around(
        at=at,
        until=time.monotonic() + seconds,
        home=settings.SELF_HEAL_HOME,
        guard=Guard.of(catalog.allowed_origins(), settings.SELF_HEAL_HTTP_ALLOW),
    )
    return sum(_guarded(adapter, around, faults) for adapter in adapters)


def _guarded(adapter: Adapter, around: Around, faults: list[str]) -> int:
    try:
        return _domain(adapter, around, faults)
    except Exception as error:
        logger.exception("the adapter %s failed", adapter.name)
        faults.append(f"{adapter.name}: {type(error).__name__}: {error}")
        return 0


def _domain(adapter: Adapter, around: Around, faults: list[str]) -> int:
    declared = {(place.service, place.target): (service, place) for service, place in _in_turn(adapter.name)}
    if not declared:
        return 0
    seen = [_checked(adapter, each, faults) for each in _looks(adapter, [*declared.values()], around)]
    strange = [each.place for each in seen if (each.place.service, each.place.target) not in declared]
    if strange:
        raise Invalid(f"{strange[0].service}/{strange[0].target} is no place that it was asked about")
    samples = [
        Measured({"service": each.place.service, "instance": each.place.target}, metric, value, around.at)
        for each in seen
        for metric, value in each.values.items()
    ]
    taken = take(samples, origin="sensed", actor=ACTOR, at=around.at).accepted if samples else 0
    _note([(declared[each.place.service, each.place.target][0], each) for each in seen], around.at)
    return taken


def _in_turn(domain: str) -> list[tuple[Service, Place]]:
    """Those first that were not looked at for the longest time."""
    rows = Sensed.objects.filter(service__domain=domain).values_list("service_id", "target", "at")
    looked = {(service, target): at.timestamp() for service, target, at in rows}
    return sorted(catalog.places_in(domain), key=lambda each: looked.get((each[0].pk, each[1].target), 0.0))


def _looks(adapter: Adapter, places: Sequence[tuple[Service, Place]], around: Around) -> Iterator[Seen]:
    """What the adapter sees, and why not of those that are not for it: a pool stands beside its services, and we do not."""
    yield from (_elsewhere(service, place) for service, place in places if service.pool)
    here = [place for service, place in places if not service.pool]
    if here:
        yield from adapter.sense(here, around)


def _elsewhere(service: Service, place: Place) -> Seen:
    return Seen(place, why=f"the pool {service.pool} stands beside it, and looks are taken from here: send its `up` as a signal")


def _checked(adapter: Adapter, seen: Seen, faults: list[str]) -> Seen:
    try:
        check_values(adapter.telemetry, seen.values)
    except Invalid as error:
        faults.append(f"{adapter.name}: {error}")
        return replace(seen, values={}, why=str(error))
    return seen


def _note(seen: Sequence[tuple[Service, Seen]], at: datetime) -> None:
    """Whose turn did not come keeps its old row, and so comes first the next time."""
    rows = [
        Sensed(service=service, target=each.place.target, at=at, why=each.why[:2_000])
        for service, each in seen
        if each.why != NO_TIME
    ]
    for some in in_batches(rows):
        Sensed.objects.bulk_create(some, update_conflicts=True, unique_fields=["service", "target"], update_fields=["at", "why"])
