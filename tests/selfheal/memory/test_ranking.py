from __future__ import annotations

from datetime import timedelta

import pytest

from selfheal.errors import Invalid
from selfheal.memory.ranking import WEIGHTS, Numbers, numbers_of, relevance, weights_of

HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("age", "recency"), [(0 * HOUR, 1.0), (42 * HOUR, 0.75), (168 * HOUR, 0.0), (999 * HOUR, 0.0), (-HOUR, 1.0)]
)
def test_recency_falls_evenly_over_a_week(age: timedelta, recency: float) -> None:
    assert numbers_of((), age, 0, (), ()).recency == recency


@pytest.mark.parametrize(("uses", "frequency"), [(0, 0.0), (25, 0.25), (100, 1.0), (5_000, 1.0)])
def test_frequency_is_full_at_a_hundred_uses(uses: int, frequency: float) -> None:
    assert numbers_of((), HOUR, uses, (), ()).frequency == frequency


def test_words_and_context_count_by_their_share() -> None:
    found = numbers_of({"a", "b", "§cx§1"}, HOUR, 0, ["a", "b", "c", "d"], ["§cx§1"])
    assert (found.tags, found.context) == (0.5, 1.0)


def test_the_weights_are_those_of_the_contract() -> None:
    assert tuple(WEIGHTS.as_dict().values()) == (0.30, 0.20, 0.30, 0.20)
    assert relevance(Numbers(1, 0.5, 0.5, 0)) == 0.55


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"recency": 1.0},
        {**WEIGHTS.as_dict(), "tags": 0.5},
        {"recency": 2.0, "frequency": -1.0, "tags": 0.0, "context": 0.0},
    ],
)
def test_weights_that_are_none_are_refused(given: dict[str, float]) -> None:
    with pytest.raises(Invalid, match="weights"):
        weights_of(given)
