"""The domains as they stand: what is measured in each, how its parts are, what heals them, and when it was last looked at.

It reads, and changes nothing. It costs the services of the domains and their signals, not the history.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings

from healing.adapters import ADAPTERS
from healing.adapters.base import Adapter, Standing
from healing.models import Playbook, Sensed, Service, Signal
from healing.signals.health import state_of
from selfheal import runbooks
from selfheal.signals import worst
from selfheal.states import Health
from selfheal.telemetry import UNWELL, Metric, Node, first_ill

POLLS = 3  # without a look for so many of them, nobody looks any more
SHOWN = 3  # of what is wrong with a service, in its line


@dataclass(frozen=True)
class Healer:
    """A playbook that heals here. `active`: it is there; an installation may have others in its place."""

    name: str
    title: str
    active: bool


@dataclass(frozen=True)
class Part:
    """A node with where it says what to do about it; empty where it is well, or where no page tells of it."""

    node: Node
    page: str = ""


@dataclass(frozen=True)
class Place:
    """A target that is looked at. `looked_at`: None where nobody did yet."""

    service: str
    target: str
    looked_at: datetime | None
    why: str


@dataclass(frozen=True)
class Domain:
    name: str
    title: str
    sensed: bool
    health: Health
    first: tuple[str, ...]  # that are unwell by themselves: what to look at first
    telemetry: tuple[Metric, ...]
    parts: tuple[Part, ...]
    playbooks: tuple[Healer, ...]
    actions: tuple[str, ...]
    checks: tuple[str, ...]
    looked_at: datetime | None
    places: tuple[Place, ...]

    @property
    def nodes(self) -> tuple[Node, ...]:
        return tuple(part.node for part in self.parts)


def domains(at: datetime) -> list[Domain]:
    """Every domain that has an adapter, by name."""
    return [_domain(adapter, at) for _, adapter in sorted(ADAPTERS.items())]


def _domain(adapter: Adapter, at: datetime) -> Domain:
    sensed = adapter.name in settings.SELF_HEAL_SENSE
    services = list(_services(adapter.name)) if sensed else []
    looks = {(row.service_id, row.target): row for row in Sensed.objects.filter(service__in=services)}
    nodes = adapter.nodes(_standing(adapter, services, looks, at), at)
    return Domain(
        name=adapter.name,
        title=(type(adapter).__doc__ or "").strip(),
        sensed=sensed,
        health=worst(node.health for node in nodes),
        first=first_ill(nodes),
        telemetry=adapter.telemetry,
        parts=tuple(Part(node, _page(node)) for node in nodes),
        playbooks=_healers(adapter),
        actions=adapter.actions,
        checks=adapter.checks,
        looked_at=max((row.at for row in looks.values()), default=None),
        places=tuple(_places(services, looks)),
    )


def _services(domain: str) -> Iterable[Service]:
    return Service.objects.filter(active=True, domain=domain).prefetch_related("targets", "depends_on")


def _page(node: Node) -> str:
    return runbooks.address(node.name, settings.SELF_HEAL_DOCS_URL) if node.health in UNWELL else ""


def _healers(adapter: Adapter) -> tuple[Healer, ...]:
    titles = dict(Playbook.objects.filter(active=True, name__in=adapter.playbooks).values_list("name", "title"))
    return tuple(Healer(name, titles.get(name, ""), name in titles) for name in adapter.playbooks)


Looks = Mapping[tuple[uuid.UUID, str], Sensed]


def _places(services: Iterable[Service], looks: Looks) -> Iterable[Place]:
    for service in services:
        for target in service.targets.all():
            row = looks.get((service.pk, target.name))
            yield Place(service.name, target.name, row.at if row else None, row.why if row else "")


def _standing(adapter: Adapter, services: list[Service], looks: Looks, at: datetime) -> list[Standing]:
    measured: dict[tuple[uuid.UUID, str], list[Signal]] = {}
    judged = [metric.name for metric in adapter.telemetry if metric.threshold]
    for signal in Signal.objects.filter(service__in=services, metric__in=judged):
        measured.setdefault((signal.service_id, signal.target), []).append(signal)
    return [_of_service(service, looks, measured, at) for service in services]


def _of_service(service: Service, looks: Looks, measured: Mapping[tuple[uuid.UUID, str], list[Signal]], at: datetime) -> Standing:
    found: list[tuple[Health, str]] = []
    for target in service.targets.all():
        key = service.pk, target.name
        health, why = _of_place(looks.get(key), measured.get(key, []), at)
        found.append((health, why if target.name == service.name else f"{target.name}: {why}"))
    health = worst(each for each, _ in found)
    said = [why for each, why in found if each is health]
    more = f"; and {len(said) - SHOWN} more" if len(said) > SHOWN else ""
    needs = tuple(sorted(other.name for other in service.depends_on.all()))
    return Standing(service.name, health, "; ".join(said[:SHOWN]) + more, needs)


def _of_place(look: Sensed | None, signals: Iterable[Signal], at: datetime) -> tuple[Health, str]:
    """What nobody has looked at lately, and what could not be seen, is not well by what was measured before."""
    stale = timedelta(seconds=POLLS * settings.SELF_HEAL_POLL_SECONDS)
    if look is None or at - look.at > stale:
        return Health.UNKNOWN, "nobody has looked at it" + ("" if look is None else " lately")
    states = [(state_of(signal, at), signal) for signal in signals]
    health = worst(state for state, _ in states)
    if health in UNWELL:
        bad = ", ".join(f"{signal.metric} is {signal.value:.6g}" for state, signal in states if state is health)
        return health, f"{bad}: {look.why}" if look.why else bad
    if look.why:
        return Health.UNKNOWN, look.why
    return health, "all that is measured is well" if health is Health.HEALTHY else "too little was measured yet"
