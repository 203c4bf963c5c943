"""When what is healed again and again is a problem."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfheal.debt import Debt, Healed, debt, minutes, words

AT = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
WEEK = timedelta(days=7)


def healed(*days: float, incident: str = "") -> list[Healed]:
    return [Healed(AT - timedelta(days=day), incident or f"i{day}", 600) for day in days]


@pytest.mark.parametrize(
    ("days", "acknowledged", "found"),
    [
        ((0, 1, 2), None, True),
        ((0, 1), None, False),
        ((0, 1, 7), None, False),
        ((0, 1, 6.99), None, True),
        ((0, 1, 2, 3), 1.5, False),
        ((0, 0.5, 1, 2, 3), 1.5, True),
        ((-1, 0, 1), None, False),
    ],
    ids=["three", "two", "one too old", "just in time", "settled before", "three since", "one is to come"],
)
def test_so_many_within_so_long_are_a_problem(days: tuple[float, ...], acknowledged: float | None, found: bool) -> None:
    settled = AT - timedelta(days=acknowledged) if acknowledged else None
    assert (debt(healed(*days), AT, heals=3, within=WEEK, acknowledged_at=settled) is not None) is found


def test_where_it_is_switched_off_nothing_is_one() -> None:
    assert debt(healed(0, 1, 2), AT, heals=0, within=WEEK) is None


def test_it_costs_the_time_of_its_incidents_each_once() -> None:
    found = debt([*healed(0, 1), *healed(2, 3, incident="same")], AT, heals=3, within=WEEK)
    assert found == Debt(4, AT - timedelta(days=3), AT, {"same": 600, "i1": 600, "i0": 600})
    assert minutes(found.seconds) == 30


def test_it_is_told_in_a_line() -> None:
    assert words(7, AT, 61) == "healed 7 times since 2026-11-25 12:00 UTC, 2 minutes of trouble"


TIMES = st.lists(st.floats(0, 20), max_size=12)


@given(TIMES, st.floats(0, 20), st.integers(1, 6))
def test_one_more_success_never_makes_less_of_it(days: list[float], one_more: float, heals: int) -> None:
    before = debt(healed(*days), AT, heals=heals, within=WEEK)
    after = debt(healed(*days, one_more), AT, heals=heals, within=WEEK)
    assert before is None or (after is not None and after.heals >= before.heals and after.seconds >= before.seconds)


@given(TIMES, st.integers(1, 6), st.randoms(use_true_random=False))
def test_the_order_in_which_they_are_read_does_not_matter(days: list[float], heals: int, random: object) -> None:
    shuffled = healed(*days)
    random.shuffle(shuffled)
    assert debt(shuffled, AT, heals=heals, within=WEEK) == debt(healed(*sorted(days)), AT, heals=heals, within=WEEK)


@given(TIMES, st.integers(1, 6))
def test_an_acknowledgement_of_now_settles_everything(days: list[float], heals: int) -> None:
    assert debt(healed(*days), AT, heals=heals, within=WEEK, acknowledged_at=AT) is None
