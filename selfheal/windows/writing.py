"""Calendars for people who do not write them by hand: days and hours of each week, or one span of time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime, time, timedelta

from selfheal.errors import Invalid
from selfheal.windows.weekly import DAYS

_MIDNIGHT = time()


def weekly_calendar(title: str, days: Sequence[str], start: time, end: time, since: date) -> str:
    """A calendar that is open on these `days` (Mon … Sun) of each week, on the clocks of its zone.

    An end that is no later than the start is on the next day. Raises Invalid for no day, or one that is none.
    """
    if not days or not set(days) <= set(DAYS):
        raise Invalid(f"names at least one of {', '.join(DAYS)}", field="days")
    first = next(day for day in (since + timedelta(days=n) for n in range(7)) if DAYS[day.weekday()] in days)
    last = first if end > start else first + timedelta(days=1)
    by_day = ",".join(day[:2].upper() for day in DAYS if day in days)
    return _calendar(
        title,
        [
            f"DTSTART:{datetime.combine(first, start):%Y%m%dT%H%M%S}",
            f"DTEND:{datetime.combine(last, end):%Y%m%dT%H%M%S}",
            f"RRULE:FREQ=WEEKLY;BYDAY={by_day}",
        ],
    )


def span_calendar(title: str, start: datetime, end: datetime, yearly: bool = False) -> str:
    """A calendar of one span, on the clocks of its zone, in whole days if from midnight to midnight; `yearly`: each year again.

    Raises Invalid if it ends before it starts.
    """
    if end <= start:
        raise Invalid("ends before it starts", field="until")
    if start.time() == end.time() == _MIDNIGHT:
        lines = [f"DTSTART;VALUE=DATE:{start:%Y%m%d}", f"DTEND;VALUE=DATE:{end:%Y%m%d}"]
    else:
        lines = [f"DTSTART:{start:%Y%m%dT%H%M%S}", f"DTEND:{end:%Y%m%dT%H%M%S}"]
    return _calendar(title, [*lines, *(["RRULE:FREQ=YEARLY"] if yearly else [])])


def _calendar(title: str, lines: Iterable[str]) -> str:
    plain = "".join(character if character.isprintable() else " " for character in title)
    escaped = plain.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,")
    head = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//selfheal//windows//EN", "BEGIN:VEVENT", "UID:1@selfheal"]
    return "\n".join([*head, *_folded(f"SUMMARY:{escaped}"), *lines, "END:VEVENT", "END:VCALENDAR", ""])


def _folded(line: str, limit: int = 72) -> list[str]:
    """A content line in parts of at most 75 octets (RFC 5545, 3.1), cut between characters."""
    parts, size = [""], 0
    for character in line:
        length = len(character.encode())
        if size + length > limit:
            parts.append(" ")
            size = 1
        parts[-1] += character
        size += length
    return parts
