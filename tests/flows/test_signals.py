"""From measured numbers to a healed service: signal → incident → run, whose symptom is read from the same samples."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta

from django.utils import timezone

from healing.models import Incident, Run
from healing.signals import receiving

from .conftest import House

PLAYBOOK = """
playbook: look-at-it
title: Look at what is slow
domain: host
diagnoses: [latency_spike]
impact: low
symptom:
  - {check: metrics_threshold, signal: latency_ms, lte: 500, window: 2m}
steps:
  - {id: look, action: noop}
verify:
  - {check: http_health, url: "${target.url}/healthz"}
"""


def measured(value: float, times: int) -> list[str]:
    """So many samples, one a second, up to now; the ids of the incidents that they are about."""
    now = timezone.now()
    many = [
        {"service": "shop", "metric": "latency_ms", "value": value, "at": (now - timedelta(seconds=n)).isoformat()}
        for n in range(times)
    ]
    incidents: list[str] = receiving.receive(json.dumps(many).encode(), actor="probe", at=now)["incidents"]
    return incidents


def test_what_is_slow_is_healed_and_its_alert_ends_when_it_is_fast_again(house: House, work: Callable[..., Run]) -> None:
    house.service("shop")
    for path in house.playbooks.iterdir():
        path.unlink()
    house.playbook("look-at-it", PLAYBOOK)
    (incident,) = measured(1500, 2)
    house.look()
    run = work(Run.objects.get(incident=incident))
    assert (run.outcome, run.decision["verdict"]) == ("success", "auto"), run.reason
    symptom = run.steps.get(phase="symptom")
    assert symptom.message == "signal latency_ms is 1500, which is not at most 500"
    episode = Incident.objects.get(pk=incident).episodes.get()
    assert episode.status == "firing"
    later = timezone.now() + timedelta(seconds=10)
    well = [
        {"service": "shop", "metric": "latency_ms", "value": 20, "at": (later - timedelta(seconds=n)).isoformat()}
        for n in range(3)
    ]
    receiving.receive(json.dumps(well).encode(), actor="probe", at=later)
    episode.refresh_from_db()
    assert episode.status == "resolved"
