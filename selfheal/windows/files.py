"""What a file `windows/NAME.ics` declares: an iCalendar with a few properties of ours on its VCALENDAR.

X-SELFHEAL-KIND:freeze                 window, if it is not there
X-SELFHEAL-SERVICES:web,db             all services, if it is not there
X-SELFHEAL-IMPACTS:medium,high         all impacts, if it is not there
X-WR-TIMEZONE:Europe/Berlin            the zone of floating times and whole days; SELF_HEAL_TIME_ZONE, if it is not there
"""

from __future__ import annotations

from dataclasses import dataclass

from selfheal.errors import Invalid
from selfheal.states import Impact
from selfheal.windows.calendars import KINDS, read_calendar
from selfheal.windows.lines import Line, Part, parts_of
from selfheal.windows.zones import zone_named

KIND, SERVICES, IMPACTS, ZONE = "X-SELFHEAL-KIND", "X-SELFHEAL-SERVICES", "X-SELFHEAL-IMPACTS", "X-WR-TIMEZONE"


@dataclass(frozen=True)
class Declared:
    """A window or a freeze as its file says it. Nothing in `services` or `impacts`: all."""

    name: str
    kind: str
    calendar: str
    time_zone: str
    services: tuple[str, ...]
    impacts: tuple[str, ...]
    path: str = ""
    services_line: int = 1


def read_file(name: str, text: str, file: str, default_zone: str) -> Declared:
    """Raises InvalidDocument, or Invalid, with file and line."""
    part = parts_of(text, file)
    for line in part.lines:
        if line.name.startswith("X-SELFHEAL-") and line.name not in (KIND, SERVICES, IMPACTS):
            raise _wrong(f"there is no {line.name}; there are {KIND}, {SERVICES} and {IMPACTS}", line, file)
    kind, impacts = _words(part, KIND, file), _words(part, IMPACTS, file)
    if kind and kind[0] not in KINDS:
        raise _wrong(f"{kind[0][:60]!r} is neither window nor freeze", part.named(KIND)[0], file)
    strange = [each for each in impacts if each not in list(Impact)]
    if strange:
        raise _wrong(f"{strange[0][:60]!r} is no impact; there are {', '.join(Impact)}", part.named(IMPACTS)[0], file)
    services, zone = _words(part, SERVICES, file), _zone(part, file, default_zone)
    declared = Declared(
        name, kind[0] if kind else "window", text, zone, tuple(services), tuple(impacts), file, part.number_of(SERVICES)
    )
    read_calendar(name, declared.kind, text, zone, file=file)
    return declared


def _zone(part: Part, file: str, default: str) -> str:
    lines = part.named(ZONE)
    if lines:
        try:
            return zone_named(lines[0].value.strip()).key
        except Invalid as fault:
            raise _wrong(fault.message, lines[0], file) from None
    floating = next((line for each in part.parts for line in each.named("DTSTART") if _floats(line)), None)
    if floating and not default and part.named(ZONE) == []:
        raise _wrong(f"this time has no zone: add {ZONE} to the calendar, or set SELF_HEAL_TIME_ZONE", floating, file)
    return default or "UTC"


def _floats(line: Line) -> bool:
    return "TZID" not in line.params and not line.value.rstrip().upper().endswith("Z")


def _words(part: Part, name: str, file: str) -> list[str]:
    lines = part.named(name)
    if not lines:
        return []
    words = [word.strip() for word in lines[0].value.replace("\\,", ",").split(",") if word.strip()]
    if len(lines) > 1 or not words:
        raise _wrong(f"{name} stands once, with at least one value", lines[-1], file)
    return words


def _wrong(said: str, line: Line, file: str) -> Invalid:
    return Invalid(said, file=file, line=line.number, column=1)
