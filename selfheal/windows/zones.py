"""The zones of a calendar: IANA names, the names that Windows has for them, and what the calendar itself defines.

A VTIMEZONE is used where its name is none that we know; it is that calendar's alone, whatever others call by the same name.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import tzinfo
from hashlib import sha256
from typing import Any
from zoneinfo import ZoneInfo

from selfheal.errors import Invalid, TooLarge
from selfheal.windows.lines import Line, Part
from selfheal.windows.rules import read_rule

MAX_ZONES = 10
MAX_CHANGES = 300  # STANDARD and DAYLIGHT, and dates in them, of one zone
MAX_NAME = 100


def zone_named(name: str) -> ZoneInfo:
    """Raises Invalid for a name that is no IANA time zone."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        raise Invalid(f"{name[:64]!r} is no IANA time zone; try Europe/Berlin or UTC", field="time_zone") from None


def zones_of(calendar: Part) -> dict[str, tzinfo]:
    """What each TZID in the calendar means. Raises Invalid with the line of one that means nothing."""
    defined = {name: part for part in _defined(calendar) for name in [_name(part)]}
    zones: dict[str, tzinfo] = {}
    for line in (line for part in calendar.parts for line in part.lines if "TZID" in line.params):
        name = line.params["TZID"]
        if len(name) > MAX_NAME:
            raise TooLarge(f"TZID has at most {MAX_NAME} characters", line=line.number)
        if name not in zones:
            zones[name] = _known(name) or _own(name, defined.get(name), line)
    return zones


def _defined(calendar: Part) -> Iterator[Part]:
    parts = [part for part in calendar.parts if part.name == "VTIMEZONE"]
    if len(parts) > MAX_ZONES:
        raise TooLarge(f"at most {MAX_ZONES} VTIMEZONE are read", line=parts[MAX_ZONES].number)
    for part in parts:
        changes = len(part.parts) + sum(line.value.count(",") for half in part.parts for line in half.named("RDATE"))
        if changes + sum(len(half.named("RDATE")) for half in part.parts) > MAX_CHANGES:
            raise TooLarge(f"at most {MAX_CHANGES} changes of clocks are read", line=part.number)
        for line in (line for half in part.parts for line in half.named("RRULE")):
            _check_rule(line)
        yield part


def _check_rule(line: Line) -> None:
    try:
        rule = read_rule(line.value)
    except Invalid as fault:
        raise Invalid(fault.message, line=line.number) from None
    if rule.values("FREQ") != ("YEARLY",) or rule.times_a_day > 1:
        raise Invalid("clocks change by rules with FREQ=YEARLY", line=line.number)


def _name(part: Part) -> str:
    names = part.named("TZID")
    if len(names) != 1:
        raise Invalid("a VTIMEZONE has one TZID", line=part.number)
    return names[0].value


def _known(name: str) -> ZoneInfo | None:
    from icalendar.timezone.windows_to_olson import WINDOWS_TO_OLSON

    try:
        return zone_named(WINDOWS_TO_OLSON.get(name, name))
    except Invalid:
        return None


def _own(name: str, part: Part | None, line: Line) -> tzinfo:
    if part is None:
        raise Invalid(f"TZID={name[:64]} is no IANA zone, and no VTIMEZONE here defines it", line=line.number)
    from icalendar import Timezone

    lines = [(half.name, each) for half in part.parts for each in half.lines]
    if not lines:
        raise Invalid("the VTIMEZONE says nothing of its clocks", line=part.number)
    said = sha256("\n".join(f"{half} {each.name}:{each.value}" for half, each in lines).encode()).hexdigest()
    # The library remembers zones by their name, for all calendars: under this one there is only what is said here.
    body = [f"BEGIN:{half.name}\n{_body(half)}END:{half.name}\n" for half in part.parts]
    try:
        built: Any = Timezone.from_ical(f"BEGIN:VTIMEZONE\nTZID:{said}\n{''.join(body)}END:VTIMEZONE\n")
        zone: tzinfo = built.to_tz(lookup_tzid=False)
        return zone
    except Exception as error:  # noqa: BLE001 — whatever the library stumbles over, clocks that cannot be worked out are no zone
        raise Invalid(f"the VTIMEZONE cannot be worked out: {type(error).__name__}", line=part.number) from None


def _body(half: Part) -> str:
    return "".join(f"{each.name}:{each.value}\n" for each in half.lines)
