"""Bodies of 100 new alerts, against inserting the same rows without any rule; and the same bodies again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import count
from typing import Any

from django.db import transaction
from django.utils import timezone

from healing import intake, tasks
from healing.ledger import instant
from healing.models import Episode, Incident, LedgerOutbox, Service, Target
from selfheal.canonical import dumps

from .measure import ROUNDS, Row, rate

SIZE, BODIES = 100, 10
LEAF = ("actor", "action", "resource", "subsystem", "result")


def alert_bodies() -> Row:
    tasks.look.apply_async = lambda *_, **__: None  # no broker here: what is measured is the database's part
    service, hosts = Service.objects.create(name="bench", mode="observe"), _hosts()
    prepared = [[_body(service, next(hosts)) for _ in range(BODIES)] for _ in range(ROUNDS)]
    limit = rate(lambda: _bare(service, hosts))
    fresh, again = iter(prepared), iter(prepared)
    new = rate(lambda: _receive(next(fresh)))
    resent = rate(lambda: _receive(next(again)))
    note = f"re-sent unchanged: {resent / new:.1f}× faster than new (goal ≥ 3×)"
    return Row("alerts a second, bodies of 100", new, limit, "≥ 70 % of the bare insert", note, {"resent": resent / new})


def _hosts() -> Iterator[list[str]]:
    """Names of hosts for one body after the other, each once."""
    for first in count(0, SIZE):
        yield [f"host-{n}" for n in range(first, first + SIZE)]


def _body(service: Service, hosts: list[str]) -> bytes:
    Target.objects.bulk_create(Target(service=service, name=host) for host in hosts)
    alerts = [
        {
            "status": "firing",
            "labels": {"alertname": "InstanceDown", "service": "bench", "instance": host, "severity": "critical"},
            "annotations": {"summary": "down"},
            "startsAt": "2026-11-24T12:00:00Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "fingerprint": host,
        }
        for host in hosts
    ]
    return json.dumps({"version": "4", "status": "firing", "receiver": "b", "groupKey": "b", "alerts": alerts}).encode()


def _receive(bodies: Iterable[bytes]) -> int:
    for body in bodies:
        intake.receive(body, actor="bench", at=timezone.now())
    return SIZE * BODIES


def _bare(service: Service, hosts: Iterator[list[str]]) -> int:
    at = timezone.now()
    common: dict[str, Any] = {"title": "down", "severity": "critical", "labels": {"alertname": "InstanceDown"}}
    leaf = dumps({**dict.fromkeys(LEAF, "bench"), "at": instant(at), "payload": {"text": "x" * 20_000}})
    for _ in range(BODIES):
        with transaction.atomic():
            made = Incident.objects.bulk_create(
                Incident(service=service, target=host, diagnosis="service_down", confidence=0.95, opened_at=at, **common)
                for host in next(hosts)
            )
            Episode.objects.bulk_create(
                Episode(incident=each, fingerprint=each.target, starts_at=at, received_at=at, annotations={}, **common)
                for each in made
            )
            LedgerOutbox.objects.create(leaf=leaf)
    return SIZE * BODIES
