"""Calendars for tests."""

from __future__ import annotations

from selfheal.states import Impact
from selfheal.windows import Calendar, read_calendar

HEAD = ("BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//tests//EN")


def event(*lines: str, uid: str = "1") -> list[str]:
    return ["BEGIN:VEVENT", f"UID:{uid}", *lines, "END:VEVENT"]


def text(*parts: list[str]) -> str:
    """A calendar of these events; the first line of the first event is line 4."""
    return "\n".join([*HEAD, *(line for part in parts for line in part), "END:VCALENDAR", ""])


def calendar(
    *lines: str,
    zone: str = "Europe/Berlin",
    kind: str = "window",
    name: str = "Nights",
    services: tuple[str, ...] = (),
    impacts: tuple[Impact, ...] = (),
) -> Calendar:
    return read_calendar(name, kind, text(event(*lines)), zone, frozenset(services), frozenset(impacts))
