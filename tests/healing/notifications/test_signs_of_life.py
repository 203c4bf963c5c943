"""The Watchdog, tokens that end, and the dead man's switch outside."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from healing import access, intake, tasks
from healing.models import Channel, Episode, Incident, JobRun, LedgerOutbox, Notification, UnmatchedAlert
from healing.notifications import deadman, tokens
from selfheal.messages import Facts
from tests.factories import make_service, make_user

pytestmark = pytest.mark.django_db


def post(at: datetime, *alerts: dict[str, str], status: str = "firing") -> dict[str, Any]:
    body = {"alerts": [{"status": status, "labels": labels, "startsAt": "2026-11-01T00:00:00Z"} for labels in alerts]}
    return intake.receive(json.dumps({**body, "version": "4"}).encode(), actor="prom", at=at)


def entries(prefix: str) -> list[str]:
    leaves = [json.loads(bytes(row.leaf)) for row in LedgerOutbox.objects.order_by("id")]
    return [leaf["action"] for leaf in leaves if leaf["action"].startswith(prefix)]


WATCHDOG = {"alertname": "Watchdog", "severity": "none", "service": "web"}


def test_a_watchdog_opens_no_incident_and_is_never_unmatched(at: datetime) -> None:
    make_service("web")
    answer = post(at, WATCHDOG, {"alertname": "InstanceDown", "service": "web"})
    assert (answer["accepted"], answer["unmatched"], len(answer["incidents"])) == (2, 0, 1)
    assert Episode.objects.get().labels["alertname"] == "InstanceDown"
    assert post(at, {"alertname": "Watchdog"})["accepted"] == 1
    assert (Incident.objects.count(), UnmatchedAlert.objects.count()) == (1, 0)


def test_a_watchdog_that_stops_is_told_once_and_again_when_it_is_back(at: datetime, channel: Channel) -> None:
    for minute in range(5):
        post(at + timedelta(minutes=minute), WATCHDOG)
    last = at + timedelta(minutes=4)
    assert [deadman.look(last + timedelta(minutes=m)) for m in (1, 2, 2.1, 5, 90)] == [0, 0, 1, 0, 0]
    (row,) = deadman.silent()
    assert "the alert Watchdog has not come for 2 min, it came about each 60 s" in row.error
    assert list(Notification.objects.values_list("event", flat=True)) == ["watchdog.silent"]
    post(last + timedelta(minutes=95), WATCHDOG)
    assert deadman.silent() == []
    assert entries("watchdog.") == ["watchdog.silent", "watchdog.back"]
    assert Notification.objects.filter(event="watchdog.back").count() == 1


def test_a_watchdog_that_was_seen_once_has_ten_minutes(at: datetime) -> None:
    post(at, WATCHDOG)
    assert [deadman.look(at + timedelta(minutes=m)) for m in (10, 10.1)] == [0, 1]


def test_one_that_is_resolved_is_no_sign_of_life(at: datetime) -> None:
    post(at, WATCHDOG)
    post(at + timedelta(minutes=9), WATCHDOG, status="resolved")
    assert deadman.look(at + timedelta(minutes=11)) == 1


def test_each_prometheus_has_its_own_whichever_replica_sends(at: datetime) -> None:
    for labels in (
        {"prometheus": "monitoring/k8s", "replica": "0"},
        {"prometheus": "monitoring/k8s", "replica": "1"},
        {"cluster": "eu"},
    ):
        post(at, {**WATCHDOG, **labels})
    assert [row.job for row in deadman.watched()] == ["Watchdog of eu", "Watchdog of monitoring/k8s"]


def test_a_sender_that_invents_watchdogs_fills_nothing(at: datetime) -> None:
    for number in range(deadman.MOST + 10):
        post(at, {**WATCHDOG, "cluster": f"c{number}"})
    assert deadman.watched().count() == deadman.MOST


def test_one_long_silence_does_not_become_the_usual_interval() -> None:
    assert deadman.usual(60, 36_000) == 150
    assert deadman.usual(None, 240) == 240
    assert deadman.usual(60, 60) == 60


def test_nobody_is_paged_about_a_watchdog_in_observe_mode_yet_it_is_logged(at: datetime, channel: Channel, settings: Any) -> None:
    settings.SELF_HEAL_EXECUTE, settings.SELF_HEAL_OBSERVE_ONLY = False, True
    post(at, WATCHDOG)
    deadman.look(at + timedelta(minutes=11))
    assert entries("watchdog.") == ["watchdog.silent"]
    assert not Notification.objects.exists()


def test_a_token_is_told_of_7_days_and_one_day_before_it_ends_once_each(at: datetime, channel: Channel) -> None:
    token, _ = access.create_token(make_user("ann"), ["read"], timedelta(days=30), "ci", "ann", at)
    type(token).objects.update(created=at, expiry=at + timedelta(days=30))
    told = []
    for day in range(0, 31):
        for hour in (0, 12):
            if tokens.look(at + timedelta(days=day, hours=hour, minutes=1)):
                told.append(day)
    assert told == [23, 29]
    assert Notification.objects.filter(event="token.expires").count() == 2
    soonest = Notification.objects.order_by("-created_at")[0]
    assert soonest.title == "A token ends soon: ci of ann"
    assert "in 1 day:" in soonest.body
    assert token.digest not in json.dumps(soonest.payload)


def test_a_token_that_is_made_for_a_day_or_never_ends_is_no_news(at: datetime, channel: Channel) -> None:
    tokens.look(at - timedelta(days=1))
    short, _ = access.create_token(make_user("ann"), ["read"], timedelta(days=1), "short", "ann", at)
    access.create_token(make_user("bob"), ["ingest"], None, "ever", "bob", at)
    type(short).objects.filter(pk=short.pk).update(created=at, expiry=at + timedelta(days=1))
    assert tokens.look(at + timedelta(hours=1)) == 0


def test_two_ticks_at_once_tell_of_a_token_once(at: datetime, channel: Channel) -> None:
    token, _ = access.create_token(make_user("ann"), ["read"], timedelta(days=30), "ci", "ann", at)
    type(token).objects.update(created=at - timedelta(days=20), expiry=at + timedelta(days=7))
    tokens.look(at - timedelta(hours=1))
    assert [tokens.look(at), tokens.look(at)] == [1, 0]


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch, settings: Any) -> list[str]:
    settings.SELF_HEAL_HEARTBEAT_URL = "https://hc.example/ping"
    fetched: list[str] = []

    class Answer(SimpleNamespace):
        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: Any) -> None: ...

    monkeypatch.setattr(requests, "get", lambda url, **_: fetched.append(url) or Answer(status_code=200))
    return fetched


def test_a_dead_mans_switch_outside_hears_of_a_good_tick(outside: list[str]) -> None:
    tasks.tick()
    assert outside == ["https://hc.example/ping"]


@pytest.mark.parametrize(
    "broken", ["healing.tasks.take_care", "healing.tasks.governance.note_storm", "healing.tasks.scheduler.look"]
)
def test_a_dead_mans_switch_outside_hears_nothing_of_a_tick_that_failed(
    outside: list[str], monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    monkeypatch.setattr(broken, lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        tasks.tick()
    assert outside == []


def test_a_tick_sends_again_what_a_lost_hint_forgot(at: datetime, channel: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    from django.db import transaction

    from healing.notifications import writing

    with transaction.atomic():
        writing.tell("run.failed", Facts("x"), subject="run:1", at=at)
    hints: list[Any] = []
    monkeypatch.setattr(tasks.notify, "apply_async", lambda **said: hints.append(said))
    monkeypatch.setattr(tasks.timezone, "now", lambda: at)
    tasks.tick()
    assert len(hints) == 1
    assert JobRun.objects.filter(job=tokens.JOB).exists()
