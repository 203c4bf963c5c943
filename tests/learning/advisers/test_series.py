"""What the advisers on series say of facts."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from learning.advisers import anomaly, forecast
from selfheal.errors import Invalid

START = datetime(2026, 11, 25, tzinfo=UTC)


def rising(length: int = 300, slope: float = 0.1) -> list[tuple[datetime, float]]:
    random = Random(2)
    return [(START + timedelta(minutes=index), 50 + slope * index + random.gauss(0, 0.2)) for index in range(length)]


def test_a_disk_that_fills_will_pass_its_limit_and_the_reason_says_when() -> None:
    advice = forecast.advise({"points": rising(), "limit": 80.5})
    assert advice.score > 0.8
    assert advice.interval is not None
    assert advice.interval[0] < 81.5 < advice.interval[1] + 1
    assert "2026-11-25 05:1" in advice.why[1]


def test_a_limit_far_away_is_hardly_reached() -> None:
    assert forecast.advise({"points": rising(), "limit": 200}).score < 0.02


def test_below_is_bad_where_the_facts_say_so() -> None:
    points = [(at, 100 - value) for at, value in rising()]
    assert forecast.advise({"points": points, "limit": 19.5, "beyond": "below"}).score > 0.8
    assert forecast.advise({"points": points, "limit": 19.5, "beyond": "above"}).score > 0.5


def test_a_constant_at_its_limit_is_not_above_it() -> None:
    points = [(at, 7.0) for at, _ in rising(60)]
    assert forecast.advise({"points": points, "limit": 7.0}).score == pytest.approx(0, abs=0.03)
    assert forecast.advise({"points": points, "limit": 6.9}).score == 1


@pytest.mark.parametrize(
    ("facts", "field"),
    [
        ({"limit": None}, "limit"),
        ({"limit": math.nan}, "limit"),
        ({"limit": True}, "limit"),
        ({"within": 0}, "within"),
        ({"within": "900"}, "within"),
        ({"beyond": "over"}, "beyond"),
        ({"points": []}, "points"),
        ({"points": [(1, 2)] * 4}, "points"),
        ({"points": [(1, 2), (2,)]}, "points.1"),
        ({"points": [(1, 2), (2, "high")]}, "points.1"),
    ],
)
def test_facts_that_are_no_use_are_refused_with_their_name(facts: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as raised:
        forecast.advise({"points": rising(), "limit": 80, **facts})
    assert raised.value.field == field


def test_the_anomaly_adviser_scores_the_last_point() -> None:
    points = rising(slope=0)
    assert anomaly.advise({"points": points}).score < 0.5
    advice = anomaly.advise({"points": [*points, (START + timedelta(minutes=300), 90.0)]})
    assert advice.score > 0.5
    assert "nothing like it in 300 points" in advice.why[0]
