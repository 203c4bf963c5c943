"""Incidents that no alert tells of: on which terms they are opened, and when they are over."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from healing import found, scheduler
from healing.models import Incident, LedgerOutbox, User
from selfheal.errors import Invalid, NotAllowed
from selfheal.sources import Candidate, Terms
from selfheal.states import Trigger
from tests.factories import CONFIGURE, make_incident, make_playbook, make_service, make_user

pytestmark = pytest.mark.django_db
LOG = Trigger.IMMUTABLE_LOG
MINUTE = timedelta(minutes=1)


def candidate(service: str = "web", diagnosis: str = "service_down", confidence: float = 0.8, target: str = "") -> Candidate:
    return Candidate(service, target, diagnosis, confidence, "seen")


def opened(at: datetime, **fields: Any) -> Incident:
    incident = found.open_found(LOG, candidate(**fields), at)
    assert isinstance(incident, Incident), incident
    return incident


@pytest.fixture
def root() -> User:
    return make_user("root", CONFIGURE)


def test_it_is_an_incident_of_its_source_that_is_looked_at_at_once(at: datetime) -> None:
    make_service("web", hosts=2)
    incident = opened(at)
    assert (incident.source, incident.target, incident.next_look_at) == ("immutable_log", "web-01", at)
    (leaf,) = [json.loads(bytes(row)) for row in LedgerOutbox.objects.values_list("leaf", flat=True)]
    assert (leaf["action"], leaf["actor"]) == ("incident.open", "log pattern")
    assert incident.timeline.get().reason == "seen"


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        (candidate("nobody"), "not_declared"),
        (candidate(target="web-99"), "not_declared"),
        (candidate(confidence=0.49), "confidence"),
    ],
)
def test_what_may_not_open_one_says_why(wanted: Candidate, why: str, at: datetime) -> None:
    make_service("web")
    assert found.open_found(LOG, wanted, at) == why
    assert not Incident.objects.exists()


def test_a_place_that_has_a_live_incident_gets_no_second_one(at: datetime) -> None:
    make_incident(make_service("web"), at)
    assert found.open_found(LOG, candidate(), at) == "live"


def test_the_limit_is_of_an_hour_and_of_one_source(root: User, at: datetime) -> None:
    found.set_terms(LOG, Terms(True, 0.5, 2), "calmer", root, at)
    for name in ("a", "b", "c"):
        make_service(name)
    opened(at, service="a")
    opened(at, service="b")
    assert found.open_found(LOG, candidate("c"), at) == "limit"
    assert isinstance(found.open_found(Trigger.META_LOOP, candidate("c"), at), Incident)
    assert isinstance(found.open_found(LOG, candidate("a", "latency_spike"), at + 61 * MINUTE), Incident)


def test_the_hour_is_counted_by_an_index(at: datetime) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("reads the plan of SQLite")
    rows = Incident.objects.filter(source=LOG, opened_at__gt=at).exclude(source=Trigger.ALERT)
    assert "incident_without_alert" in rows.explain()


@pytest.mark.parametrize(
    ("trigger", "terms", "reason", "field"),
    [
        ("alert", Terms(), "x", "source"),
        (LOG, Terms(True, 1.1, 5), "x", "least_confidence"),
        (LOG, Terms(True, float("nan"), 5), "x", "least_confidence"),
        (LOG, Terms(True, 0.5, 1001), "x", "hourly_limit"),
        (LOG, Terms(True, 0.5, -1), "x", "hourly_limit"),
        (LOG, Terms(), " ", "reason"),
    ],
)
def test_terms_that_cannot_be_name_the_field(
    root: User, at: datetime, trigger: str, terms: Terms, reason: str, field: str
) -> None:
    with pytest.raises(Invalid) as refused:
        found.set_terms(trigger, terms, reason, root, at)
    assert refused.value.field == field


def test_only_an_administrator_changes_terms_and_the_log_says_before_and_after(root: User, at: datetime) -> None:
    with pytest.raises(NotAllowed):
        found.set_terms(LOG, Terms(), "why", make_user("vera"), at)
    found.set_terms(LOG, Terms(False, 0.7, 3), "too loud", root, at)
    (leaf,) = [json.loads(bytes(row)) for row in LedgerOutbox.objects.values_list("leaf", flat=True)]
    assert leaf["payload"] == {
        "reason": "too loud",
        "before": {"enabled": True, "least_confidence": "0.500", "hourly_limit": 5},
        "after": {"enabled": False, "least_confidence": "0.700", "hourly_limit": 3},
    }


def look(at: datetime) -> None:
    Incident.objects.update(next_look_at=at)
    scheduler.look(at)


def test_it_is_over_an_hour_after_it_was_opened_even_when_its_source_is_gone(at: datetime) -> None:
    make_playbook()
    make_service("web")
    incident = opened(at)
    look(at + 59 * MINUTE)
    incident.refresh_from_db()
    assert incident.status == "open"
    look(at + 60 * MINUTE)
    incident.refresh_from_db()
    assert (incident.status, incident.timeline.last().reason) == (
        "resolved", "no alert has come within 60 min, and nothing says that it is still so",
    )  # fmt: skip


def test_after_an_alert_has_come_to_it_the_alert_ends_it(at: datetime) -> None:
    make_service("web")
    incident = opened(at)
    incident.episodes.create(fingerprint="f", starts_at=at, severity="high", title="down", received_at=at)
    assert found.is_over(incident, at + 600 * MINUTE) == ""


def test_while_it_is_not_over_it_is_looked_at_again_after_its_proposal(at: datetime) -> None:
    make_service("web")
    incident = opened(at)
    look(at)
    incident.refresh_from_db()
    assert incident.next_look_at is not None
