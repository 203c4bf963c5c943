from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from selfheal.states import AbortReason, Impact, Outcome
from selfheal.trust import Standing, autonomy, demotes, wilson_lower

AT = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
LATER, EARLIER = AT + timedelta(days=1), AT - timedelta(days=1)


@pytest.mark.parametrize(
    ("standing", "impact", "alone"),
    [
        (Standing(), Impact.LOW, True),
        (Standing(demoted_at=EARLIER), Impact.LOW, False),
        (Standing(streak=4, demoted_at=EARLIER), Impact.LOW, False),
        (Standing(streak=5, demoted_at=EARLIER), Impact.LOW, True),
        (Standing(), Impact.MEDIUM, False),
        (Standing(streak=4), Impact.MEDIUM, False),
        (Standing(streak=5), Impact.MEDIUM, True),
        (Standing(granted_until=LATER), Impact.MEDIUM, True),
        (Standing(granted_until=EARLIER), Impact.MEDIUM, False),
        (Standing(streak=500, granted_until=LATER), Impact.HIGH, False),
        (Standing(streak=500, granted_until=LATER), Impact.CRITICAL, False),
    ],
)
def test_autonomy_follows_the_record(standing: Standing, impact: Impact, alone: bool) -> None:
    assert autonomy(standing, impact, AT)[0] is alone


def test_the_wilson_bound_of_five_of_five_is_enough_and_of_four_is_not() -> None:
    assert wilson_lower(5, 5) == pytest.approx(0.7528, abs=1e-4)
    assert wilson_lower(3, 3) < 0.70  # type: ignore[operator]


def test_over_nothing_there_is_no_bound() -> None:
    assert wilson_lower(0, 0) is None


@pytest.mark.parametrize(
    ("outcome", "why", "expected"),
    [
        (Outcome.FAILED, None, True),
        (Outcome.ROLLED_BACK, None, True),
        (Outcome.SUCCESS, None, False),
        (Outcome.ABORTED, AbortReason.TIMEOUT, True),
        (Outcome.ABORTED, AbortReason.LOST_WORKER, True),
        (Outcome.ABORTED, AbortReason.OPERATOR, False),
        (Outcome.FAILED, AbortReason.OPERATOR, False),
        (Outcome.ABORTED, AbortReason.KILL_SWITCH, False),
        (Outcome.ABORTED, AbortReason.SUPERSEDED, False),
    ],
)
def test_a_bad_run_takes_autonomy_away(outcome: Outcome, why: AbortReason | None, expected: bool) -> None:
    assert demotes(outcome, why) is expected
