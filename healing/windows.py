"""The windows and freezes that hold now, as values that policy can look at. `healing.catalog.windows` is what changes them.

Rules that this module keeps:
1. A row that cannot be read stands as a calendar that is closed, with the reason; everything else goes on being decided.
2. Rows are read once a look; a calendar that did not change is parsed once a process.
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import QuerySet

from healing.models import Window
from selfheal.errors import Invalid, InvalidDocument
from selfheal.states import Impact
from selfheal.windows import Calendar, Opening, WeeklyIn, openings, parse_weekly, read_calendar, split_lines, unreadable


def in_force() -> tuple[Calendar, ...]:
    """Every active window and freeze."""
    return tuple(calendar_of(row) for row in with_services().filter(active=True))


def with_services() -> QuerySet[Window]:
    return Window.objects.prefetch_related("services")


def calendar_of(row: Window) -> Calendar:
    """The row as a value, whether or not it is active; closed if it cannot be read."""
    services = frozenset(service.name for service in row.services.all())
    return _calendar(row.name, row.kind, row.calendar, row.time_zone, services, frozenset(row.impacts))


@lru_cache(maxsize=512)
def _calendar(name: str, kind: str, text: str, zone: str, services: frozenset[str], impacts: frozenset[str]) -> Calendar:
    try:
        return read_calendar(name, kind, text, zone, services, frozenset(Impact(each) for each in impacts))
    except (Invalid, ValueError) as error:
        return unreadable(name, kind, fault_line(error), services)


def fault_line(error: Exception) -> str:
    """`line 7: has no end`."""
    return f"line {error.line}: {error.message}" if isinstance(error, Invalid) and error.line else str(error)


def fault_lines(error: Invalid, text: str) -> list[str]:
    """Each fault of a calendar with its line and what stands there."""
    lines = split_lines(text)
    found = error.errors if isinstance(error, InvalidDocument) else [error]
    return [f"{fault_line(each)} ({lines[each.line - 1][:80]})" if 0 < each.line <= len(lines) else str(each) for each in found]


def next_openings(calendars: tuple[Calendar, ...], service: str, impact: Impact, at: datetime) -> list[Opening]:
    """The next times at which the service may be changed with this impact; none where a calendar cannot be read."""
    try:
        return openings(calendars, service, impact, at, default())
    except Invalid:
        return []


def default() -> WeeklyIn:
    """SELF_HEAL_CHANGE_WINDOW, for services and impacts that no window is for."""
    return _weekly(settings.SELF_HEAL_CHANGE_WINDOW, settings.SELF_HEAL_TIME_ZONE or "UTC")


@lru_cache(maxsize=8)
def _weekly(text: str, zone: str) -> WeeklyIn:
    return WeeklyIn(parse_weekly(text), ZoneInfo(zone))
