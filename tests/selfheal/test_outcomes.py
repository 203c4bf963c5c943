from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from selfheal.outcomes import Occurrence, held

DONE = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
MIN = timedelta(minutes=1)
BEFORE = DONE - 5 * MIN


@pytest.mark.parametrize(
    ("episodes", "minutes", "expected"),
    [
        ([Occurrence(BEFORE, DONE + MIN)], 15, None),
        ([Occurrence(BEFORE, DONE + MIN)], 16, True),
        ([Occurrence(BEFORE, DONE + MIN), Occurrence(DONE + 5 * MIN, None)], 6, False),
        ([Occurrence(BEFORE, None)], 14, None),
        ([Occurrence(BEFORE, None)], 15, False),
        ([Occurrence(BEFORE, BEFORE + MIN)], 15, True),
        ([Occurrence(BEFORE, DONE + MIN), Occurrence(DONE + 30 * MIN, None)], 40, True),
        ([], 15, True),
    ],
)
def test_a_success_holds_when_the_alert_resolved_and_stayed_quiet(episodes: list, minutes: int, expected: bool | None) -> None:
    assert held(DONE, episodes, DONE + minutes * MIN).held is expected


def test_it_says_when_to_look_again() -> None:
    assert held(DONE, [Occurrence(BEFORE, DONE + MIN)], DONE + 2 * MIN).look_at == DONE + 16 * MIN
