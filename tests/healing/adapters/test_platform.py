"""selfheal itself: each part with its health and what it stands on; and the parts that can be healed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError
from django.utils import timezone

from healing import health, heartbeats
from healing.adapters import conformance
from healing.adapters.platform import Platform
from healing.models import Heartbeat, LedgerPatrol, Service
from selfheal.places import Place
from selfheal.states import Health
from selfheal.telemetry import first_ill

pytestmark = pytest.mark.django_db
PARTS = ["database", "broker", "web", "worker control", "worker runs", "beat", "sequencer", "clock", "log patrol"]


@pytest.fixture
def all_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "broker", lambda: "")
    for role in ("web", *heartbeats.ROLES):
        heartbeats.beat(role, role, timezone.now())


def nodes() -> dict[str, Any]:
    return {node.name: node for node in Platform().nodes([], timezone.now())}


def test_every_part_is_well_while_all_show_themselves(all_there: None) -> None:
    assert {name: node.health for name, node in nodes().items()} == dict.fromkeys(PARTS, Health.HEALTHY)


def test_a_part_that_is_silent_is_critical_and_says_for_how_long(all_there: None) -> None:
    heartbeats.beat("sequencer", "sequencer", timezone.now() - timedelta(seconds=40))
    found = nodes()["sequencer"]
    assert (found.health, found.why) == (Health.CRITICAL, "it has not shown itself for 40 s")


def test_a_part_that_was_never_there_is_critical(all_there: None) -> None:
    heartbeats.forget("beat")
    assert (nodes()["beat"].health, nodes()["beat"].why) == (Health.CRITICAL, "it has not shown itself")


def test_workers_that_are_silent_without_a_broker_are_not_what_to_look_at_first(
    all_there: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "broker", lambda: "the broker does not answer")
    for role in ("worker:control", "worker:runs"):
        heartbeats.forget(role)
    assert first_ill([*nodes().values()]) == ("broker",)


def test_without_a_database_nobody_can_tell_of_the_processes(monkeypatch: pytest.MonkeyPatch, all_there: None) -> None:
    monkeypatch.setattr(health, "database", lambda: "the database does not answer")
    found = nodes()
    assert found["database"].health is Health.CRITICAL
    assert {found[name].health for name in PARTS[2:]} == {Health.UNKNOWN}
    assert first_ill([*found.values()]) == ("database",)


def test_a_pool_that_a_service_names_is_a_part(all_there: None) -> None:
    Service.objects.create(name="edge", pool="edge-1")
    assert nodes()["pool edge-1"].health is Health.CRITICAL
    heartbeats.beat("edge", "worker:runs.edge-1", timezone.now())
    assert nodes()["pool edge-1"].health is Health.HEALTHY


def test_a_log_that_was_damaged_is_a_part_that_is_ill(all_there: None) -> None:
    LedgerPatrol.objects.create(pk=1, wrong=3)
    found = nodes()["log patrol"]
    assert found.health is Health.CRITICAL
    assert found.why.startswith("3 wrong")


def test_a_process_whose_clock_is_wrong_makes_the_clock_ill(all_there: None) -> None:
    Heartbeat.objects.filter(name="beat").update(clock_ahead=timedelta(minutes=1))
    found = nodes()["clock"]
    assert found.health is Health.CRITICAL
    assert "beat" in found.why


def test_a_patrol_that_cannot_be_read_is_unknown(all_there: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(at: Any) -> None:
        raise DatabaseError("no such table")

    monkeypatch.setattr("healing.findings.log_patrol", fail)
    assert nodes()["log patrol"].health is Health.UNKNOWN


def silence(part: str) -> tuple[dict[str, float], str]:
    place = Place("it", "it", labels={"part": part} if part else {})
    (seen,) = Platform().sense([place], conformance.around(None, at=timezone.now()))  # type: ignore[arg-type]
    return dict(seen.values), seen.why


def test_the_silence_of_a_part_is_that_of_its_process_that_spoke_last() -> None:
    now = timezone.now()
    for name, seconds in (("web-1", 100), ("web-2", 3)):
        heartbeats.beat(name, "web", now - timedelta(seconds=seconds))
    values, why = silence("web")
    assert 3 <= values["platform.silence_seconds"] < 10
    assert values["platform.alive"] == 1
    assert why == ""


def test_a_part_that_was_silent_for_long_is_not_alive() -> None:
    heartbeats.beat("web", "web", timezone.now() - timedelta(seconds=31))
    assert silence("web")[0]["platform.alive"] == 0


@pytest.mark.parametrize(("part", "says"), [("", "does not say which process it is"), ("web", "has not shown itself for 60 min")])
def test_a_part_that_nobody_knows_has_no_silence(part: str, says: str) -> None:
    values, why = silence(part)
    assert not values
    assert says in why
