from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfheal.flapping import CHANGES, QUIET, changes, flap

AT = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
MIN = timedelta(minutes=1)


def span(start: int, end: int | None) -> tuple[datetime, datetime | None]:
    """Minutes before AT."""
    return AT - start * MIN, None if end is None else AT - end * MIN


@pytest.mark.parametrize(
    ("spans", "count"),
    [
        ([], None),
        ([span(30, None)], None),
        ([span(50, 45), span(40, 35)], None),
        ([span(50, 45), span(40, 35), span(10, 5)], 6),
        ([span(50, 45), span(40, 35), span(10, None)], None),
        ([span(50, 45), span(40, 35), span(20, 12), span(10, None)], 7),
        ([span(50, 45), span(40, 35), span(30, 16)], None),  # quiet since
        ([span(90, 85), span(80, 75), span(10, 5)], None),  # longer ago than an hour
        ([span(50, None), *[span(n, n - 1) for n in range(5, 50, 5)]], None),  # one alert fires all the time
        ([span(50, 20)] * 10_000, None),  # many at once are one change
        ([span(5, 4), span(4, 3), span(3, 2), span(2, 1)], None),  # one that goes on
        ([span(9, 8), span(6, 5), span(2, -3), span(-4, -5)], None),  # what is still to come is no change
    ],
)
def test_a_place_flaps_by_its_changes_not_by_its_alerts(spans: list, count: int | None) -> None:
    found = flap(spans, AT)
    assert (found.changes if found else None) == count


def test_it_says_the_numbers_and_is_over_when_it_was_quiet() -> None:
    spans = [span(50, 45), span(40, 35), span(10, 5)]
    found = flap(spans, AT)
    assert found
    assert found.until == AT - 5 * MIN + QUIET
    assert "6 changes since 11:10 UTC; from 6 within 60 min on nothing is proposed until it was quiet for 15 min" in str(found)
    assert flap(spans, found.until - MIN)
    assert flap(spans, found.until) is None


SPANS = st.lists(
    st.tuples(st.integers(0, 200), st.one_of(st.none(), st.integers(0, 30))).map(
        lambda pair: (AT - pair[0] * MIN, None if pair[1] is None else AT - (pair[0] - pair[1]) * MIN)
    ),
    max_size=20,
)


@given(SPANS, st.randoms())
def test_changes_are_in_order_and_do_not_depend_on_the_order_of_the_alerts(spans: list, random: object) -> None:
    found = changes(spans)
    assert found == sorted(found)
    shuffled = list(spans)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert changes(shuffled) == found
    assert changes([*spans, *spans]) == found
    assert len(found) <= 2 * len(spans)


@given(SPANS)
def test_nothing_flaps_for_fewer_changes_than_it_takes(spans: list) -> None:
    found = flap(spans, AT)
    assert found is None or (found.changes >= CHANGES and found.since <= AT < found.until)
