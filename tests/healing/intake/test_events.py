"""CloudEvents and Grafana's webhook: idempotent, whatever the order in which they arrive."""

from __future__ import annotations

import json
from datetime import timedelta
from itertools import permutations

import pytest

from healing import intake
from healing.models import Episode, Incident, UnmatchedAlert
from selfheal.cloudevents import BATCH, STRUCTURED

from .conftest import alert, body, rows


@pytest.fixture(autouse=True)
def _nobody_looks(monkeypatch):
    monkeypatch.setattr("healing.intake.look", lambda: None)


def event(at, minutes, status="firing", **changes):
    """An event that speaks of `minutes` after `at`."""
    data = {"service": "web", "target": "web-01", "diagnosis": "service_down", "status": status, **changes}
    time = (at + timedelta(minutes=minutes)).isoformat()
    return {"specversion": "1.0", "id": f"{status}-{minutes}", "source": "/probe", "type": "down", "time": time, "data": data}


def send(at, *events):
    text = json.dumps(events if len(events) > 1 else events[0]).encode()
    kind = BATCH if len(events) > 1 else STRUCTURED
    return intake.receive_events(text, content_type=kind, headers={}, actor="probe", at=at + timedelta(hours=1))


def test_an_event_opens_an_incident_and_another_one_ends_it(web, at):
    answer = send(at, event(at, 0))
    (incident,) = Incident.objects.all()
    assert (answer["accepted"], answer["incidents"]) == (1, [str(incident.pk)])
    assert (incident.diagnosis, incident.confidence) == ("service_down", 1.0)
    send(at, event(at, 5, "resolved"))
    episode = Episode.objects.get()
    assert (episode.source, episode.starts_at, episode.ends_at) == ("cloudevents", at, at + timedelta(minutes=5))
    assert Incident.objects.get().status == "resolved"


def test_the_same_event_again_changes_nothing_however_late(web, at):
    first, last = event(at, 0), event(at, 5, "resolved")
    send(at, first)
    send(at, last)
    before = rows()
    for again in (first, last, first):
        assert (send(at, again)["accepted"], send(at, again)["deduplicated"]) == (0, 1)
    assert rows() == before


def test_an_event_that_goes_on_belongs_to_the_episode_that_fires(web, at):
    for minutes in (0, 1, 2):
        send(at, event(at, minutes))
    assert Episode.objects.count() == 1
    send(at, event(at, 3, "resolved"))
    send(at, event(at, 4))
    assert sorted(Episode.objects.values_list("status", flat=True)) == ["firing", "resolved"]


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_the_order_of_arrival_never_leaves_a_resolved_alert_firing(web, at, order):
    story = [event(at, 0), event(at, 1), event(at, 2, "resolved")]
    for n in order:
        send(at, story[n])
    send(at, story[2])  # it is delivered at least once, so once more
    assert not Episode.objects.filter(status="firing").exists()


def test_a_batch_is_read_in_the_order_of_its_times(web, at):
    send(at, event(at, 5, "resolved"), event(at, 0))
    assert Episode.objects.get().status == "resolved"


def test_an_event_that_matches_nothing_is_listed_with_a_line_for_its_type(web, at):
    bare = {"specversion": "1.0", "id": "1", "source": "/probe", "type": "com.example.down", "time": at.isoformat()}
    assert send(at, bare)["unmatched"] == 1
    assert send(at, bare)["unmatched"] == 1
    assert UnmatchedAlert.objects.get().labels == {"ce_type": "com.example.down", "ce_source": "/probe"}
    assert "ce_type" in UnmatchedAlert.objects.get().suggestion


def test_grafanas_group_is_idempotent(web, at):
    sent = body(alert(at), alert(at, fingerprint="f2", instance="web-02"))
    first = intake.receive_grafana(sent, actor="grafana", at=at)
    before = rows()
    again = intake.receive_grafana(sent, actor="grafana", at=at + timedelta(minutes=4))
    assert (first["accepted"], again["accepted"], again["deduplicated"]) == (2, 0, 2)
    assert rows() == before
    assert set(Episode.objects.values_list("source", flat=True)) == {"grafana"}
