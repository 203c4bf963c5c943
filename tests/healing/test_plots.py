from __future__ import annotations

import pytest

from healing.plots import Series, bars, lines, lying, nice, percentile, round_time


@pytest.mark.parametrize(("value", "top"), [(0, 1), (1, 1), (1.2, 2), (3, 5), (7, 10), (10, 10), (11, 20), (999, 1000)])
def test_the_scale_ends_at_a_round_number(value: float, top: float) -> None:
    assert nice(value) == top


@pytest.mark.parametrize(
    ("seconds", "top"), [(0, 1), (7, 10), (31, 60), (61, 120), (700, 1200), (2000, 3600), (9000, 18000), (200_000, 432_000)]
)
def test_a_scale_of_time_ends_at_a_round_time(seconds: float, top: float) -> None:
    assert round_time(seconds) == top


def test_a_percentile_is_the_nearest_rank() -> None:
    assert percentile([], 0.5) is None
    assert percentile([4], 0.9) == 4
    assert percentile([3, 1, 2, 4], 0.5) == 2
    assert percentile(list(range(1, 11)), 0.9) == 9


def test_every_text_is_escaped() -> None:
    plot = lying("k", "<b>", ["<script>"], [Series("<i>", "c", [3])], empty="none")
    assert "<script>" not in plot.svg
    assert "<b>" not in plot.svg
    assert "&lt;script&gt;: &lt;i&gt; 3" in plot.svg


def test_a_line_has_a_gap_where_nothing_was_measured() -> None:
    series = [Series("p50", "c", [1, 2, None, 4, 5])]
    plot = lines("k", "t", list("abcde"), series, text=lambda value: f"{value} s", empty="none")
    assert plot.svg.count("<polyline") == 2
    assert plot.svg.count("<circle") == 4
    assert plot.rows[2] == ("c", "–")


def test_bars_say_their_greatest_in_the_description() -> None:
    plot = bars("k", "t", ["10:00", "11:00"], [Series("opened", "c", [1, 4]), Series("healed", "d", [0, 0])], empty="none")
    assert plot.description == "opened: at most 4, 11:00; healed: nothing"
    assert plot.svg.count("<rect") == 2


def test_without_numbers_there_is_no_drawing() -> None:
    plot = bars("k", "t", [], [], empty="none")
    assert (plot.svg, plot.empty) == ("", "none")
