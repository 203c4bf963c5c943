from __future__ import annotations

import base64
import json
from datetime import timedelta

import pytest

from selfheal.alerts import read_grafana
from selfheal.cloudevents import BATCH, STRUCTURED, read_events
from selfheal.errors import Invalid
from selfheal.states import EpisodeStatus, Severity

EVENT = {
    "specversion": "1.0",
    "id": "e1",
    "source": "/sensors/rack-7",
    "type": "com.example.down",
    "subject": "web-01",
    "time": "2026-11-25T11:55:00Z",
    "datacontenttype": "application/json",
    "data": {"service": "web", "target": "web-01", "diagnosis": "service_down", "severity": "critical", "colour": "red"},
    "traceparent": "00-1",
}
CE = {"ce-specversion": "1.0", "ce-id": "e1", "ce-source": "/a%20b", "ce-type": "t", "ce-time": "2026-11-25T11:55:00Z"}


def events(at, body, content_type=STRUCTURED, headers=None):
    return read_events(body if isinstance(body, bytes) else json.dumps(body).encode(), content_type, headers or {}, at)


def without(*names, **changes):
    return {name: value for name, value in {**EVENT, **changes}.items() if name not in names}


def test_a_structured_event_is_an_alert(at):
    (alert,) = events(at, EVENT).alerts
    assert alert.labels == {
        "service": "web", "instance": "web-01", "diagnosis": "service_down",
        "ce_type": "com.example.down", "ce_source": "/sensors/rack-7", "ce_subject": "web-01",
    }  # fmt: skip
    assert (alert.status, alert.severity) == (EpisodeStatus.FIRING, Severity.CRITICAL)
    assert (alert.starts_at, alert.said_at) == (None, at - timedelta(minutes=5))


def test_a_binary_event_has_its_attributes_in_headers(at):
    (alert,) = events(at, EVENT["data"], "application/json", CE).alerts
    assert (alert.labels["ce_source"], alert.labels["service"]) == ("/a b", "web")
    (bare,) = events(at, b"", "application/json", CE).alerts
    assert bare.labels == {"ce_source": "/a b", "ce_type": "t"}
    assert bare.title == "t"


def test_data_may_be_base64(at):
    data = base64.b64encode(json.dumps(EVENT["data"]).encode()).decode()
    assert events(at, without("data", data_base64=data)).alerts == events(at, EVENT).alerts


def test_the_end_of_an_alert_is_told_by_another_type_of_event(at):
    ended = without(type="com.example.up", id="e2", data={**EVENT["data"], "status": "resolved"})
    (first,), (last,) = events(at, EVENT).alerts, events(at, ended).alerts
    assert first.fingerprint == last.fingerprint
    assert (last.status, last.ends_at) == (EpisodeStatus.RESOLVED, at - timedelta(minutes=5))
    other = events(at, without(subject="web-02")).alerts[0]
    assert other.fingerprint != first.fingerprint


def test_what_the_data_says_of_its_beginning_counts(at):
    (alert,) = events(at, without(data={"service": "web", "starts_at": "2026-11-25T10:00:00Z"})).alerts
    assert (alert.starts_at, alert.said_at) == (at - timedelta(hours=2), None)


def test_a_bad_event_of_a_batch_is_named_and_blocks_no_other(at):
    bad = [without("id"), without(specversion="0.3"), without(data=[1]), without(time="soon"), 7]
    found = events(at, [*bad, EVENT], BATCH)
    assert len(found.alerts) == 1
    assert [each.index for each in found.rejected] == [0, 1, 2, 3, 4]
    assert [each.field for each in found.rejected][:4] == ["id", "specversion", "data", "time"]


@pytest.mark.parametrize(
    ("event", "field"),
    [
        (without("source"), "source"),
        (without(type=""), "type"),
        (without(data={"service": 1}), "data.service"),
        (without(data={"labels": {"a": "\0"}}), "labels.a"),
        (without(subject="\0"), "subject"),
        (without(datacontenttype="text/xml"), "datacontenttype"),
        (without("data", data_base64="!"), "data_base64"),
    ],
)
def test_a_wrong_event_is_refused_by_its_field(at, event, field):
    with pytest.raises(Invalid) as raised:
        events(at, event)
    assert raised.value.field == field


def test_json_without_the_headers_is_no_event_and_the_message_says_what_is(at):
    with pytest.raises(Invalid, match=r"ce-specversion: is missing: .* application/cloudevents\+json"):
        events(at, EVENT["data"], "application/json")


GRAFANA = {
    "receiver": "selfheal",
    "status": "firing",
    "orgId": 1,
    "version": "1",
    "groupKey": "{}:{}",
    "truncatedAlerts": 2,
    "title": "[FIRING:1]",
    "state": "alerting",
    "alerts": [
        {
            "status": "firing",
            "labels": {"alertname": "HighLatency", "service": "web", "grafana_folder": "prod"},
            "annotations": {"summary": "web is slow"},
            "startsAt": "2026-11-25T11:55:00+01:00",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "https://grafana/alerting/1/edit",
            "fingerprint": "57c6d9296de2ad39",
            "silenceURL": "https://grafana/silence",
            "dashboardURL": "",
            "panelURL": "",
            "values": {"A": 44.2, "B": None},
            "valueString": "[ var='A' value=44.2 ]",
        }
    ],
}


def test_grafanas_webhook_is_read(at):
    found = read_grafana(json.dumps(GRAFANA).encode(), at)
    (alert,) = found.alerts
    assert (found.source, found.truncated) == ("grafana", 2)
    assert (alert.fingerprint, alert.starts_at) == ("57c6d9296de2ad39", at - timedelta(hours=1, minutes=5))
    assert alert.annotations == {
        "summary": "web is slow", "valueString": "[ var='A' value=44.2 ]", "silenceURL": "https://grafana/silence",
    }  # fmt: skip


def test_grafanas_resolved_alert_ends_when_it_says(at):
    ended = {**GRAFANA["alerts"][0], "status": "resolved", "endsAt": "2026-11-25T11:58:00Z", "values": None}
    (alert,) = read_grafana(json.dumps({**GRAFANA, "alerts": [ended]}).encode(), at).alerts
    assert alert.ends_at == at - timedelta(minutes=2)
