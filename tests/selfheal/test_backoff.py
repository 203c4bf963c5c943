from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from selfheal.backoff import Past, skip, wait

AT = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
MIN = timedelta(minutes=1)


def reason(past: Past) -> str | None:
    found = skip(past, at=AT, duplicate_window=10 * MIN, per_hour=3, poll=timedelta(seconds=30))
    return found.reason if found else None


@pytest.mark.parametrize(
    ("past", "expected"),
    [
        (Past(), None),
        (Past(alive="pending"), "dup"),
        (Past(last_proposed_at=AT - 9 * MIN), "dup"),
        (Past(last_proposed_at=AT - 10 * MIN), None),
        (Past(next_allowed_at=AT + MIN), "backoff"),
        (Past(next_allowed_at=AT), None),
        (Past(proposals_last_hour=3, oldest_in_hour=AT - 50 * MIN), "rate"),
        (Past(proposals_last_hour=2), None),
    ],
)
def test_a_proposal_is_skipped_for_its_reason(past: Past, expected: str | None) -> None:
    assert reason(past) == expected


def test_a_rate_skip_ends_when_the_oldest_proposal_is_an_hour_old() -> None:
    past = Past(proposals_last_hour=3, oldest_in_hour=AT - 50 * MIN)
    found = skip(past, at=AT, duplicate_window=10 * MIN, per_hour=3, poll=MIN)
    assert found is not None
    assert found.until == AT + 10 * MIN


@pytest.mark.parametrize(("nth", "minutes"), [(1, 0), (2, 10), (3, 20), (4, 40), (5, 80), (6, 120), (60, 120)])
def test_the_wait_doubles_up_to_the_longest(nth: int, minutes: int) -> None:
    assert wait(nth, base=5 * MIN, longest=120 * MIN, jitter=0) == minutes * MIN


@pytest.mark.parametrize(("jitter", "minutes"), [(-1, 8), (1, 12)])
def test_the_jitter_is_a_fifth_either_way(jitter: float, minutes: int) -> None:
    assert wait(2, base=5 * MIN, longest=120 * MIN, jitter=jitter) == minutes * MIN
