"""Bodies that arrive at the same moment, on real connections: nothing is lost, nothing doubled, nobody gets an error."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from healing import intake
from healing.models import Episode, Incident, TimelineEvent, UnmatchedAlert

from .conftest import alert, body, declare, leaves

pytestmark = pytest.mark.usefixtures("real_database", "no_broker")


@pytest.fixture
def no_broker(monkeypatch):
    monkeypatch.setattr("healing.intake.look", lambda: None)


def at_once(bodies: list[bytes], at: Any) -> list[dict[str, Any]]:
    """Deliver all of them from threads that start together; the answers."""
    gate, answers, errors = threading.Barrier(len(bodies)), [], []

    def deliver(text: bytes) -> None:
        try:
            gate.wait()
            answers.append(intake.receive(text, actor="alertmanager", at=at))
        except Exception as error:  # noqa: BLE001
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=deliver, args=(text,)) for text in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    return answers


def total(answers: list[dict[str, Any]], name: str) -> int:
    return sum(answer[name] for answer in answers)


def test_the_same_new_group_from_eight_sides_is_stored_once(at):
    declare("web", "web-01", "web-02")
    group = [alert(at, fingerprint=f"f{n}", instance=f"web-0{n % 2 + 1}") for n in range(10)]
    answers = at_once([body(*(group if k % 2 else reversed(group))) for k in range(8)], at)
    assert (total(answers, "accepted"), total(answers, "deduplicated")) == (10, 70)
    assert (Incident.objects.count(), Episode.objects.count(), len(leaves())) == (2, 10, 1)
    assert len({tuple(sorted(answer["incidents"])) for answer in answers}) == 1


def test_different_alerts_of_one_place_at_once_share_one_incident(at):
    declare("web", "web-01")
    answers = at_once([body(alert(at, fingerprint=f"f{n}")) for n in range(8)], at)
    assert total(answers, "accepted") == 8
    (incident,) = Incident.objects.all()
    assert {answer["incidents"][0] for answer in answers} == {str(incident.pk)}
    assert incident.episodes.count() == 8


def test_the_last_two_episodes_that_end_at_once_resolve_their_incident_once(at):
    declare("web", "web-01")
    for round_ in range(5):
        names = [f"r{round_}-f{n}" for n in range(4)]
        intake.receive(body(*[alert(at, fingerprint=name) for name in names]), actor="am", at=at)
        answers = at_once([body(alert(at, fingerprint=name, ended=True)) for name in names], at + timedelta(minutes=1))
        assert total(answers, "accepted") == 4
    assert set(Incident.objects.values_list("status", flat=True)) == {"resolved"}
    assert TimelineEvent.objects.filter(action="incident.resolved").count() == 5


def test_an_unmatched_alert_from_all_sides_is_listed_once(at):
    answers = at_once([body(alert(at, service="nobody")) for _ in range(6)], at)
    assert total(answers, "unmatched") == 6
    assert UnmatchedAlert.objects.count() == 1


def test_a_new_episode_while_the_old_one_ends_is_never_left_without_a_live_incident(at):
    declare("web", "web-01")
    for round_ in range(6):
        old, new = alert(at, fingerprint=f"r{round_}-old"), alert(at, fingerprint=f"r{round_}-new")
        intake.receive(body(old), actor="am", at=at)
        at_once([body({**old, "status": "resolved"}), body(new)], at)
        firing = Episode.objects.get(fingerprint=f"r{round_}-new")
        assert firing.incident.status == "open"
        intake.receive(body({**new, "status": "resolved"}), actor="am", at=at)
