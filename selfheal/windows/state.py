"""Whether a change may be made now, by windows and freezes, and when next.

Rules that this module keeps:
1. Open is what is inside a window that applies and inside no freeze that applies. Where no window applies to the service and the
   impact, the default weekly one does; freezes always apply.
2. What cannot be read or worked out is closed, with the reason. Nothing here raises.
3. Every answer is bounded: a look ahead ends after a little more than a year.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from selfheal.errors import Invalid
from selfheal.states import Impact
from selfheal.windows.calendars import Calendar
from selfheal.windows.spans import PAGE, YEAR, Span, Spans, following, merged, moment_of, second_of, without
from selfheal.windows.weekly import WeeklyIn

AHEAD = YEAR + 1  # pages, of a look ahead
AHEAD_OF_ONE = 6 * YEAR  # of a preview of one calendar: a yearly freeze five times
NAMED = 3  # calendars that a sentence names

Applying = tuple[Calendar, ...]


class State(NamedTuple):
    """Whether it is inside, which window or freeze says so, in words, and when it opens if it is outside (None: not in sight)."""

    inside: bool
    words: str
    opens_at: datetime | None


@dataclass(frozen=True)
class Opening:
    """`start` is no earlier than the moment asked for. `end` None: as far as is looked ahead."""

    start: datetime
    end: datetime | None


def state(calendars: Sequence[Calendar], service: str, impact: Impact, at: datetime, default: WeeklyIn) -> State:
    """The state at `at`; `default` is used where no window applies."""
    windows, freezes = applying(calendars, service, impact)
    broken = next((each for each in (*freezes, *windows) if each.problem), None)
    if broken:
        return State(False, f"{broken} cannot be read, so it is closed: {broken.problem}", None)
    try:
        return _state(windows, freezes, at, default)
    except Exception as error:  # noqa: BLE001 — a guard that fails is closed, and must not keep triage from going on
        return State(False, f"windows cannot be worked out, so it is closed: {type(error).__name__}: {error}", None)


def openings(
    calendars: Sequence[Calendar], service: str, impact: Impact, at: datetime, default: WeeklyIn, n: int = 5
) -> list[Opening]:
    """The next `n` times at which changes may be made, the present one first. Raises Invalid if a calendar is unreadable."""
    windows, freezes = applying(calendars, service, impact)
    for each in (*freezes, *windows):
        _check(each)
    return _listed(_open(windows, freezes, default, second_of(at)), at, AHEAD, n)


def openings_of(calendar: Calendar, at: datetime, n: int = 5) -> list[Opening]:
    """The next `n` times that a window opens, or that a freeze holds, by itself. Raises Invalid if it is unreadable."""
    _check(calendar)
    return _listed(following(calendar.page, second_of(at), AHEAD_OF_ONE), at, AHEAD_OF_ONE, n)


def standing(calendar: Calendar, at: datetime, show: Callable[[datetime], str] | None = None) -> str:
    """How a window or a freeze stands by itself, in words: `open until 2026-11-26 06:00 Europe/Berlin`. `show` writes a time."""
    show = show or (lambda moment: shown(moment, calendar.zone))
    if calendar.problem:
        return "closed: it cannot be read"
    freeze = calendar.kind == "freeze"
    coming = next(iter(openings_of(calendar, at, 1)), None)
    if coming is None:
        return "over: it does not come again" if freeze else "closed: it does not open again"
    if coming.start > at:
        return f"{'begins' if freeze else 'closed, opens'} {show(coming.start)}"
    return f"{'frozen' if freeze else 'open'} {f'until {show(coming.end)}' if coming.end else 'without end'}"


def applying(calendars: Sequence[Calendar], service: str, impact: Impact) -> tuple[Applying, Applying]:
    """The windows and the freezes that are for this service and impact."""
    found = [each for each in calendars if each.applies(service, impact)]
    return tuple(c for c in found if c.kind == "window"), tuple(c for c in found if c.kind == "freeze")


def shown(moment: datetime, zone: ZoneInfo) -> str:
    """`2026-11-30 00:00 Europe/Berlin`."""
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M} {zone.key}"


def _state(windows: Applying, freezes: Applying, at: datetime, default: WeeklyIn) -> State:
    second = second_of(at)
    opening = next(_open(windows, freezes, default, second), None)
    if opening and opening[0] <= second:
        return State(True, _inside(windows, opening, second, default), None)
    opens_at = moment_of(opening[0]) if opening else None
    frozen = [(span[1], freeze) for freeze in freezes if (span := _now(freeze, second))]
    if frozen:
        end, freeze = max(frozen, key=lambda each: each[0])
        return State(False, f"{freeze}{_until(end, second, freeze.zone)}", opens_at)
    if not windows:
        return State(False, str(default), opens_at)
    return State(False, f"{_names(windows)}, {_opens(opens_at, windows[0].zone)}", opens_at)


def _inside(windows: Applying, opening: Span, second: int, default: WeeklyIn) -> str:
    if not windows:
        return str(default)
    now = tuple(window for window in windows if _now(window, second))
    return f"{_names(now)}{_until(opening[1], second, now[0].zone)}"


def _now(calendar: Calendar, second: int) -> Span | None:
    """The span of the calendar that `second` is in."""
    span = next(following(calendar.page, second, AHEAD), None)
    return span if span and span[0] <= second else None


def _names(calendars: Applying) -> str:
    names = ", ".join(repr(calendar.name) for calendar in calendars[:NAMED])
    more = f" and {len(calendars) - NAMED} more" if len(calendars) > NAMED else ""
    return f"{'window' if len(calendars) == 1 else 'windows'} {names}{more}"


def _until(end: int, second: int, zone: ZoneInfo) -> str:
    return "" if _out_of_sight(end, second, AHEAD) else f" until {shown(moment_of(end), zone)}"


def _opens(opens_at: datetime | None, zone: ZoneInfo) -> str:
    return f"opens {shown(opens_at, zone)}" if opens_at else "no opening within a year"


def _open(windows: Applying, freezes: Applying, default: WeeklyIn, second: int) -> Iterator[Span]:
    return following(lambda page: _open_page(windows, freezes, default, page), second, AHEAD)


@lru_cache(maxsize=512)
def _open_page(windows: Applying, freezes: Applying, default: WeeklyIn, page: int) -> Spans:
    inside = merged(span for window in windows for span in window.page(page)) if windows else default.page(page)
    return without(inside, merged(span for freeze in freezes for span in freeze.page(page)))


def _listed(spans: Iterator[Span], at: datetime, pages: int, n: int) -> list[Opening]:
    second, found = second_of(at), []
    for (start, end), _ in zip(spans, range(n), strict=False):
        last = None if _out_of_sight(end, second, pages) else moment_of(end)
        found.append(Opening(max(moment_of(start), at), last))
    return found


def _out_of_sight(end: int, second: int, pages: int) -> bool:
    return end >= (second // PAGE + pages) * PAGE


def _check(calendar: Calendar) -> None:
    if calendar.problem:
        raise Invalid(f"{calendar} cannot be read: {calendar.problem}")
