"""An iCalendar (RFC 5545) as a change window or a freeze.

Rules that this module and `events` keep:
1. Nothing is guessed: an unknown zone, an event without an end, a rule that cannot be bounded is refused with its line.
2. What is read can be looked at cheaply: bytes, events, dates, rules, years and lengths are bounded before anything recurs.
3. Recurrences are worked out on the wall clock of the event's zone, then turned into instants: `DTEND` says until when by the
   clock (22:00 to 06:00 ends at 06:00 in the night when clocks change too), `DURATION` with hours says how long.
4. Floating times and whole days are those of the calendar's zone. An event that is CANCELLED is no event.

    calendar = read_calendar("Nights", "window", text, "Europe/Berlin")
    calendar.page(649) → the spans in which it is open
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from selfheal.errors import Invalid
from selfheal.states import Impact
from selfheal.windows.events import Event, read_events
from selfheal.windows.lines import parts_of
from selfheal.windows.spans import Span, Spans, bounds, clipped, instant, merged
from selfheal.windows.zones import zone_named

if TYPE_CHECKING:
    from recurring_ical_events import CalendarQuery

KINDS = ("window", "freeze")
MARGIN = timedelta(days=2)  # more than clocks anywhere are from UTC
_HOURS = "X-SELFHEAL-HOURS"  # marks an event whose length is so many days by the clock and then so many seconds


@dataclass(frozen=True, eq=False)
class Calendar:
    """A window or a freeze. `problem` says why it cannot be read; then it is closed.

    `services` and `impacts` are those that it is for; empty: all.
    """

    name: str
    kind: str
    zone: ZoneInfo
    series: tuple[Series, ...] = ()
    services: frozenset[str] = frozenset()
    impacts: frozenset[Impact] = frozenset()
    problem: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r}"

    def applies(self, service: str, impact: Impact) -> bool:
        return (not self.services or service in self.services) and (not self.impacts or impact in self.impacts)

    def page(self, page: int) -> Spans:
        return _page(self, page)


@dataclass(frozen=True, eq=False)
class Series:
    """The events of one UID, on the wall clock of one zone."""

    zone: tzinfo
    query: CalendarQuery

    def spans(self, start: int, end: int) -> Iterator[Span]:
        first, last = (datetime.fromtimestamp(second, UTC).replace(tzinfo=None) for second in (start, end))
        occurrences: list[Any] = self.query.between(first - MARGIN, last + MARGIN)
        for event in occurrences:
            if event.get("STATUS") != "CANCELLED":
                yield instant(event["DTSTART"].dt, self.zone), self._end(event)

    def _end(self, event: Any) -> int:
        marked = event.get(_HOURS)
        if marked is None:
            return instant(event["DTEND"].dt, self.zone)
        days, seconds = map(int, str(marked).split())
        return instant(event["DTSTART"].dt + timedelta(days=days), self.zone) + seconds


@lru_cache(maxsize=4096)
def _page(calendar: Calendar, page: int) -> Spans:
    start, end = bounds(page)
    return merged(span for series in calendar.series for span in clipped(series.spans(start, end), start, end))


def unreadable(name: str, kind: str, problem: str, services: frozenset[str] = frozenset()) -> Calendar:
    """Stands for a calendar that cannot be read: closed at every impact."""
    return Calendar(name, kind, ZoneInfo("UTC"), services=services, problem=problem)


def read_calendar(
    name: str,
    kind: str,
    text: str,
    zone: str,
    services: frozenset[str] = frozenset(),
    impacts: frozenset[Impact] = frozenset(),
    file: str = "",
) -> Calendar:
    """Raises InvalidDocument with each fault and its line (in `file`, if one is given)."""
    if kind not in KINDS:
        raise Invalid(f"{kind!r} is neither window nor freeze", field="kind")
    known = zone_named(zone)
    series = [_built(events, file) for events in read_events(parts_of(text, file), known, file)]
    return Calendar(name, kind, known, tuple(series), services, impacts)


def _built(events: list[Event], file: str) -> Series:
    """One series as the library works it out, tried once so that what it cannot work out is refused here."""
    import icalendar
    import recurring_ical_events

    calendar = icalendar.Calendar()
    for event in events:
        calendar.add_component(_plain(event))
    try:
        query = recurring_ical_events.of(calendar)
        query.between(events[0].start, events[0].end + timedelta(days=1))
    except Exception as error:  # noqa: BLE001 — what cannot be worked out is no calendar, whatever the library says of it
        said = f"cannot be worked out: {type(error).__name__}: {str(error)[:200]}"
        raise Invalid(said, file=file, line=events[0].part.number, column=1) from None
    return Series(events[0].zone, query)


def _plain(event: Event) -> Any:
    """The event without its zone: everything on the wall clock of the series."""
    import icalendar

    built = icalendar.Event()
    built.add("UID", event.uid)
    built.add("SEQUENCE", event.sequence)
    built.add("DTSTART", event.start)
    built.add("DTEND", event.end)
    if event.cancelled:
        built.add("STATUS", "CANCELLED")
    if event.hours:
        built.add(_HOURS, f"{event.hours[0]} {event.hours[1]}")
    if event.recurs:
        built.add("RECURRENCE-ID", event.recurs, parameters={"RANGE": "THISANDFUTURE"} if event.and_after else {})
    if event.rule:
        built.add("RRULE", icalendar.vRecur.from_ical(event.rule.text(event.until)))
    for name, dates in event.dates.items():
        for moment in dates:
            built.add(name, moment)
    return built
