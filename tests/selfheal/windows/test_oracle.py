"""Against an oracle that looks at every minute: what do the clocks show then, and is that inside?

Spans of ten days around every change of clocks of 2026 and around the day that Samoa left out, in zones with changes of one hour,
half an hour and two hours, at midnight, against the sun, and none at all.
"""

from __future__ import annotations

from bisect import bisect_left
from calendar import monthrange
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate
from random import Random
from zoneinfo import ZoneInfo

import pytest

from selfheal.states import Impact
from selfheal.windows import Calendar, WeeklyIn, parse_weekly, state
from tests.selfheal.windows.texts import calendar

ZONES = (
    "Europe/Berlin",
    "Europe/Dublin",
    "America/New_York",
    "America/St_Johns",
    "America/Santiago",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
    "Pacific/Apia",
    "Antarctica/Troll",
    "Africa/Cairo",
    "Africa/Casablanca",
    "Asia/Kathmandu",
)
DAY = 24 * 60
EPOCH = date(1970, 1, 1)
NEVER = WeeklyIn(parse_weekly(""), ZoneInfo("UTC"))
EITHER_WAY = 420  # cases in each zone and of each kind: 12 × 2 × 420 > 10,000


class Minutes:
    """Ten days in a zone: for each minute, the minute since 1970 that clocks there show."""

    def __init__(self, zone: str, around: datetime) -> None:
        self.zone = ZoneInfo(zone)
        self.first = int((around - timedelta(days=5)).timestamp()) // 60
        self.shown = [self._shown(self.first + n) for n in range(10 * DAY)]
        self.highest = list(accumulate(self.shown, max))  # shown so far

    def _shown(self, minute: int) -> int:
        local = datetime.fromtimestamp(minute * 60, self.zone)
        return (local.date() - EPOCH).days * DAY + local.hour * 60 + local.minute

    def at(self, minute: int) -> datetime:
        return datetime.fromtimestamp((self.first + minute) * 60, UTC)

    def when(self, wall: int) -> int | None:
        """The first minute that shows `wall`; in a gap, as if clocks had not been changed yet. None: not in these days."""
        found = bisect_left(self.highest, wall)
        if found in (0, len(self.highest)):
            return None
        return found if self.shown[found] == wall else found + wall - self.shown[found - 1] - 1


def spans_of(zone: str) -> Iterator[Minutes]:
    start, changes = datetime(2026, 1, 1, tzinfo=UTC), []
    for hour in range(365 * 24):
        at = start + timedelta(hours=hour)
        if at.astimezone(ZoneInfo(zone)).utcoffset() != (at + timedelta(hours=1)).astimezone(ZoneInfo(zone)).utcoffset():
            changes.append(at)
    if zone == "Pacific/Apia":
        changes.append(datetime(2011, 12, 30, 10, tzinfo=UTC))
    yield from (Minutes(zone, at) for at in changes or [datetime(2026, 7, 1, tzinfo=UTC)])


@pytest.fixture(scope="module", params=ZONES)
def spans(request: pytest.FixtureRequest) -> list[Minutes]:
    return list(spans_of(request.param))


def test_weekly_windows_agree_with_every_minute(spans: list[Minutes]) -> None:
    random, cases = Random(7), 0
    while cases < EITHER_WAY:
        ranges, text = weekly(random)
        for minutes in spans:
            inside = [
                any(a <= (shown - 4 * DAY) % (7 * DAY) < b for a, b in ranges)
                for shown in minutes.shown[:: random.choice((1, 3))]
            ]
            step = len(minutes.shown) // len(inside)
            default = WeeklyIn(parse_weekly(text), minutes.zone)
            for _ in range(60):
                n = random.randrange(len(inside))
                found = state([], "web", Impact.MEDIUM, minutes.at(n * step), default)
                assert found.inside is inside[n], (text, minutes.zone, minutes.at(n * step))
                cases += 1
                _check_opening(minutes, inside, n, step, found.opens_at)


def _check_opening(minutes: Minutes, inside: list[bool], n: int, step: int, opens_at: datetime | None) -> None:
    if step == 1 and not inside[n] and True in inside[n:]:
        assert opens_at == minutes.at(inside.index(True, n))


def weekly(random: Random) -> tuple[list[tuple[int, int]], str]:
    """Ranges of minutes of the week, some past midnight or Sunday, and how they are written."""
    days = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
    ranges, parts = [], []
    for _ in range(random.randint(1, 3)):
        day, start = (
            random.randrange(7),
            random.choice((0, 30, 60, 90, 120, 150, 165, 180, 210, 540, 1380, random.randrange(DAY))),
        )
        end = random.choice((DAY, 0, 60, 120, 150, 180, random.randrange(DAY)))
        if start == end:
            continue
        length = end - start if end > start else end + DAY - start
        begin = day * DAY + start
        ranges += [(begin, begin + length), (begin - 7 * DAY, begin + length - 7 * DAY)]
        parts.append(f"{days[day]} {start // 60:02d}:{start % 60:02d}-{end // 60:02d}:{end % 60:02d}")
    return ranges, "; ".join(parts)


def test_recurrences_agree_with_every_minute(spans: list[Minutes]) -> None:
    random, cases = Random(11), 0
    while cases < EITHER_WAY:
        for minutes in spans:
            window, holds, start, length, by_clock = recurring(random, minutes)
            inside = occurrences(minutes, holds, start, length, by_clock)
            for _ in range(24):
                n = random.randrange(2 * DAY, 8 * DAY)
                found = state([window], "web", Impact.MEDIUM, minutes.at(n), NEVER)
                assert found.inside == bool(inside[n]), (minutes.zone, minutes.at(n), window)
                cases += 1
                later = inside[n : 8 * DAY]
                if not inside[n] and 1 in later:
                    assert found.opens_at == minutes.at(n + later.index(1))


def occurrences(minutes: Minutes, holds: Callable[[date], bool], start: int, length: int, by_clock: bool) -> list[int]:
    """Each minute, whether it is inside: an end is so many minutes later, or when clocks show so many more."""
    inside = [0] * len(minutes.shown)
    for day in range(minutes.shown[0] // DAY - 1, minutes.shown[-1] // DAY + 1):
        wall = day * DAY + start
        begin = minutes.when(wall)
        if begin is None or not holds(EPOCH + timedelta(days=day)):
            continue
        end = (minutes.when(wall + length) if by_clock else begin + length) or 0
        inside[begin:end] = [1] * len(inside[begin:end])
    return inside


def recurring(random: Random, minutes: Minutes) -> tuple[Calendar, Callable[[date], bool], int, int, bool]:
    """A calendar, its days worked out without it, where in the day it begins, how long it lasts, and whether by the clock."""
    first = EPOCH + timedelta(days=minutes.shown[0] // DAY - random.randint(5, 400))
    start = random.choice((0, 60, 90, 120, 150, 165, 180, 1410, random.randrange(DAY)))
    length, by_clock = random.choice((30, 60, 90, 120, 180, 480, 24 * 60, 26 * 60)), random.random() < 0.5
    holds, rule = days_of(random, first)
    left_out = EPOCH + timedelta(days=minutes.shown[5 * DAY] // DAY)
    clock, end = timedelta(minutes=start), timedelta(minutes=start + length)
    lines = [
        f"DTSTART:{datetime.combine(first, datetime.min.time()) + clock:%Y%m%dT%H%M%S}",
        f"DTEND:{datetime.combine(first, datetime.min.time()) + end:%Y%m%dT%H%M%S}" if by_clock else f"DURATION:PT{length}M",
        f"RRULE:{rule}",
    ]
    excepted = random.random() < 0.3
    if excepted:
        lines.append(f"EXDATE:{datetime.combine(left_out, datetime.min.time()) + clock:%Y%m%dT%H%M%S}")
    made = calendar(*lines, zone=minutes.zone.key)
    return made, lambda day: day >= first and holds(day) and not (excepted and day == left_out), start, length, by_clock


def days_of(random: Random, first: date) -> tuple[Callable[[date], bool], str]:
    names = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
    weekday, count = random.randrange(7), random.randint(1, 3)
    return random.choice(
        (
            (lambda day: True, "FREQ=DAILY"),
            (lambda day: (day - first).days % count == 0, f"FREQ=DAILY;INTERVAL={count}"),
            (lambda day: day.weekday() in (weekday, 6) or day == first, f"FREQ=WEEKLY;BYDAY={names[weekday]},SU"),
            (
                lambda day: day == first or (day.weekday() == 6 and day.day + 7 > monthrange(day.year, day.month)[1]),
                "FREQ=MONTHLY;BYDAY=-1SU",
            ),
            (
                lambda day: day == first or (day.weekday() == 6 and (day.day - 1) // 7 + 1 == count),
                f"FREQ=MONTHLY;BYDAY={count}SU",
            ),
            (lambda day: day == first or day.day in (28, 29, 30), "FREQ=MONTHLY;BYMONTHDAY=28,29,30"),
        )
    )
