"""The judge is right: the scorer of the benchmark against what its rules say of detectors that are easy to foresee."""

from __future__ import annotations

import math

import pytest

from tests.advisers.nab import Series, probation, score, sigmoid, worth

LENGTH = 2_000
WINDOWS = [(600, 699), (1_000, 1_099)]
SERIES = Series("made/one.csv", [(300.0 * index, 0.0) for index in range(LENGTH)], WINDOWS)


def judged(*alarms: int, of: Series = SERIES, **given: float) -> float:
    return score([of], {of.name: [1.0 if index in alarms else 0.0 for index in range(LENGTH)]}, **given)[0]


def test_a_detector_that_never_alarms_has_0() -> None:
    assert score([SERIES], {SERIES.name: [0.0] * LENGTH}, threshold=0.5)[0] == 0


def test_a_detector_that_alarms_at_the_first_point_of_each_window_has_100() -> None:
    assert judged(600, 1_000) == pytest.approx(100)


def test_an_alarm_in_the_middle_of_a_window_earns_as_the_sigmoid_says() -> None:
    assert judged(600, 1_050) == pytest.approx((1 + 1 + 1 + sigmoid(-0.5) / sigmoid(-1)) / 4 * 100)


def test_only_the_first_alarm_in_a_window_counts() -> None:
    assert judged(600, 650, 699, 1_000) == pytest.approx(100)


def test_a_false_alarm_before_all_windows_costs_0_11() -> None:
    assert judged(400, 600, 1_000) == pytest.approx(100 - 0.11 / 4 * 100)


def test_a_false_alarm_just_behind_a_window_costs_less() -> None:
    assert worth(SERIES)[700] == (pytest.approx(0.11 * sigmoid(1 / 99)), None)
    assert judged(600, 700, 1_000) > judged(600, 850, 1_000)


def test_what_comes_in_the_probation_is_not_judged() -> None:
    assert probation(LENGTH) == 300
    assert probation(100_000) == 750
    assert judged(299, 600, 1_000) == pytest.approx(100)
    assert judged(300, 600, 1_000) < 100


def test_the_threshold_is_the_best_over_all_series() -> None:
    other = Series("made/two.csv", SERIES.points, [(600, 699)])
    scores = {name: [0.0] * LENGTH for name in (SERIES.name, other.name)}
    scores[SERIES.name][600], scores[SERIES.name][1_000], scores[other.name][1_500] = 0.9, 0.6, 0.7
    found, threshold = score([SERIES, other], scores)
    assert threshold == 0.6
    assert found == pytest.approx((2 + 2 - 0.11 + 0) / 6 * 100)


def test_a_threshold_above_every_score_is_infinite_where_alarms_only_cost() -> None:
    quiet = Series("made/quiet.csv", SERIES.points, [])
    hit = Series("made/hit.csv", SERIES.points, [(600, 699)])
    scores = {quiet.name: [0.3] * LENGTH, hit.name: [0.3] * LENGTH}
    assert score([quiet, hit], scores) == (0, math.inf)


def test_a_detector_that_leaves_points_out_is_refused() -> None:
    with pytest.raises(ValueError, match="1 scores for 2000 points"):
        score([SERIES], {SERIES.name: [0.0]})
