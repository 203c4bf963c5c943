"""The events of a calendar, read strictly: every fault has its line, and nothing recurs before it is bounded."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta, tzinfo

from selfheal.errors import Invalid, InvalidDocument
from selfheal.windows.lines import Line, Part
from selfheal.windows.rules import Rule, check_length, read_rule
from selfheal.windows.zones import zones_of

MAX_EVENTS = 100
MAX_DATES = 500  # of RDATE and EXDATE together
MAX_RULES = 20
MAX_TIMES = 48  # a day, of all rules together
MAX_LENGTH = timedelta(days=3660)
YEARS = range(2000, 2101)
_MOMENT = re.compile(r"(\d{4})(\d\d)(\d\d)(?:T(\d\d)(\d\d)(\d\d)(Z?))?", re.ASCII)
_DURATION = re.compile(r"\+?P(?:(\d{1,3})W)?(?:(\d{1,4})D)?(?:T(?:(\d{1,5})H)?(?:(\d{1,7})M)?(?:(\d{1,9})S)?)?", re.ASCII)
_IGNORED = ("VTIMEZONE", "VALARM")

Moment = datetime | date  # a time, with its zone if it names one; or a whole day


@dataclass(frozen=True)
class Event:
    """One VEVENT, its times on the wall clock of `zone`, which all events of its UID share."""

    part: Part
    uid: str
    zone: tzinfo
    start: datetime
    end: datetime
    whole_days: bool
    hours: tuple[int, int] | None  # days by the clock and seconds after them, where it is said how long it lasts
    cancelled: bool
    sequence: int
    recurs: datetime | None = None  # RECURRENCE-ID: which occurrence it takes the place of
    and_after: bool = False
    rule: Rule | None = None
    until: str = ""
    dates: Mapping[str, list[Moment]] = field(default_factory=dict)  # RDATE, EXDATE


def read_events(calendar: Part, zone: tzinfo, file: str) -> list[list[Event]]:
    """The events of each UID, with every fault told; `zone` is that of times that name none. Raises InvalidDocument."""
    faults: list[Invalid] = []
    series: dict[str, list[Event]] = {}
    try:
        _check_parts(calendar)
        zones = zones_of(calendar)
        for part in (part for part in calendar.parts if part.name == "VEVENT"):
            try:
                uid = part.named("UID")[0].value if part.named("UID") else f"event on line {part.number}"
                event = _Reader(part, zones, zone, series[uid][0] if uid in series else None).event(uid)
                series.setdefault(uid, []).append(event)
            except Invalid as fault:
                faults.append(fault)
    except Invalid as fault:
        faults.append(fault)
    faults += [Invalid(said, line=number) for events in series.values() for said, number in _odd(events)]
    faults += [Invalid(said, line=calendar.number) for said in _too_much(series)]
    if faults:
        told = [Invalid(each.message, file=file, line=each.line or calendar.number, column=1) for each in faults]
        raise InvalidDocument(sorted(told, key=lambda each: each.line))
    return list(series.values())


def _check_parts(calendar: Part) -> None:
    for part in calendar.parts:
        if part.name not in ("VEVENT", *_IGNORED):
            raise Invalid(f"{part.name} is no change window; only VEVENT is read", line=part.number)
    if not any(part.name == "VEVENT" for part in calendar.parts):
        raise Invalid("there is no VEVENT in it", line=calendar.number)
    scale = calendar.named("CALSCALE")
    if scale and scale[0].value.strip().upper() != "GREGORIAN":
        raise Invalid("only CALSCALE:GREGORIAN is read", line=scale[0].number)


class _Reader:
    """Reads one VEVENT; every fault names its line."""

    def __init__(self, part: Part, zones: Mapping[str, tzinfo], floating: tzinfo, first: Event | None) -> None:
        self.part, self.zones, self.first = part, zones, first
        self.zone = first.zone if first else floating

    def event(self, uid: str) -> Event:
        start = self._one("DTSTART")
        if start is None:
            raise Invalid("has no DTSTART", line=self.part.number)
        moment = self._moment(start, start.value)
        if not self.first and isinstance(moment, datetime) and moment.tzinfo:
            self.zone = moment.tzinfo
        whole, wall = not isinstance(moment, datetime), self._wall(moment)
        status = self._one("STATUS")
        cancelled = status is not None and status.value.strip().upper() == "CANCELLED"
        end, hours = self._end(wall, whole, cancelled)
        event = Event(self.part, uid, self.zone, wall, end, whole, hours, cancelled, self._sequence())
        return self._recurring(event)

    def _recurring(self, event: Event) -> Event:
        instead, rule_line = self._one("RECURRENCE-ID"), self._one("RRULE")
        if instead:
            recurs = self._wall(self._moment(instead, instead.value))
            event = replace(event, recurs=recurs, and_after=instead.params.get("RANGE", "").upper() == "THISANDFUTURE")
        if rule_line:
            if instead:
                raise Invalid("RRULE and RECURRENCE-ID do not stand together", line=rule_line.number)
            rule, until = self._rule(rule_line, event)
            event = replace(event, rule=rule, until=until)
        if self.part.named("EXRULE"):
            raise Invalid("EXRULE is no longer part of iCalendar; list dates in EXDATE", line=self.part.number_of("EXRULE"))
        return replace(event, dates={name: self._dates(name, event.whole_days) for name in ("RDATE", "EXDATE")})

    def _end(self, start: datetime, whole: bool, cancelled: bool) -> tuple[datetime, tuple[int, int] | None]:
        """Until when by the clock and, where it is said in hours how long, that in days and seconds."""
        end_line, length_line = self._one("DTEND"), self._one("DURATION")
        number, hours = (end_line or length_line or self.part).number, None
        if end_line and length_line:
            raise Invalid("DTEND and DURATION do not stand together", line=number)
        if end_line:
            moment = self._moment(end_line, end_line.value)
            if whole is isinstance(moment, datetime):
                raise Invalid("DTSTART and DTEND are both dates, or both times", line=number)
            end = self._wall(moment)
        elif length_line:
            hours = _length(length_line)
            end = start + timedelta(days=hours[0], seconds=hours[1])
        elif whole or cancelled:
            end = start + timedelta(days=1)
        else:
            raise Invalid("has no end: give DTEND or DURATION", line=number)
        if not timedelta(0) < end - start <= MAX_LENGTH:
            raise Invalid(f"ends before it starts, or lasts longer than {MAX_LENGTH.days} days", line=number)
        return end, hours if hours and hours[1] else None

    def _rule(self, line: Line, event: Event) -> tuple[Rule, str]:
        try:
            rule = read_rule(line.value)
            check_length(rule, event.end - event.start)
        except Invalid as fault:
            raise Invalid(fault.message, line=line.number) from None
        if not rule.values("UNTIL"):
            return rule, ""
        until = self._moment(line, rule.values("UNTIL")[0], "UNTIL")
        if isinstance(until, datetime):
            return rule, f"{self._wall(until):%Y%m%dT%H%M%S}"
        return rule, f"{until:%Y%m%d}T235959"  # a date is that whole day

    def _dates(self, name: str, whole: bool) -> list[Moment]:
        found: list[Moment] = []
        for line in self.part.named(name):
            for value in line.value.split(","):
                if "/" in value:
                    raise Invalid(f"{name} takes times, no periods; write a VEVENT of its own", line=line.number)
                moment = self._moment(line, value)
                of_a_time = not isinstance(moment, datetime) and not whole
                if of_a_time and name == "RDATE":
                    raise Invalid("RDATE is a date and DTSTART a time", line=line.number)
                found.append(moment if of_a_time else self._wall(moment))
        return found

    def _sequence(self) -> int:
        line = self._one("SEQUENCE")
        if line and not re.fullmatch(r"\d{1,9}", line.value.strip(), re.ASCII):
            raise Invalid("SEQUENCE is a whole number", line=line.number)
        return int(line.value) if line else 0

    def _one(self, name: str) -> Line | None:
        lines = self.part.named(name)
        if len(lines) > 1:
            raise Invalid(f"{name} stands twice in one event", line=lines[1].number)
        return lines[0] if lines else None

    def _moment(self, line: Line, value: str, what: str = "") -> Moment:
        """What a line says, in the zone that it names, if it names one."""
        zone = self.zones.get(line.params.get("TZID", "")) if not what else None
        moment = _moment(value, what or line.name, line.number)
        if moment.year not in YEARS:
            raise Invalid(f"the year {moment.year} is not from {YEARS[0]} to {YEARS[-1]}", line=line.number)
        if zone is None or not isinstance(moment, datetime):
            return moment
        if moment.tzinfo:
            raise Invalid("a time that ends in Z is UTC and has no TZID", line=line.number)
        return moment.replace(tzinfo=zone)

    def _wall(self, moment: Moment) -> datetime:
        """What the clocks of the event's zone show then; a time without a zone is one of theirs."""
        if not isinstance(moment, datetime):
            return datetime(moment.year, moment.month, moment.day)  # noqa: DTZ001 — on the wall
        return moment.astimezone(self.zone).replace(tzinfo=None) if moment.tzinfo else moment


def _moment(value: str, name: str, number: int) -> Moment:
    """`20261127`, `20261127T090000` or `20261127T080000Z`."""
    found = _MOMENT.fullmatch(value.strip().upper())
    try:
        if found and found[4]:
            return datetime(*map(int, found.groups()[:6]), tzinfo=UTC if found[7] else None)  # type: ignore[misc,arg-type]
        if found:
            return date(*map(int, found.groups()[:3]))
    except ValueError:
        pass  # a month 13, an hour 25: refused below with its line
    raise Invalid(f"{name}={value[:30]} is no time; write it like 20261127T090000, with a Z for UTC", line=number)


def _length(line: Line) -> tuple[int, int]:
    """A DURATION as days by the clock and seconds after them: P1D and PT24H differ when clocks change."""
    found = _DURATION.fullmatch(line.value.strip().upper())
    if not found or not any(found.groups()):
        raise Invalid("is no length; write it like PT8H or P2D", line=line.number)
    weeks, days, hours, minutes, seconds = (int(each or 0) for each in found.groups())
    return weeks * 7 + days, hours * 3600 + minutes * 60 + seconds


def _odd(events: list[Event]) -> Iterator[tuple[str, int]]:
    """What is wrong with the events of one UID taken together."""
    masters = [event for event in events if event.recurs is None]
    for event in masters[1:]:
        yield f"UID {event.uid[:60]!r} is that of the event on line {masters[0].part.number}", event.part.number_of("UID")
    if not masters:
        yield "RECURRENCE-ID changes an event that is not in the calendar", events[0].part.number_of("RECURRENCE-ID")


def _too_much(series: Mapping[str, list[Event]]) -> Iterator[str]:
    events = [event for each in series.values() for event in each]
    rules = [event.rule for event in events if event.rule]
    for count, limit, what in (
        (len(events), MAX_EVENTS, "events"),
        (len(rules), MAX_RULES, "rules"),
        (sum(len(dates) for event in events for dates in event.dates.values()), MAX_DATES, "dates in RDATE and EXDATE"),
        (sum(rule.times_a_day for rule in rules), MAX_TIMES, "times a day"),
    ):
        if count > limit:
            yield f"has {count} {what}; at most {limit} are read"
