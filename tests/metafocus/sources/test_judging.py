"""What the sources find is written down once, opens what it may, ends with its cause, and is judged by what comes."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from healing.models import Incident, Service
from metafocus.models import Finding
from metafocus.sources import SOURCES, judging, running
from metafocus.sources.statistics import statistics
from selfheal.sources import Candidate
from selfheal.states import Trigger
from tests.factories import make_incident, make_run, make_service

from ..conftest import MINUTE

pytestmark = pytest.mark.django_db
LOG = SOURCES[Trigger.IMMUTABLE_LOG]
AHEAD = timedelta(hours=1)


def seen(at: datetime, *services: str, confidence: float = 0.8) -> None:
    running.take(LOG, [Candidate(name, "", "service_down", confidence, "seen") for name in services], at)


def counts(at: datetime, *names: str, source: str = "immutable_log") -> list[Any]:
    row = next(row for row in statistics(at) if row["source"] == source)
    return [row[name] for name in names]


@pytest.fixture(autouse=True)
def web(db: None) -> None:
    make_service("web")


def test_the_same_trouble_is_one_finding_and_one_incident(at: datetime) -> None:
    for minute in range(3):
        seen(at + minute * MINUTE, "web")
    assert Finding.objects.get().seen_at == at + 2 * MINUTE
    assert counts(at, "found", "opened") == [1, 1]


def test_what_may_not_open_an_incident_yet_is_tried_again(at: datetime) -> None:
    seen(at, "web", confidence=0.4)
    assert Finding.objects.get().refused == "confidence"
    seen(at + MINUTE, "web", confidence=0.8)
    row = Finding.objects.get()
    assert (row.refused, row.incident) == ("", Incident.objects.get())
    assert counts(at, "found", "opened") == [1, 1]


def test_what_is_not_found_any_more_is_over_with_its_incident(at: datetime) -> None:
    seen(at, "web")
    seen(at + 4 * MINUTE)
    assert Incident.objects.get().status == "open"
    seen(at + 5 * MINUTE)
    assert Incident.objects.get().status == "resolved"
    assert Finding.objects.get().over_at == at + 5 * MINUTE


def test_what_a_person_has_acknowledged_stays_open(at: datetime) -> None:
    seen(at, "web")
    Incident.objects.update(status="ack")
    seen(at + 5 * MINUTE)
    assert Incident.objects.get().status == "ack"


def test_a_source_that_fails_keeps_nobody_from_looking(at: datetime, monkeypatch: Any, caplog: Any) -> None:
    def fails(*_: Any) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(running, "take", fails)
    running.look(None, at)  # type: ignore[arg-type]
    assert caplog.text.count("could not be asked") == len(SOURCES)


def alert_came(at: datetime, service: str = "web", diagnosis: str = "service_down") -> None:
    """An alert opens an incident; what was open there is over by then."""
    Incident.objects.filter(service__name=service).update(status="resolved")
    make_incident(Service.objects.get(name=service), at, diagnosis=diagnosis, opened_at=at)


@pytest.mark.parametrize(
    ("minutes", "diagnosis", "judged_at", "right"),
    [
        (30, "service_down", 31, True),
        (60, "service_down", 60, True),
        (61, "service_down", 61, False),
        (30, "latency_spike", 31, None),
        (30, "latency_spike", 60, False),
    ],
)
def test_a_finding_is_right_if_an_alert_says_the_same_within_the_hour(
    at: datetime, minutes: int, diagnosis: str, judged_at: int, right: bool | None
) -> None:
    seen(at, "web")
    alert_came(at + minutes * MINUTE, diagnosis=diagnosis)
    judging.judge(None, at + judged_at * MINUTE)
    assert Finding.objects.get().right is right


def test_an_alert_that_comes_to_its_own_incident_makes_it_right(at: datetime) -> None:
    seen(at, "web")
    Incident.objects.get().episodes.create(fingerprint="f", starts_at=at, severity="high", title="down", received_at=at)
    judging.judge(None, at + MINUTE)
    assert Finding.objects.get().right is True


@pytest.mark.parametrize(("status", "right"), [("succeeded", True), ("rejected", False), ("failed", None)])
def test_what_came_of_its_run_counts(at: datetime, status: str, right: bool | None) -> None:
    seen(at, "web")
    make_run(Incident.objects.get(), at=at, status=status)
    judging.judge(None, at + MINUTE)
    assert Finding.objects.get().right is right


def test_what_it_was_not_sure_enough_to_say_is_not_judged(at: datetime) -> None:
    seen(at, "web", confidence=0.4)
    judging.judge(None, at + AHEAD)
    assert Finding.objects.get().right is None


def test_each_is_judged_once(at: datetime) -> None:
    seen(at, "web")
    for minute in (60, 61):
        judging.judge(None, at + minute * MINUTE)
    assert counts(at, "right", "wrong", "precision") == [0, 1, 0.0]


def test_recall_is_of_the_alerts_that_came_between_two_cycles(at: datetime) -> None:
    make_service("db")
    seen(at, "web")
    alert_came(at + 3 * MINUTE, "web")
    alert_came(at + 3 * MINUTE, "db")
    judging.judge(at + 2 * MINUTE, at + 4 * MINUTE)
    judging.judge(at + 4 * MINUTE, at + 6 * MINUTE)
    assert counts(at, "foreseen", "missed", "recall") == [1, 1, 0.5]


def test_an_alert_that_a_source_is_not_there_for_is_not_missed(at: datetime) -> None:
    make_incident(make_service("db"), at, opened_at=at, diagnosis="service_down")
    judging.judge(at - MINUTE, at)
    assert counts(at, "missed", source="proactive_ml") == [0]
    assert counts(at, "missed") == [1]


def test_statistics_are_of_seven_days(at: datetime) -> None:
    running.count("immutable_log", at - timedelta(days=7), right=5)
    running.count("immutable_log", at - timedelta(days=6), right=1, wrong=1)
    assert counts(at, "right", "precision", "recall") == [1, 0.5, None]


def test_what_is_open_already_is_no_news_in_shadow_either(at: datetime) -> None:
    make_incident(Service.objects.get(), at)
    shadowed = replace(LOG, shadow=lambda: True)
    running.take(shadowed, [Candidate("web", "", "service_down", 0.8, "seen")], at)
    judging.judge(None, at + AHEAD)
    row = Finding.objects.get()
    assert (row.refused, row.right) == ("live", None)


def test_findings_that_were_over_long_ago_are_deleted(at: datetime) -> None:
    seen(at, "web")
    seen(at + 5 * MINUTE)
    running.prune(LOG, at + timedelta(days=89))
    assert Finding.objects.exists()
    running.prune(LOG, at + timedelta(days=91))
    assert not Finding.objects.exists()
    assert counts(at, "found") == [1]
