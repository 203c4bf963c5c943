"""The anomaly score of made series, in which it is known what is strange."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfheal.anomaly import REST, WARM_UP, Scorer
from selfheal.streams import Rarity, Window

STEP = 300.0
DAY = 288
LENGTH = 8 * DAY
AT = 7 * DAY + 100


def day_and_night(seed: int = 1, length: int = LENGTH) -> list[float]:
    random = Random(seed)
    return [100 + 20 * math.sin(2 * math.pi * index / DAY) + random.gauss(0, 2) for index in range(length)]


def scores(values: list[float], origin: float = 0.0) -> list[float]:
    scorer = Scorer()
    return [scorer.score(origin + index * STEP, value) for index, value in enumerate(values)]


def spike(values: list[float]) -> None:
    values[AT] += 60


def shift(values: list[float]) -> None:
    values[AT:] = [value + 30 for value in values[AT:]]


def night_by_day(values: list[float]) -> None:
    values[AT : AT + 60] = [70.0 for _ in range(60)]


def outage(values: list[float]) -> None:
    values[AT : AT + 30] = [0.0] * 30


@pytest.mark.parametrize("strange", [spike, shift, night_by_day, outage])
def test_what_is_strange_is_an_alarm_within_an_hour(strange) -> None:
    values = day_and_night()
    strange(values)
    assert max(scores(values)[AT : AT + 12]) > 0.5


@pytest.mark.parametrize("strange", [spike, shift, night_by_day, outage])
def test_it_stands_out_in_series_of_any_unit_and_offset(strange) -> None:
    values = day_and_night()
    strange(values)
    found = scores([1e9 + value * 1e6 for value in values])
    assert max(found[AT : AT + 12]) > 0.5


def test_days_as_before_are_hardly_ever_alarms() -> None:
    alarms = sum(score > 0.5 for seed in range(5) for score in scores(day_and_night(seed))[2 * DAY :])
    assert alarms <= 5, "one a week and series"


def test_a_disturbance_that_lasts_is_said_once() -> None:
    values = day_and_night()
    shift(values)
    assert sum(score > 0.5 for score in scores(values)[AT : AT + REST]) <= 2


def test_the_score_of_a_point_does_not_depend_on_what_comes_after_it() -> None:
    values = day_and_night(length=3 * DAY)
    values[500] = 400
    whole = scores(values)
    assert scores(values[:600]) == whole[:600]


def test_a_missing_value_scores_0_and_leaves_the_others_as_they_are() -> None:
    values = day_and_night()
    spike(values)
    for index in (5, 300, AT - 3, AT + 1):
        values[index] = math.nan
    found = scores(values)
    assert found[AT - 3] == 0
    assert max(found[AT : AT + 12]) > 0.5


def test_a_constant_is_no_anomaly_and_its_first_change_is_one() -> None:
    values = [7.0] * 1_000
    assert max(scores(values)) < 0.5
    values[700] = 8.0
    assert scores(values)[700] > 0.5


def test_nothing_is_scored_before_enough_is_known() -> None:
    values = day_and_night(length=2 * WARM_UP)
    values[-1] = 1e6
    assert max(scores(values)) < 0.1


def test_times_that_go_back_or_stand_still_are_scored_in_the_order_of_arrival() -> None:
    scorer = Scorer()
    times = [index * STEP for index in range(LENGTH)]
    times[900:903] = [times[899], times[899], times[10]]
    values = day_and_night()
    spike(values)
    found = [scorer.score(at, value) for at, value in zip(times, values, strict=True)]
    assert max(found[AT : AT + 12]) > 0.5


def test_the_reason_names_what_was_seen() -> None:
    scorer = Scorer()
    said = []
    values = day_and_night()
    values[AT] = 160
    for index, value in enumerate(values[: AT + 1]):
        scorer.score(index * STEP, value)
        said.append(scorer.why)
    assert "120 are needed" in said[10]
    assert "160" in said[-1] or "last 5 values" in said[-1]
    assert f"nothing like it in {AT:,} points" in said[-1]


NUMBERS = st.lists(st.floats(allow_nan=True, allow_infinity=False, width=32), max_size=300)


@settings(max_examples=25, deadline=None)
@given(NUMBERS, st.lists(st.floats(-1e9, 1e9), min_size=300, max_size=300))
def test_whatever_comes_the_score_is_from_0_to_1(values: list[float], times: list[float]) -> None:
    scorer = Scorer()
    for at, value in zip(times, values * 2, strict=False):
        assert 0 <= scorer.score(at, value) <= 1
        assert scorer.why


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=60), st.integers(2, 10))
def test_a_window_has_mean_and_spread_of_its_last_numbers(values: list[float], size: int) -> None:
    window = Window(size)
    for value in values:
        window.add(value)
    last = values[-size:]
    mean = math.fsum(last) / len(last)
    assert window.mean() == pytest.approx(mean, abs=1e-6)
    assert window.spread() == pytest.approx(math.sqrt(math.fsum((value - mean) ** 2 for value in last) / len(last)), abs=2e-2)


def test_the_rarity_is_by_the_share_of_numbers_at_least_as_great() -> None:
    rarity = Rarity(1_000, 10)
    for value in range(1_000):
        rarity.of(float(value))
    assert rarity.of(900.0) == pytest.approx(1, abs=0.01)
    assert rarity.of(5_000.0) > 3
    assert rarity.of(0.0) == pytest.approx(0, abs=0.01)
