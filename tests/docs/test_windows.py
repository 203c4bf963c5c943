"""The calendars of the how-to are read, and open and hold when it says."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from selfheal.windows import openings_of, read_calendar, read_file

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "change-windows.md"
CALENDARS = re.findall(r"```ics\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.mark.parametrize(
    ("number", "kind", "at", "first"),
    [
        (0, "window", "2026-12-22", "2027-01-03T21:00"),
        (1, "freeze", "2026-12-01", "2026-12-22T23:00"),
        (2, "window", "2026-11-25", "2026-12-09T02:00"),
    ],
)
def test_each_calendar_is_read_and_comes_when_the_page_says(number: int, kind: str, at: str, first: str) -> None:
    text = CALENDARS[number]
    declared = read_file("example", text, "example.ics", "")
    assert declared.kind == kind
    calendar = read_calendar("example", kind, text, declared.time_zone)
    [coming] = openings_of(calendar, datetime.fromisoformat(at).replace(tzinfo=UTC), 1)
    assert f"{coming.start:%Y-%m-%dT%H:%M}" == first
