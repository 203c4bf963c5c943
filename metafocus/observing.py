"""What a cycle sees: the end of the log, the health of the services and what the graph makes of it, latencies, forecasts.

Rules that this module keeps:
1. It costs what is there now: the last 200 entries of the log and five minutes of them at most, services and their signals, an
   hour of samples. Nothing of it grows with the history.
2. Every list is short and has the worst first, because an entry of the log has to hold it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Avg, Count, Q

from healing.governance import service_graph
from healing.models import Incident, LedgerEntry, Sample, Service
from healing.signals.health import health_of
from metafocus import forecasts
from selfheal.cycles import SHORT, tally
from selfheal.focus import DRIFT, Drift, Seen, Unwell, rounded
from selfheal.graph import dependents_of
from selfheal.states import LIVE_INCIDENT, Health

LATELY, ENTRIES = timedelta(minutes=5), 200
USUAL = timedelta(hours=1)
LATENCY, LEAST_SAMPLES = "latency_ms", 3
MOST_UNWELL = 500  # services whose dependents are counted
OURS = "metafocus"


@dataclass(frozen=True)
class Healths:
    """The health of every active service by its name."""

    of: Mapping[str, Health]

    def named(self, health: Health) -> list[str]:
        return sorted(name for name, each in self.of.items() if each is health)

    def counts(self) -> dict[str, int]:
        found = Counter(self.of.values())
        return {str(health): found[health] for health in (Health.CRITICAL, Health.DEGRADED, Health.HEALTHY, Health.UNKNOWN)}


def observe(at: datetime, budget: timedelta) -> Seen:
    """Everything that is seen now. `budget`: for the forecasts of the next cycle."""
    looked = forecasts.strains(at, budget)
    return replace(
        at_a_glance(healths_at(at), at),
        drifts=_drifts(at),
        strains=looked.strains[:SHORT],
        unforecast=looked.left,
        unforecast_because=looked.because,
    )


def at_a_glance(healths: Healths, at: datetime) -> Seen:
    """Everything but what has to be measured over an hour of samples: latencies and forecasts."""
    entries = last_entries(at)
    errors, blocked = tally(entries)
    counts = healths.counts()
    return Seen(
        entries=len(entries),
        errors=errors,
        blocked=blocked,
        critical=counts[Health.CRITICAL],
        degraded=counts[Health.DEGRADED],
        healthy=counts[Health.HEALTHY],
        unknown=counts[Health.UNKNOWN],
        open_incidents=open_incidents(),
        unwell=_unwell(healths),
    )


def healths_at(at: datetime) -> Healths:
    names = dict(Service.objects.filter(active=True).values_list("pk", "name"))
    return Healths({names[pk]: health for pk, health in health_of(list(names), at).items()})


def open_incidents() -> int:
    return Incident.objects.filter(status__in=LIVE_INCIDENT).count()


def last_entries(at: datetime) -> list[dict[str, Any]]:
    """The last entries of the log that are not our own. Read from its end, and only then looked at by their time."""
    rows = LedgerEntry.objects.order_by("-index").values_list("at", "subsystem", "leaf")[:ENTRIES]
    return [json.loads(bytes(leaf)) for said_at, subsystem, leaf in rows if said_at > at - LATELY and subsystem != OURS]


def _drifts(at: datetime) -> tuple[Drift, ...]:
    """Services that are slower than they usually are, the worst first."""
    lately = Q(at__gt=at - LATELY)
    rows = (
        Sample.objects.filter(metric=LATENCY, at__gt=at - USUAL, at__lte=at)
        .order_by()
        .values("service__name")
        .annotate(now=Avg("value", filter=lately), usual=Avg("value", filter=~lately))
        .annotate(few=Count("pk", filter=lately), many=Count("pk", filter=~lately))
        .filter(few__gte=LEAST_SAMPLES, many__gte=LEAST_SAMPLES, usual__gte=0.001)
        .values_list("service__name", "now", "usual")
    )
    found = [Drift(name, rounded(now), rounded(usual)) for name, now, usual in rows]
    slow = sorted((each for each in found if each.ratio > DRIFT), key=lambda each: -each.ratio)
    return tuple(slow[:SHORT])


def _unwell(healths: Healths) -> tuple[Unwell, ...]:
    """Services that are unwell and that others depend on, those first that hurt the most."""
    bad = [*healths.named(Health.CRITICAL), *healths.named(Health.DEGRADED)]
    hurt = dependents_of(service_graph(), bad[:MOST_UNWELL])
    found = [Unwell(name, healths.of[name], len(those), len(those & set(bad))) for name, those in hurt.items() if those]
    return tuple(sorted(found, key=lambda each: (each.health, -each.unwell_dependents, -each.dependents))[:SHORT])
