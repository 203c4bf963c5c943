from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from healing.models import Incident, Sample, Signal
from tests.healing.intake.conftest import declare

from .conftest import problem


@pytest.fixture(autouse=True)
def _nobody_looks(monkeypatch):
    monkeypatch.setattr("healing.intake.look", lambda: None)


def sample(**changes):
    return {"service": "web", "target": "web-01", "metric": "up", "value": 0, **changes}


def ago(seconds):
    return (timezone.now() - timedelta(seconds=seconds)).isoformat()


def test_samples_are_answered_202_with_what_became_of_each(sender):
    declare("web", "web-01")
    first = sample(at=ago(2))
    response = sender.post("signals", [first, first, sample(), sample(service="nobody"), sample(value="x")])
    assert response.status_code == 202
    (incident,) = Incident.objects.all()
    assert response.json() == {
        "accepted": 2,
        "deduplicated": 1,
        "unmatched": 1,
        "rejected": [{"index": 4, "field": "value", "reason": "must be a finite number"}],
        "incidents": [str(incident.pk)],
    }


def test_a_sample_alone_that_is_wrong_is_a_400_by_its_field(sender):
    declare("web", "web-01")
    assert problem(sender.post("signals", sample(metric="")), 400)["field"] == "metric"
    assert problem(sender.post("signals", sample(at=ago(-3600))), 400)["field"] == "at"
    problem(sender.post("signals", b'{"service": '), 400)
    problem(sender.post("signals", b"x" * 1_100_000), 413)
    problem(sender.post("signals", b"a=b", content_type="application/x-www-form-urlencoded"), 415)
    assert Sample.objects.count() == 0


def test_not_a_number_is_refused_with_its_sample_alone(sender):
    declare("web", "web-01")
    answer = sender.post("signals", [sample(value=float("nan")), sample(value=1)]).json()
    assert (answer["accepted"], [each["field"] for each in answer["rejected"]]) == (1, ["value"])


def test_a_reader_may_not_send_and_a_sender_may_not_read(reader, sender):
    problem(reader.post("signals", sample()), 403)
    problem(sender.get("signals"), 403)


def test_current_signals_are_listed_with_their_state(sender, reader):
    declare("web", "web-01")
    sender.post("signals", [sample(at=ago(9)), sample(at=ago(8)), sample(metric="latency_ms", value=5)])
    rows = reader.get("signals").json()["results"]
    assert [(row["service"], row["target"], row["metric"], row["state"], row["value"]) for row in rows] == [
        ("web", "web-01", "latency_ms", "healthy", 5.0),
        ("web", "web-01", "up", "critical", 0.0),
    ]
    assert [row["metric"] for row in reader.get("signals", service="web", metric="up").json()["results"]] == ["up"]
    assert reader.get("signals", service="db").json()["results"] == []
    Signal.objects.update(seen_at=timezone.now() - timedelta(hours=1))
    assert {row["state"] for row in reader.get("signals").json()["results"]} == {"unknown"}


def test_services_say_how_they_are(sender, reader, admin):
    declare("web", "web-01")
    assert reader.get("services").json()["results"][0]["health"] == "unknown"
    sender.post("signals", [sample(at=ago(2)), sample()])
    assert reader.get("services").json()["results"][0]["health"] == "critical"
    assert admin.post("services", {"name": "db"}).json()["health"] == "unknown"
