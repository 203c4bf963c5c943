from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfheal.errors import Invalid
from selfheal.windows import DAYS, WeeklyIn, parse_weekly, read_calendar
from selfheal.windows.writing import span_calendar, weekly_calendar

SINCE = date(2026, 3, 2)
FRIDAY, MONDAY = datetime.fromisoformat("2026-11-27"), datetime.fromisoformat("2026-11-30")
BERLIN = ZoneInfo("Europe/Berlin")


@settings(max_examples=40)
@given(
    days=st.lists(st.sampled_from(DAYS), min_size=1, unique=True),
    start=st.integers(0, 95).map(lambda n: 15 * n),
    end=st.integers(0, 95).map(lambda n: 15 * n),
)
def test_days_and_hours_are_the_weekly_window_that_they_would_be_written_as(days: list[str], start: int, end: int) -> None:
    if start == end:
        return
    hours = [time(minute // 60, minute % 60) for minute in (start, end)]
    made = read_calendar("Office", "window", weekly_calendar("Office", days, *hours, SINCE), "Europe/Berlin")
    written = "; ".join(f"{day} {hours[0]:%H:%M}-{hours[1]:%H:%M}" for day in days)
    weekly, page = WeeklyIn(parse_weekly(written), BERLIN), int(datetime(2026, 6, 1, tzinfo=UTC).timestamp()) // (32 * 86_400)
    assert made.page(page) == weekly.page(page)


def test_the_same_start_and_end_is_a_whole_day() -> None:
    made = read_calendar("x", "window", weekly_calendar("x", ["Mon"], time(9), time(9), SINCE), "UTC")
    [first, *_] = made.page(int(datetime(2026, 6, 1, tzinfo=UTC).timestamp()) // (32 * 86_400))
    assert first[1] - first[0] == timedelta(days=1).total_seconds()


def test_a_span_is_in_whole_days_if_it_is_from_midnight_to_midnight() -> None:
    assert "DTSTART;VALUE=DATE:20261127\n" in span_calendar("x", FRIDAY, MONDAY)
    assert "DTSTART:20261127T080000\n" in span_calendar("x", FRIDAY + timedelta(hours=8), MONDAY)


def test_what_is_no_span_and_no_day_is_refused() -> None:
    with pytest.raises(Invalid, match="ends before"):
        span_calendar("x", FRIDAY, FRIDAY)
    for days in ([], ["Someday"]):
        with pytest.raises(Invalid, match="at least one of"):
            weekly_calendar("x", days, time(9), time(10), SINCE)


@given(st.text(max_size=100))
@settings(max_examples=60)
def test_whatever_the_name_the_calendar_is_read_and_its_lines_are_short(name: str) -> None:
    made = span_calendar(name, FRIDAY, MONDAY)
    assert all(len(line.encode()) <= 75 for line in made.split("\n"))
    read_calendar("x", "freeze", made, "UTC")
