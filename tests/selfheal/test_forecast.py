"""Forecasts of made series, in which it is known what comes."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfheal.errors import Invalid, TooLarge
from selfheal.forecast import Ahead, Forecaster, forecast
from selfheal.series import Point

HOUR = 3_600.0


def daily(index: int) -> float:
    return 100 + 40 * math.sin(2 * math.pi * index / 24)


def points(length: int, noise: float = 1.0, seed: int = 1) -> list[Point]:
    random = Random(seed)
    return [Point(index * HOUR, daily(index) + random.gauss(0, noise)) for index in range(length)]


def test_what_recurs_each_day_is_foreseen() -> None:
    for distance, ahead in enumerate(forecast(points(24 * 14), 24)):
        assert ahead.value == pytest.approx(daily(24 * 14 + distance), abs=4)


def test_a_forecast_is_at_each_step_after_the_last_point() -> None:
    assert [ahead.at for ahead in forecast(points(100), 3)] == [100 * HOUR, 101 * HOUR, 102 * HOUR]


def test_a_straight_rise_is_followed() -> None:
    rising = [Point(index * 60.0, 3.0 * index) for index in range(400)]
    ahead = forecast(rising, 15)[-1]
    assert ahead.value == pytest.approx(3.0 * 414, rel=0.02)


def test_the_intervals_hold_as_often_as_they_say() -> None:
    forecaster = Forecaster(HOUR, 6)
    inside80 = inside95 = count = 0
    due: dict[int, Ahead] = {}
    for index, point in enumerate(points(24 * 100)):
        if index in due:
            ahead = due.pop(index)
            count += 1
            inside80 += ahead.low80 <= point.value <= ahead.high80
            inside95 += ahead.low95 <= point.value <= ahead.high95
        forecaster.add(*point)
        if index >= 24 * 10:
            due[index + 6] = forecaster.ahead()[5]
    assert 0.77 <= inside80 / count <= 0.83
    assert 0.93 <= inside95 / count <= 0.97


def test_a_constant_stays_and_its_interval_has_no_width() -> None:
    for ahead in forecast([Point(index * HOUR, 7.0) for index in range(50)], 5):
        assert (ahead.low95, ahead.value, ahead.high95) == (7, 7, 7)


def test_gaps_missing_values_and_doubles_change_little() -> None:
    known = points(24 * 14)
    gaps = [point for index, point in enumerate(known) if index % 7 and not 100 <= index < 130]
    gaps += [Point(known[50].at, math.nan), known[51]]
    for ahead, distance in zip(forecast(gaps, 24), range(24), strict=True):
        assert ahead.value == pytest.approx(daily(24 * 14 + distance), abs=6)


def test_the_order_of_the_rows_does_not_matter() -> None:
    known = points(200)
    mixed = list(known)
    Random(5).shuffle(mixed)
    assert forecast(mixed, 10) == forecast(known, 10)


def test_a_stream_leaves_out_what_comes_late() -> None:
    forecaster = Forecaster(HOUR, 1)
    for point in [*points(20), Point(3 * HOUR, 1e9)]:
        forecaster.add(*point)
    assert forecaster.left_out == 1
    assert forecaster.ahead()[0].value < 1_000


def test_a_gap_of_years_costs_nothing_and_what_follows_it_is_learnt() -> None:
    late = [Point(point.at + 1e9, point.value) for point in points(24 * 14)]
    first = forecast([*points(48), *late], 1)[0]
    assert first.value == pytest.approx(late[-1].value, abs=20)


@pytest.mark.parametrize(("steps", "refused"), [(0, Invalid), (-3, Invalid), (10_000, TooLarge)])
def test_steps_out_of_bounds_are_refused(steps: int, refused: type[Invalid]) -> None:
    with pytest.raises(refused) as raised:
        forecast(points(50), steps)
    assert raised.value.field == "steps"


@pytest.mark.parametrize("known", [[], points(9), [Point(5.0, 1.0)] * 40, [Point(index * 1.0, math.nan) for index in range(40)]])
def test_too_few_points_are_refused_with_how_many_are_needed(known: list[Point]) -> None:
    with pytest.raises(Invalid, match="needs 10"):
        forecast(known, 3)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-1e12, 1e12), min_size=12, max_size=120), st.integers(1, 40))
def test_whatever_came_the_quantiles_are_in_order_and_finite(values: list[float], steps: int) -> None:
    for ahead in forecast([Point(index * 60.0, value) for index, value in enumerate(values)], steps):
        row = (ahead.low95, ahead.low80, ahead.value, ahead.high80, ahead.high95)
        assert all(map(math.isfinite, row))
        assert list(row) == sorted(row)


def test_a_forecast_is_not_thrown_off_by_a_surprise_after_a_quiet_stretch() -> None:
    """While nothing changes errors are those of rounding: what then comes is beyond all measure, and is not the measure."""
    random = Random(1)
    values = [round(0.066 + 0.002 * (random.random() < 0.1), 3) if n < 200 else 0.07 for n in range(240)]
    ahead = forecast([Point(300.0 * n, value) for n, value in enumerate(values)], 12)
    assert all(-1 < each.low95 <= each.value <= each.high95 < 1 for each in ahead)
