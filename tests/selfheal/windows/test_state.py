from __future__ import annotations

from datetime import UTC, datetime, timedelta
from time import perf_counter
from zoneinfo import ZoneInfo

import pytest

from selfheal.errors import Invalid
from selfheal.states import Impact
from selfheal.windows import Calendar, WeeklyIn, openings, openings_of, parse_weekly, state, unreadable
from tests.selfheal.windows.texts import calendar

BERLIN = ZoneInfo("Europe/Berlin")
OFFICE = WeeklyIn(parse_weekly("Mon-Fri 09:00-18:00"), BERLIN)
NIGHTS = calendar("DTSTART:20260101T220000", "DTEND:20260102T060000", "RRULE:FREQ=DAILY")
SALE = calendar("DTSTART;VALUE=DATE:20261126", "DTEND;VALUE=DATE:20261130", kind="freeze", name="Black Friday")


def look(*calendars: Calendar, at: str, service: str = "web", impact: Impact = Impact.MEDIUM) -> tuple[bool, str, str | None]:
    """The state at a Berlin time, with the opening as its clocks show it."""
    moment = datetime.fromisoformat(at).replace(tzinfo=BERLIN)
    inside, words, opens_at = state(calendars, service, impact, moment, OFFICE)
    return inside, words, f"{opens_at.astimezone(BERLIN):%Y-%m-%d %H:%M}" if opens_at else None


def test_without_a_calendar_the_default_holds() -> None:
    assert look(at="2026-11-25 12:00") == (True, "Mon-Fri 09:00-18:00, Europe/Berlin", None)
    assert look(at="2026-11-27 18:00") == (False, "Mon-Fri 09:00-18:00, Europe/Berlin", "2026-11-30 09:00")


def test_a_window_takes_the_place_of_the_default_and_is_named() -> None:
    assert look(NIGHTS, at="2026-11-25 23:00") == (True, "window 'Nights' until 2026-11-26 06:00 Europe/Berlin", None)
    assert look(NIGHTS, at="2026-11-25 12:00") == (
        False,
        "window 'Nights', opens 2026-11-25 22:00 Europe/Berlin",
        "2026-11-25 22:00",
    )


@pytest.mark.parametrize(("at", "inside"), [("21:59:59", False), ("22:00:00", True), ("05:59:59", True), ("06:00:00", False)])
def test_a_window_is_half_open(at: str, inside: bool) -> None:
    assert look(NIGHTS, at=f"2026-11-25 {at}")[0] is inside


def test_a_freeze_closes_the_default_and_windows_alike_until_it_ends() -> None:
    said = "freeze 'Black Friday' until 2026-11-30 00:00 Europe/Berlin"
    assert look(SALE, at="2026-11-27 12:00") == (False, said, "2026-11-30 09:00")
    assert look(SALE, NIGHTS, at="2026-11-27 23:00") == (False, said, "2026-11-30 00:00")
    assert look(SALE, NIGHTS, at="2026-11-30 00:00")[0] is True


def test_a_freeze_cuts_a_window_short() -> None:
    assert look(SALE, NIGHTS, at="2026-11-25 23:00")[1] == "window 'Nights' until 2026-11-26 00:00 Europe/Berlin"


def test_calendars_are_for_their_services_and_impacts_only() -> None:
    lines = ("DTSTART:20260101T220000", "DTEND:20260102T060000", "RRULE:FREQ=DAILY")
    for_db = calendar(*lines, name="Databases", services=("db",))
    for_high = calendar(*lines, name="Heavy", impacts=(Impact.HIGH,))
    assert look(for_db, for_high, at="2026-11-25 12:00")[1] == "Mon-Fri 09:00-18:00, Europe/Berlin"
    assert look(for_db, for_high, at="2026-11-25 23:00", service="db")[1].startswith("window 'Databases' until")
    assert look(for_db, for_high, at="2026-11-25 23:00", impact=Impact.HIGH)[1].startswith("window 'Heavy' until")
    assert look(for_db, for_high, at="2026-11-25 23:00", service="db", impact=Impact.HIGH)[1].startswith(
        "windows 'Databases', 'Heavy' until"
    )


@pytest.mark.parametrize("kind", ["window", "freeze"])
def test_what_cannot_be_read_is_closed_whatever_else_is_open(kind: str) -> None:
    broken = unreadable("Torn", kind, "line 3: has no end", frozenset({"web"}))
    assert look(NIGHTS, broken, at="2026-11-25 23:00") == (
        False,
        f"{kind} 'Torn' cannot be read, so it is closed: line 3: has no end",
        None,
    )
    assert look(NIGHTS, broken, at="2026-11-25 23:00", service="db")[0] is True
    with pytest.raises(Invalid, match="cannot be read"):
        openings([broken], "web", Impact.LOW, datetime(2026, 1, 1, tzinfo=UTC), OFFICE)


def test_what_fails_while_it_is_worked_out_is_closed() -> None:
    class Torn(Calendar):
        def page(self, page: int) -> tuple[tuple[int, int], ...]:
            raise OverflowError("date value out of range")

    inside, words, opens_at = look(Torn("Torn", "freeze", BERLIN), at="2026-11-25 12:00")
    assert (inside, opens_at) == (False, None)
    assert "OverflowError: date value out of range" in words


def test_what_never_opens_again_says_so() -> None:
    over = calendar("DTSTART:20200101T220000", "DTEND:20200102T060000", name="Once")
    assert look(over, at="2026-11-25 12:00") == (False, "window 'Once', no opening within a year", None)


def test_what_is_open_as_far_as_is_looked_has_no_end() -> None:
    always = calendar("DTSTART;VALUE=DATE:20200101", "RRULE:FREQ=DAILY", name="Always")
    assert look(always, at="2026-11-25 12:00") == (True, "window 'Always'", None)


def test_openings_are_listed_with_the_present_one_first() -> None:
    at = datetime(2026, 11, 25, 23, 0, tzinfo=BERLIN)
    found = openings([NIGHTS, SALE], "web", Impact.MEDIUM, at, OFFICE, n=3)
    shown = [(f"{o.start.astimezone(BERLIN):%d %H:%M}", f"{o.end.astimezone(BERLIN):%d %H:%M}" if o.end else "") for o in found]
    assert shown == [("25 23:00", "26 00:00"), ("30 00:00", "30 06:00"), ("30 22:00", "01 06:00")]


def test_a_yearly_freeze_is_listed_five_times() -> None:
    yearly = calendar("DTSTART;VALUE=DATE:20251224", "DTEND;VALUE=DATE:20260102", "RRULE:FREQ=YEARLY", kind="freeze")
    assert [o.start.year for o in openings_of(yearly, datetime(2026, 3, 1, tzinfo=UTC))] == [2026, 2027, 2028, 2029, 2030]


def test_a_look_at_twenty_calendars_takes_well_under_a_millisecond() -> None:
    calendars = [
        calendar(
            f"DTSTART:20200101T{n:02d}0000",
            "DURATION:PT2H",
            "RRULE:FREQ=DAILY",
            name=str(n),
            kind="freeze" if n > 14 else "window",
        )
        for n in range(20)
    ]
    at = datetime(2026, 11, 25, 12, tzinfo=UTC)

    def took(n: int) -> float:
        start = perf_counter()
        state(calendars, "web", Impact.MEDIUM, at + timedelta(minutes=n), OFFICE)
        return perf_counter() - start

    assert sorted(took(n) for n in range(51))[25] < 0.001
