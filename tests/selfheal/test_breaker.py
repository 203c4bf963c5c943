"""When an adviser is asked no more, and when it is again."""

from __future__ import annotations

from datetime import datetime, timedelta

from selfheal.breaker import FIRST, LONGEST, ROW, Standing, failed

MINUTE = timedelta(minutes=1)


def after(times: int, at: datetime, standing: Standing | None = None) -> Standing:
    found = standing or Standing()
    for _ in range(times):
        found = failed(found, "it failed", at)
    return found


def test_fewer_failures_than_a_row_leave_it_on(at: datetime) -> None:
    assert after(ROW - 1, at).state(at) == "on"


def test_a_row_of_failures_switches_it_off_for_five_minutes(at: datetime) -> None:
    found = after(ROW, at)
    assert (found.state(at), found.off_until) == ("off", at + FIRST)
    assert found.state(at + FIRST) == "trial"


def test_a_failed_trial_doubles_its_time_up_to_an_hour(at: datetime) -> None:
    found, times = after(ROW, at), []
    for _ in range(6):
        assert found.off_until
        times.append(found.off_until - at)
        at = found.off_until
        found = failed(found, "it failed", at)
    assert times == [FIRST, 2 * FIRST, 4 * FIRST, 8 * FIRST, LONGEST, LONGEST]


def test_a_call_that_began_before_it_was_off_changes_nothing(at: datetime) -> None:
    found = after(ROW, at)
    assert failed(found, "late", at + MINUTE) == found


def test_the_reason_is_that_of_the_last_failure_and_bounded(at: datetime) -> None:
    assert len(failed(Standing(), "x" * 1_000, at).reason) == 300
