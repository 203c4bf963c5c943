"""How services are: the worst of their targets, each the worst of its signals and of its incidents that are not over."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from datetime import datetime

from django.db.models import Case, F, Q, Value, When

from healing.models import Incident, Signal, Target
from selfheal.signals import FUTURE, is_stale, of_severity, worst
from selfheal.states import LIVE_INCIDENT, Health

from .receiving import window

Place = tuple[uuid.UUID, str]


def health_of(services: Collection[uuid.UUID], at: datetime) -> dict[uuid.UUID, Health]:
    """The health of each of these services. Three queries, whatever their number; a target that nothing tells of is unknown."""
    said: dict[Place, list[Health]] = {}
    for place in Target.objects.filter(service__in=services).values_list("service_id", "name"):
        said[place] = []
    for service, target, health in _signals(services, at):
        if (service, target) in said:
            said[service, target].append(health)
    live = Incident.objects.filter(service__in=services, status__in=LIVE_INCIDENT).order_by()
    for service, target, severity in live.values_list("service_id", "target", "severity").distinct():
        said.setdefault((service, target), []).append(of_severity(severity))
    targets: dict[uuid.UUID, list[Health]] = {pk: [] for pk in services}
    for (service, _), states in said.items():
        targets[service].append(worst(states))
    return {service: worst(states) for service, states in targets.items()}


def state_of(signal: Signal, at: datetime) -> Health:
    """The state of a signal now: what was not measured lately is unknown before the beat writes it down."""
    return Health.UNKNOWN if is_stale(signal.seen_at, at, window()) else Health(signal.state)


def _signals(services: Collection[uuid.UUID], at: datetime) -> list[tuple[uuid.UUID, str, Health]]:
    """The different states of the signals of each target."""
    stale = Q(seen_at__lt=at - window()) | Q(seen_at__gt=at + FUTURE)
    now = Case(When(stale, then=Value(Health.UNKNOWN.value)), default=F("state"))
    rows = Signal.objects.filter(service__in=services).order_by().annotate(now=now)
    return [
        (service, target, Health(state)) for service, target, state in rows.values_list("service_id", "target", "now").distinct()
    ]
