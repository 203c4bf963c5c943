"""What Alertmanager says when it is asked again, by a double of its API."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.utils import timezone

from healing import alertmanager, health
from healing.admin.health import parts
from healing.alertmanager import Answer, Asked
from healing.models import Episode, Incident
from tests.factories import make_incident, make_service

pytestmark = pytest.mark.django_db
ACTIVE = {"state": "active", "silencedBy": [], "inhibitedBy": []}
SILENCED = {"state": "suppressed", "silencedBy": ["5f3a"], "inhibitedBy": []}
INHIBITED = {"state": "suppressed", "silencedBy": [], "inhibitedBy": ["77aa"]}


class Double(http.server.ThreadingHTTPServer):
    """`status` of every alert that we were sent (None: gone), or a `body` as it is."""

    status: dict[str, Any] | None = ACTIVE
    body: bytes | None = None
    code = 200

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[list[str]] = []

    def answer(self) -> bytes:
        if self.body is not None:
            return self.body
        rows = Episode.objects.values_list("fingerprint", "labels")
        return json.dumps([{"fingerprint": f, "labels": n, "status": self.status} for f, n in rows if self.status]).encode()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        double: Any = self.server
        double.asked.append(parse_qs(urlsplit(self.path).query).get("filter", []))
        self.send_response(double.code)
        self.send_header("Location", "http://127.0.0.1:1/")
        self.end_headers()
        self.wfile.write(double.said)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def double(settings: Any) -> Iterator[Double]:
    server = Double()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    settings.SELF_HEAL_ALERTMANAGER_URL = f"http://127.0.0.1:{server.server_port}/"
    yield server
    server.shutdown()
    server.server_close()


def ask(double: Double, incident: Incident) -> Answer:
    double.said = double.answer()  # type: ignore[attr-defined]  # read here: the server's thread sees no database of a test
    return Asked(timezone.now()).about(incident.pk)


@pytest.mark.parametrize(
    ("status", "skip", "detail"),
    [
        (ACTIVE, "", ""),
        ({**ACTIVE, "state": "unprocessed"}, "", ""),
        (SILENCED, "silenced", "silenced in Alertmanager by 5f3a"),
        (INHIBITED, "silenced", "inhibited in Alertmanager by 77aa"),
        (None, "gone", "Alertmanager has no such alert any more"),
    ],
)
def test_only_what_is_active_there_is_healed(double: Double, status: Any, skip: str, detail: str) -> None:
    double.status = status
    assert ask(double, make_incident()) == Answer(skip, detail)


def test_the_alert_is_asked_for_by_its_labels(double: Double) -> None:
    ask(double, make_incident(labels={"service": 'we"b\\', "alertname": "Down", "no name": "x"}))
    assert double.asked == [['alertname="Down"', 'service="we\\"b\\\\"']]


def test_of_several_alerts_one_that_is_active_is_enough(double: Double) -> None:
    incident = make_incident()
    Episode.objects.create(
        incident=incident, fingerprint="other", starts_at=timezone.now(), severity="low", received_at=timezone.now(), labels={}
    )
    double.body = json.dumps([{"fingerprint": incident.episodes.last().fingerprint, "status": ACTIVE}]).encode()
    assert ask(double, incident) == Answer()


def test_what_did_not_come_through_alertmanager_is_not_asked_about(double: Double) -> None:
    incident = make_incident()
    Episode.objects.update(source="plain")
    assert ask(double, incident) == Answer()
    assert double.asked == []


@pytest.mark.parametrize(
    ("code", "body", "doubt"),
    [
        (503, b"[]", "answered 503"),
        (302, b"[]", "answered 302"),
        (200, b"<html>", "did not answer with JSON"),
        (200, b"{}", "did not answer with a list"),
        (200, b"[" + b" " * 2**20 + b"]", "more than 1,048,576 bytes"),
        (200, None, "no state"),
    ],
)
def test_an_answer_that_is_none_is_a_doubt(double: Double, code: int, body: bytes | None, doubt: str) -> None:
    double.code, double.body, double.status = code, body, {"state": None}
    assert doubt in ask(double, make_incident()).doubt


def test_who_does_not_answer_is_not_asked_again_in_the_same_look(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.SELF_HEAL_ALERTMANAGER_URL = "http://127.0.0.1:1"
    asked, first, second = Asked(timezone.now()), make_incident(make_service("web")), make_incident(make_service("db"))
    assert "refused" in asked.about(first.pk).doubt.lower()
    monkeypatch.setattr(alertmanager.http, "fetch", lambda *_, **__: pytest.fail("it was asked again"))
    assert asked.about(second.pk).doubt == asked.doubt


def test_a_look_does_not_wait_for_ever() -> None:
    asked = Asked(timezone.now(), until=0)
    incident = make_incident()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alertmanager.settings, "SELF_HEAL_ALERTMANAGER_URL", "http://127.0.0.1:1")
        assert "more than 10 s" in asked.about(incident.pk).doubt


def test_the_health_page_says_when_it_was_asked_and_when_it_answered(double: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_reach_broker", lambda: None)
    incident, at = make_incident(), timezone.now()

    def line(minutes: int) -> tuple[bool, str]:
        found = next(each for each in parts(at + timedelta(minutes=minutes)) if each.what == "Alertmanager")
        return found.ok, found.found.split("/: ")[1]

    assert line(0) == (True, "was not asked yet, it is before something is proposed")
    double.code, double.said = 503, b""  # type: ignore[attr-defined]
    Asked(at).about(incident.pk)
    assert line(2)[1].startswith("asked last 2 min ago, never answered: ")
    double.code, double.said = 200, double.answer()  # type: ignore[attr-defined]
    Asked(at + timedelta(minutes=3)).about(incident.pk)
    assert line(5) == (True, "asked last 2 min ago, answered last 2 min ago")
    double.code = 503
    Asked(at + timedelta(minutes=6)).about(incident.pk)
    ok, said = line(8)
    assert not ok
    assert said.startswith("asked last 2 min ago, answered last 5 min ago: ")
    assert "answered 503" in said
