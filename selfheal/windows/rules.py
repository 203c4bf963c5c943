"""Which recurrence rules (RFC 5545, 3.3.10) a calendar of ours may have.

Rules that this module keeps:
1. A rule repeats daily or less often, at most 24 times a day: what repeats each hour or second is no change window.
2. A rule that could be searched for ever without ever happening is refused by its form: the parts that may stand together are
   those that always meet again within a few of its periods.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType

from selfheal.errors import Invalid

MAX_TIMES = 24  # a day
_ALWAYS = {"FREQ", "INTERVAL", "COUNT", "UNTIL", "WKST", "BYHOUR", "BYMINUTE", "BYMONTH", "BYDAY"}
_PARTS = {
    "DAILY": _ALWAYS,
    "WEEKLY": _ALWAYS,
    "MONTHLY": _ALWAYS | {"BYMONTHDAY", "BYSETPOS"},
    "YEARLY": _ALWAYS | {"BYMONTHDAY", "BYSETPOS", "BYYEARDAY", "BYWEEKNO"},
}
_LONGEST = {"DAILY": 2, "WEEKLY": 14, "MONTHLY": 62, "YEARLY": 366}  # days that one occurrence may last
_NUMBERS = {  # part: least, greatest, may be counted from the end
    "INTERVAL": (1, 366, False),
    "COUNT": (1, 10_000, False),
    "BYHOUR": (0, 23, False),
    "BYMINUTE": (0, 59, False),
    "BYMONTH": (1, 12, False),
    "BYMONTHDAY": (1, 31, True),
    "BYYEARDAY": (1, 366, True),
    "BYWEEKNO": (1, 53, True),
    "BYSETPOS": (1, 4, True),
}
_SINGLE = ("FREQ", "INTERVAL", "COUNT", "UNTIL", "WKST")
_DAY = re.compile(r"(?P<count>[+-]?[1-5])?(?:MO|TU|WE|TH|FR|SA|SU)")
_DAYS_OF_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@dataclass(frozen=True)
class Rule:
    """A rule that was read, `UNTIL` as its text."""

    parts: Mapping[str, tuple[str, ...]]

    @property
    def times_a_day(self) -> int:
        return max(1, len(self.values("BYHOUR"))) * max(1, len(self.values("BYMINUTE")))

    def values(self, part: str) -> tuple[str, ...]:
        return self.parts.get(part, ())

    def numbers(self, part: str) -> list[int]:
        return [int(value) for value in self.values(part)]

    def text(self, until: str = "") -> str:
        """As RFC 5545 writes it, with another `UNTIL` if one is given."""
        parts = {**self.parts, **({"UNTIL": (until,)} if until else {})}
        return ";".join(f"{part}={','.join(values)}" for part, values in parts.items())


def read_rule(text: str) -> Rule:
    """Raises Invalid, saying what to write instead."""
    parts: dict[str, tuple[str, ...]] = {}
    for each in text.strip().rstrip(";").upper().split(";"):
        part, _, value = each.partition("=")
        if part in parts:
            raise Invalid(f"{part} stands twice in the rule")
        parts[part] = tuple(value.split(","))
    frequency = ",".join(parts.get("FREQ", ("",)))
    if frequency not in _PARTS:
        raise Invalid(f"FREQ={frequency} is refused: a rule repeats {', '.join(_PARTS)}; BYHOUR lists hours of a day")
    for part, values in parts.items():
        if part not in _PARTS[frequency]:
            raise Invalid(f"{part} is refused with FREQ={frequency}, which may have {', '.join(sorted(_PARTS[frequency]))}")
        _check_values(part, values)
    rule = Rule(MappingProxyType(parts))
    _check_together(rule, frequency)
    return rule


def check_length(rule: Rule, lasts: timedelta) -> None:
    """Raises Invalid for what lasts too long for how often it happens."""
    frequency = rule.values("FREQ")[0]
    if lasts > timedelta(days=_LONGEST[frequency]):
        raise Invalid(f"lasts {lasts.days} days each time; with FREQ={frequency} it is {_LONGEST[frequency]} at most")


def _check_values(part: str, values: tuple[str, ...]) -> None:
    if part in _SINGLE and len(values) > 1:
        raise Invalid(f"{part} has one value")
    if part in ("BYDAY", "WKST") and not all(_DAY.fullmatch(value) for value in values):
        raise Invalid(f"{part}={','.join(values)[:60]} names no days; they are MO TU WE TH FR SA SU, counted as 2MO or -1FR to 5")
    if part not in _NUMBERS:
        return
    least, greatest, backwards = _NUMBERS[part]
    for value in values:
        sign, digits = (value[:1], value[1:]) if backwards and value[:1] in "+-" else ("", value)
        if not (digits.isascii() and digits.isdigit() and len(digits) < 6 and least <= int(digits) <= greatest):
            back = ", or the same with a minus" if backwards else ""
            raise Invalid(f"{part}={sign}{digits[:20]} is not from {least} to {greatest}{back}")


def _check_together(rule: Rule, frequency: str) -> None:
    if rule.times_a_day > MAX_TIMES:
        raise Invalid(f"happens {rule.times_a_day} times a day; at most {MAX_TIMES} are read")
    if rule.values("COUNT") and rule.values("UNTIL"):
        raise Invalid("COUNT and UNTIL do not stand together")
    problem = _interval_problem(rule, frequency) or _never(rule, frequency)
    if problem:
        raise Invalid(problem)


def _interval_problem(rule: Rule, frequency: str) -> str:
    interval = (rule.numbers("INTERVAL") or [1])[0]
    months, days = rule.values("BYMONTH"), rule.values("BYDAY")
    if frequency == "DAILY" and interval > 1 and (months or days):
        return "INTERVAL with BYDAY or BYMONTH may never happen with FREQ=DAILY; write it with FREQ=WEEKLY"
    if frequency == "WEEKLY" and interval > 4 and months:
        return "INTERVAL over 4 with BYMONTH may never happen with FREQ=WEEKLY; write it with FREQ=MONTHLY"
    if frequency == "MONTHLY" and (interval > 12 or (interval > 1 and months)):
        return "INTERVAL over 12, or with BYMONTH, may never happen with FREQ=MONTHLY; write it with FREQ=YEARLY"
    if frequency == "YEARLY" and interval > 4:
        return "INTERVAL is from 1 to 4 with FREQ=YEARLY"
    return ""


def _never(rule: Rule, frequency: str) -> str:
    """Why it may be that it never happens; empty: it happens again and again."""
    parts, days = set(rule.parts), rule.numbers("BYMONTHDAY")
    longest = max((_DAYS_OF_MONTH[month - 1] for month in rule.numbers("BYMONTH")), default=31)
    if days and all(abs(day) > longest for day in days):
        return "BYMONTHDAY names no day that these months have"
    counts = parts & {"BYYEARDAY", "BYWEEKNO"}
    if counts and (len(counts) > 1 or parts & {"BYMONTH", "BYMONTHDAY", "BYSETPOS"}):
        return f"{min(counts)} stands alone, without BYMONTH, BYMONTHDAY, BYSETPOS and other counts"
    counted = any(_DAY.fullmatch(value)["count"] for value in rule.values("BYDAY"))  # type: ignore[index]
    if counted and (frequency in ("DAILY", "WEEKLY") or days or counts):
        return "BYDAY with a count (2MO) stands with FREQ=MONTHLY or YEARLY, without BYMONTHDAY and counts of days and weeks"
    if "BYSETPOS" in parts and (counted or days or "BYDAY" not in parts):
        return "BYSETPOS picks among the days of BYDAY, without counts and without BYMONTHDAY"
    return ""
