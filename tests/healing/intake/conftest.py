from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from healing import intake
from healing.models import (
    Episode,
    Incident,
    LedgerOutbox,
    Service,
    Target,
    TimelineEvent,
    UnmatchedAlert,
)

NEVER = "0001-01-01T00:00:00Z"
TABLES = (Incident, Episode, UnmatchedAlert, TimelineEvent, LedgerOutbox)


def declare(name: str, *hosts: str) -> Service:
    """A service as the catalog stores one: with hosts, or its own single target."""
    service = Service.objects.create(name=name, mode="auto", targets_spec={"hosts": list(hosts)} if hosts else {})
    Target.objects.bulk_create(Target(service=service, name=host) for host in hosts or [name])
    return service


def alert(at: datetime, *, minutes: float = 5, ended: bool = False, fingerprint: str = "f1", **labels: str) -> dict[str, Any]:
    """An alert that began `minutes` before `at`."""
    return {
        "status": "resolved" if ended else "firing",
        "labels": {"alertname": "InstanceDown", "service": "web", "instance": "web-01:9100", **labels},
        "annotations": {"summary": f"{fingerprint} is down"},
        "startsAt": (at - timedelta(minutes=minutes)).isoformat(),
        "endsAt": (at - timedelta(seconds=1)).isoformat() if ended else NEVER,
        "generatorURL": "http://prom/graph",
        "fingerprint": fingerprint,
    }


def body(*alerts: Any, truncated: int = 0) -> bytes:
    return json.dumps({"version": "4", "receiver": "hook", "alerts": alerts, "truncatedAlerts": truncated}).encode()


def rows() -> dict[str, list[dict[str, Any]]]:
    """Every row of every table that intake writes, bytes and times too."""
    return {model.__name__: list(model.objects.order_by("pk").values()) for model in TABLES}


def leaves() -> list[dict[str, Any]]:
    return [json.loads(bytes(leaf)) for leaf in LedgerOutbox.objects.order_by("pk").values_list("leaf", flat=True)]


@pytest.fixture
def web(db: None) -> Service:
    return declare("web", "web-01", "web-02")


@pytest.fixture
def post(db: None, at: datetime) -> Callable[..., dict[str, Any]]:
    def send(*alerts: Any, later: float = 0, truncated: int = 0) -> dict[str, Any]:
        moment = at + timedelta(minutes=later)
        return intake.receive(body(*alerts, truncated=truncated), actor="alertmanager", at=moment, token="t")

    return send
