"""Which capacities a forecast sees beyond their limits soon."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from healing.models import Sample, Signal
from healing.signals.receiving import thresholds
from learning.advisers.forecast import advise
from selfheal.errors import Invalid
from selfheal.focus import Strain, rounded
from selfheal.signals import Threshold
from selfheal.states import Health

CAPACITY = "capacity_strain"
BACK, AHEAD = timedelta(hours=1), timedelta(minutes=15)
MOST, MOST_POINTS = 100, 240  # signals; of the newest samples of one


@dataclass(frozen=True)
class Looked:
    """The strains with the likeliest first, and how many signals the time did not suffice for."""

    strains: tuple[Strain, ...]
    left: int


def strains(at: datetime, until: float) -> Looked:
    """A forecast for each capacity that has a threshold, the unwell ones first, until `until` on the monotonic clock."""
    limits = {metric: limit for metric, limit in thresholds().items() if limit.diagnosis == CAPACITY}
    known = Signal.objects.filter(metric__in=limits, seen_at__gt=at - BACK).exclude(state=Health.UNKNOWN)
    signals = list(known.select_related("service").order_by("state", "-seen_at")[:MOST]) if limits else []
    found: list[Strain] = []
    left = 0
    for signal in signals:
        if time.monotonic() > until:
            left += 1
        else:
            found += _strain(signal, limits[signal.metric], at)
    return Looked(tuple(sorted(found, key=lambda each: -each.chance)), left)


def _strain(signal: Signal, limit: Threshold, at: datetime) -> Iterator[Strain]:
    here = {"service": signal.service_id, "target": signal.target, "metric": signal.metric}
    rows = Sample.objects.filter(**here, at__gt=at - BACK, at__lte=at).order_by("-at").values_list("at", "value")
    beyond = limit.critical if limit.critical is not None else limit.degraded
    facts = {
        "points": list(reversed(rows[:MOST_POINTS])),
        "limit": beyond,
        "beyond": "below" if limit.below else "above",
        "within": AHEAD.total_seconds(),
    }
    try:
        advice = advise(facts)
    except Invalid:  # too few points for a forecast
        return
    yield Strain(signal.service.name, signal.target, signal.metric, rounded(advice.score))
