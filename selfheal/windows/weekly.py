"""Windows that are the same each week, in the wall-clock time of a zone.

`parse_weekly("Mon-Fri 09:00-18:00; Sat 10:00-14:00")` → ranges in minutes of the week.
An instant is inside when its wall-clock time is: a day with 23 or 25 hours needs no rule of its own, because every instant has
exactly one wall-clock time. What clocks leave out is never inside, what they show twice is inside twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from selfheal.errors import Invalid
from selfheal.windows.spans import Span, Spans, bounds, clipped, merged

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_PART = re.compile(r"^(?P<first>[A-Z][a-z]{2})(?:-(?P<last>[A-Z][a-z]{2}))? (?P<start>\d\d:\d\d)-(?P<end>\d\d:\d\d)$")
_DAY = 24 * 60
_WEEK = 7 * _DAY
_FIRST_MONDAY = 4 * 86_400  # 1970-01-05
_PROBE = 6 * 3600  # no zone changes its offset there and back within it


@dataclass(frozen=True)
class Weekly:
    """Minutes of the week (Monday 00:00 = 0), half-open ranges; a range that passes midnight or the week's end is split."""

    ranges: tuple[tuple[int, int], ...]
    text: str

    def contains(self, at: datetime, zone: ZoneInfo) -> bool:
        local = at.astimezone(zone)
        minute = local.weekday() * _DAY + local.hour * 60 + local.minute
        return any(start <= minute < end for start, end in self.ranges)


@dataclass(frozen=True)
class WeeklyIn:
    """A weekly window on the clocks of a zone."""

    weekly: Weekly
    zone: ZoneInfo

    def __str__(self) -> str:
        return f"{self.weekly.text or 'never open'}, {self.zone.key}"

    def page(self, page: int) -> Spans:
        return _page(self, page)


@lru_cache(maxsize=256)
def _page(source: WeeklyIn, page: int) -> Spans:
    found: list[Span] = []
    for start, end, offset in _stretches(source.zone, *bounds(page)):
        found += clipped(_ranges(source.weekly, start + offset, end + offset, offset), start, end)
    return merged(found)


def _ranges(weekly: Weekly, start: int, end: int, offset: int) -> Iterator[Span]:
    """The ranges of every week that touches [start, end) on the wall, as instants of a zone that is `offset` ahead."""
    week = 60 * _WEEK
    for number in range((start - _FIRST_MONDAY) // week, (end - _FIRST_MONDAY) // week + 1):
        monday = _FIRST_MONDAY + number * week - offset
        yield from ((monday + 60 * a, monday + 60 * b) for a, b in weekly.ranges)


def _stretches(zone: ZoneInfo, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """[start, end) cut where the zone changes its offset: (start, end, seconds ahead of UTC)."""
    begin, offset = start, _offset(zone, start)
    for probe in range(start, end, _PROBE):
        last = min(probe + _PROBE, end) - 1
        if _offset(zone, last) != offset:
            change = _change(zone, probe, last, offset)
            yield begin, change, offset
            begin, offset = change, _offset(zone, last)
    yield begin, end, offset


def _change(zone: ZoneInfo, low: int, high: int, offset: int) -> int:
    """The first second in [low, high] whose offset is not `offset`; that of `high` is not."""
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if _offset(zone, middle) == offset else (low, middle)
    return low


def _offset(zone: ZoneInfo, second: int) -> int:
    ahead = datetime.fromtimestamp(second, zone).utcoffset()
    return round(ahead.total_seconds()) if ahead else 0


def parse_weekly(text: str) -> Weekly:
    """`Day[-Day] HH:MM-HH:MM[; …]`; 24:00 is legal as an end; an end before its start passes midnight. Empty: never open.

    Raises Invalid naming the part that is wrong.
    """
    ranges: list[tuple[int, int]] = []
    for part in filter(None, (p.strip() for p in text.split(";"))):
        found = _PART.match(part)
        if not found:
            raise Invalid(f"{part!r} is no change window; write it like Mon-Fri 09:00-18:00")
        first, last = _day(found["first"], part), _day(found["last"] or found["first"], part)
        start, end = _minute(found["start"], part), _minute(found["end"], part)
        if start in (end, _DAY):
            raise Invalid(f"{part!r} is empty: its end is its start")
        length = end - start if end > start else end + _DAY - start
        for offset in range((last - first) % 7 + 1):
            ranges += _split((first + offset) % 7 * _DAY + start, length)
    return Weekly(tuple(sorted(ranges)), text)


def _split(begin: int, length: int) -> list[tuple[int, int]]:
    if begin + length <= _WEEK:
        return [(begin, begin + length)]
    return [(begin, _WEEK), (0, begin + length - _WEEK)]


def _day(name: str, part: str) -> int:
    if name not in DAYS:
        raise Invalid(f"{name!r} in {part!r} is no day; days are {' '.join(DAYS)}")
    return DAYS.index(name)


def _minute(text: str, part: str) -> int:
    hours, minutes = int(text[:2]), int(text[3:])
    if hours > 24 or minutes > 59 or (hours == 24 and minutes):
        raise Invalid(f"{text!r} in {part!r} is no time of day")
    return hours * 60 + minutes
