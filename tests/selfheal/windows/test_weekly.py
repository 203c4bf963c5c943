from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfheal.errors import Invalid
from selfheal.states import Impact
from selfheal.windows import WeeklyIn, parse_weekly, state

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("local", "inside"),
    [
        ("2026-11-25T08:59:59", False),
        ("2026-11-25T09:00:00", True),
        ("2026-11-25T17:59:59", True),
        ("2026-11-25T18:00:00", False),
        ("2026-11-28T12:00:00", False),
    ],
)
def test_the_default_window_is_half_open_and_on_weekdays(local: str, inside: bool) -> None:
    at = datetime.fromisoformat(local).replace(tzinfo=BERLIN)
    assert parse_weekly("Mon-Fri 09:00-18:00").contains(at.astimezone(UTC), BERLIN) is inside


@pytest.mark.parametrize(
    ("text", "local", "inside"),
    [
        ("Fri 22:00-04:00", "2026-11-28T03:59:00", True),
        ("Fri 22:00-04:00", "2026-11-28T04:00:00", False),
        ("Sun 22:00-04:00", "2026-11-30T03:00:00", True),
        ("Sat-Mon 00:00-24:00", "2026-11-29T23:59:00", True),
        ("Sat-Mon 00:00-24:00", "2026-11-24T00:00:00", False),
        ("Mon 09:00-10:00; Tue 09:00-10:00", "2026-11-24T09:30:00", True),
        ("", "2026-11-24T09:30:00", False),
    ],
)
def test_windows_pass_midnight_weeks_and_parts(text: str, local: str, inside: bool) -> None:
    assert parse_weekly(text).contains(datetime.fromisoformat(local).replace(tzinfo=BERLIN), BERLIN) is inside


@pytest.mark.parametrize(
    "text", ["Mon", "Mon 9:00-18:00", "Xyz 09:00-10:00", "Mon 09:00-25:00", "Mon 09:00-09:00", "Mon 24:00-10:00"]
)
def test_a_wrong_window_is_named(text: str) -> None:
    with pytest.raises(Invalid):
        parse_weekly(text)


def test_the_hour_that_clocks_skip_is_in_no_window() -> None:
    weekly = parse_weekly("Sun 02:00-03:00")
    start = datetime(2026, 3, 29, 0, 0, tzinfo=UTC)  # 02:00 becomes 03:00 in Berlin
    minutes = [start + timedelta(minutes=n) for n in range(180)]
    assert not any(weekly.contains(m, BERLIN) for m in minutes)


def test_the_hour_that_clocks_repeat_is_inside_twice() -> None:
    weekly = parse_weekly("Sun 02:00-03:00")
    start = datetime(2026, 10, 25, 0, 0, tzinfo=UTC)
    minutes = [start + timedelta(minutes=n) for n in range(180)]
    assert sum(weekly.contains(m, BERLIN) for m in minutes) == 120


@given(st.integers(0, 365 * 24 * 60).map(lambda n: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=n, seconds=n % 60)))
def test_the_next_opening_is_inside_and_nothing_before_it_is(at: datetime) -> None:
    weekly = parse_weekly("Mon-Fri 09:00-18:00")
    inside, _, opening = state([], "web", Impact.MEDIUM, at, WeeklyIn(weekly, BERLIN))
    opening = at if inside else opening
    assert opening is not None
    assert weekly.contains(opening, BERLIN)
    assert opening - timedelta(minutes=1) < at or not weekly.contains(opening - timedelta(minutes=1), BERLIN)


def test_a_window_that_never_opens_has_no_next_opening() -> None:
    never = WeeklyIn(parse_weekly(""), BERLIN)
    assert state([], "web", Impact.MEDIUM, datetime(2026, 1, 1, tzinfo=UTC), never).opens_at is None
