from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfheal.rates import Limit


def test_so_many_may_come_at_once_and_then_evenly() -> None:
    limit = Limit(calls=3, seconds=60)
    assert [limit.take("ann", 0) for _ in range(3)] == [0, 0, 0]
    assert limit.take("ann", 0) == pytest.approx(20)
    assert limit.take("ann", 20) == 0
    assert limit.take("ann", 20) == pytest.approx(20)


def test_a_refusal_costs_nothing_and_waiting_as_told_is_enough() -> None:
    limit = Limit(calls=1, seconds=60)
    limit.take("ann", 0)
    for at in range(60):
        assert limit.take("ann", at) == pytest.approx(60 - at)
    assert limit.take("ann", 60) == 0


def test_looking_spends_nothing_and_others_are_not_concerned() -> None:
    limit = Limit(calls=1, seconds=60)
    assert [limit.wait("ann", 0), limit.wait("ann", 0), limit.take("ann", 0)] == [0, 0, 0]
    assert limit.wait("ann", 0) > 0
    assert limit.take("bob", 0) == 0


def test_memory_is_bounded() -> None:
    limit = Limit(calls=1, seconds=60, most=2)
    for key in ("ann", "bob", "eve"):
        assert limit.take(key, 0) == 0
    assert limit.wait("ann", 0) == 0
    assert limit.wait("bob", 0) > 0


@settings(max_examples=50)
@given(st.lists(st.floats(0, 5), max_size=60), st.integers(1, 5))
def test_in_any_span_no_more_than_twice_the_calls_pass(gaps: list[float], calls: int) -> None:
    """A full bucket and its refill in the same span: the known bound of this algorithm."""
    limit, now, passed = Limit(calls, 10), 0.0, []
    for gap in gaps:
        now += gap
        if limit.take("ann", now) == 0:
            passed.append(now)
    for at in passed:
        assert sum(at <= other < at + 10 for other in passed) <= 2 * calls
