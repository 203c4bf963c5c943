"""The alerts of the past, from samples and from files."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from selfheal.backtest import Series, history, read_file
from selfheal.errors import Invalid, TooLarge

AT = datetime(2026, 11, 25, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LABELS = {"__name__": "ALERTS", "alertname": "Down", "alertstate": "firing", "service": "web"}


def minutes(*numbers: int) -> list[float]:
    return [(AT + timedelta(minutes=n)).timestamp() for n in numbers]


@pytest.mark.parametrize(
    ("parts", "spans"),
    [
        ([minutes(0, 1, 2)], [(0, 3)]),
        ([minutes(0)], [(0, 1)]),
        ([minutes(0, 1), minutes(2, 3)], [(0, 4)]),
        ([minutes(0, 1, 5, 6)], [(0, 7)]),
        ([minutes(0, 1, 7, 8)], [(0, 2), (7, 9)]),
        ([minutes(0, 1), minutes(58, 59)], [(0, 2), (58, None)]),
    ],
)
def test_samples_become_occurrences(parts: list[list[float]], spans: list[tuple[int, int | None]]) -> None:
    series = Series(MINUTE)
    for part in parts:
        series.add(LABELS, part)
    found, wrong = series.alerts(AT + timedelta(hours=1))
    assert [(a.starts_at, a.ends_at) for a in found] == [
        (AT + MINUTE * begin, None if end is None else AT + MINUTE * end) for begin, end in spans
    ]
    assert found[0].labels == {"alertname": "Down", "service": "web"}
    assert not wrong


def test_too_many_series_are_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MOST_SERIES", 3)
    series = Series(MINUTE)
    for n in range(3):
        series.add({**LABELS, "instance": str(n)}, minutes(0))
    with pytest.raises(TooLarge, match="narrow them by --match"):
        series.add({**LABELS, "instance": "one more"}, minutes(0))


def webhook(status: str, **fields: Any) -> dict[str, Any]:
    return {"status": status, "labels": {"alertname": "Down"}, "startsAt": "2026-11-25T12:00:00Z", **fields}


FIRING, RESOLVED = webhook("firing"), webhook("resolved", endsAt="2026-11-25T12:09:00Z")
PLAIN = {"service": "web", "starts_at": "2026-11-25T12:00:00Z", "ends_at": "2026-11-25T12:09:00Z", "status": "resolved"}


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"alerts": [FIRING, RESOLVED]}),
        json.dumps([{"alerts": [FIRING]}, {"alerts": [RESOLVED]}, {"alerts": [FIRING]}]),
        json.dumps({"posts": [{"alerts": [FIRING]}, {"alerts": [RESOLVED]}]}),
        json.dumps([FIRING, RESOLVED]),
        json.dumps(RESOLVED),
        json.dumps(PLAIN),
        json.dumps([PLAIN, PLAIN]),
        f"{json.dumps(FIRING)}\n\n{json.dumps(RESOLVED)}\n",
        f"{json.dumps({'alerts': [FIRING]})}\n{json.dumps([RESOLVED])}\n",
    ],
)
def test_a_file_may_have_any_form_that_we_take_alerts_in(text: str) -> None:
    (alert,), wrong = read_file(text.encode(), AT)
    assert (alert.starts_at, alert.ends_at) == (AT, AT + timedelta(minutes=9))
    assert not wrong


def test_one_bad_alert_is_refused_alone() -> None:
    found, wrong = read_file(json.dumps([FIRING, {**FIRING, "labels": {}}, {"labels": {"alertname": "x"}}]).encode(), AT)
    assert len(found) == 1
    assert [each.reason.partition(":")[0] for each in wrong] == ["labels", "starts_at"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is no JSON"),
        ("{", "is no JSON"),
        ("7", "value 1 is no alert: expected an object, got int"),
        ('{"a": 1}', "value 1 is no alert"),
        ('{"labels": {"a": "b"}}\nnonsense\n', "line 2"),
        ("[" * 100_000, "nested too deep"),
    ],
)
def test_what_holds_no_alerts_is_refused_with_the_place(text: str, says: str) -> None:
    with pytest.raises(Invalid, match=says):
        read_file(text.encode(), AT)
