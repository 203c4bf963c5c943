"""The text of an iCalendar cut into components and content lines, each with the number of its line.

Bounded before anything is built of it: bytes, components and their depth.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from selfheal.errors import Invalid, TooLarge

MAX_BYTES = 64 * 1024
MAX_COMPONENTS = 400
MAX_DEPTH = 3
_VALUE = r'(?:"[^"]*"|[^";:,]*)'
_LINE = re.compile(rf"(?P<name>[A-Za-z0-9-]+)(?P<params>(?:;[A-Za-z0-9-]+={_VALUE}(?:,{_VALUE})*)*):(?P<value>.*)")
_PARAM = re.compile(r""";(?P<name>[A-Za-z0-9-]+)=(?P<value>(?:"[^"]*"|[^";:])*)""")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass(frozen=True)
class Line:
    number: int
    name: str
    params: dict[str, str]
    value: str


@dataclass
class Part:
    """A component: VCALENDAR, VEVENT, VTIMEZONE …"""

    name: str
    number: int
    lines: list[Line] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)

    def named(self, name: str) -> list[Line]:
        return [line for line in self.lines if line.name == name]

    def number_of(self, name: str) -> int:
        """The line on which `name` stands first; without one, that of the component."""
        return next((line.number for line in self.lines if line.name == name), self.number)


def parts_of(text: str, file: str = "") -> Part:
    """The one VCALENDAR in `text`. Raises Invalid with the line at fault, TooLarge for what is over a bound."""
    if len(text.encode()) > MAX_BYTES:
        raise TooLarge(f"is larger than {MAX_BYTES // 1024} KiB", file=file, line=1, column=1)
    root, open_parts, count = Part("", 1), [], 0
    open_parts.append(root)
    for line in _lines(text, file):
        if line.name == "BEGIN":
            count += 1
            if count > MAX_COMPONENTS or len(open_parts) > MAX_DEPTH:
                said = f"at most {MAX_COMPONENTS} components, nested {MAX_DEPTH} deep, are read"
                raise TooLarge(said, file=file, line=line.number, column=1)
            part = Part(line.value.strip().upper(), line.number)
            open_parts[-1].parts.append(part)
            open_parts.append(part)
        elif line.name == "END":
            if len(open_parts) == 1 or open_parts.pop().name != line.value.strip().upper():
                raise Invalid(f"END:{line.value} ends nothing that was begun", file=file, line=line.number, column=1)
        else:
            open_parts[-1].lines.append(line)
    return _only_calendar(root, open_parts, file)


def split_lines(text: str) -> list[str]:
    """The lines as their numbers count them."""
    return re.split(r"\r\n|\n|\r", text)


def _only_calendar(root: Part, open_parts: list[Part], file: str) -> Part:
    if len(open_parts) > 1:
        raise Invalid(f"BEGIN:{open_parts[-1].name} is never ended", file=file, line=open_parts[-1].number, column=1)
    outside = root.lines[0].number if root.lines else 0
    if outside or [part.name for part in root.parts] != ["VCALENDAR"]:
        second = root.parts[1].number if len(root.parts) > 1 else 1
        raise Invalid(
            "one calendar is expected, from BEGIN:VCALENDAR to END:VCALENDAR", file=file, line=outside or second, column=1
        )
    return root.parts[0]


def _lines(text: str, file: str) -> Iterator[Line]:
    for number, line in _unfolded(text):
        control = _CONTROL.search(line)
        found = _LINE.fullmatch(line)
        if control or not found:
            said = "has a control character in it" if control else f"{line[:60]!r} is no line of a calendar, NAME:VALUE"
            raise Invalid(said, file=file, line=number, column=1)
        params = {each["name"].upper(): each["value"].strip('"') for each in _PARAM.finditer(found["params"])}
        yield Line(number, found["name"].upper(), params, found["value"])


def _unfolded(text: str) -> Iterator[tuple[int, str]]:
    """The lines that are not empty; one that begins with a space or a tab continues the one before."""
    held, first = "", 0
    for number, line in enumerate(split_lines(text.removeprefix("\ufeff")), 1):
        if first and line[:1] in (" ", "\t"):
            held += line[1:]
            continue
        if held.strip():
            yield first, held
        held, first = line, number
    if held.strip():
        yield first, held
