from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfheal.errors import Invalid, InvalidDocument, TooLarge
from selfheal.windows import Calendar, openings_of, read_calendar, read_file
from tests.selfheal.windows.texts import HEAD, calendar, event, text

START, END = "DTSTART:20260105T220000", "DTEND:20260106T060000"
VTIMEZONE = """BEGIN:VTIMEZONE
TZID:Our Own
BEGIN:STANDARD
DTSTART:16010101T030000
TZOFFSETFROM:+0200
TZOFFSETTO:+0100
RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10
END:STANDARD
BEGIN:DAYLIGHT
DTSTART:16010101T020000
TZOFFSETFROM:+0100
TZOFFSETTO:+0200
RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=3
END:DAYLIGHT
END:VTIMEZONE""".splitlines()


def read(*parts: list[str], zone: str = "Europe/Berlin") -> Calendar:
    return read_calendar("Nights", "window", text(*parts), zone)


def spans(found: Calendar, at: str, n: int = 3, zone: str = "") -> list[str]:
    """The next openings as the clocks of the zone show them, `05T22:00/06:00`."""
    clocks = ZoneInfo(zone) if zone else found.zone
    return [
        f"{each.start.astimezone(clocks):%m-%dT%H:%M}/{each.end.astimezone(clocks):%m-%dT%H:%M}" if each.end else "open"
        for each in openings_of(found, datetime.fromisoformat(at).replace(tzinfo=UTC), n)
    ]


def test_an_event_recurs_by_its_rule_without_the_dates_left_out_and_with_the_dates_added() -> None:
    found = calendar(START, END, "RRULE:FREQ=WEEKLY;BYDAY=MO", "EXDATE:20260112T220000", "RDATE:20260114T220000")
    assert spans(found, "2026-01-06T12:00") == ["01-14T22:00/01-15T06:00", "01-19T22:00/01-20T06:00", "01-26T22:00/01-27T06:00"]


def test_an_end_is_by_the_clock_and_a_duration_in_hours_is_so_many_hours() -> None:
    by_clock = calendar("DTSTART:20260328T220000", "DTEND:20260329T060000")
    by_hours = calendar("DTSTART:20260328T220000", "DURATION:PT8H")
    by_days = calendar("DTSTART:20260328T220000", "DURATION:P1D")
    assert spans(by_clock, "2026-03-28T00:00") == ["03-28T22:00/03-29T06:00"]
    assert spans(by_hours, "2026-03-28T00:00") == ["03-28T22:00/03-29T07:00"]
    assert spans(by_days, "2026-03-28T00:00") == ["03-28T22:00/03-29T22:00"]


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", "20260329", 23),
        ("Europe/Berlin", "20261025", 25),
        ("Africa/Cairo", "20260424", 23),
        ("UTC", "20260424", 24),
    ],
)
def test_a_whole_day_is_from_midnight_to_midnight_however_long_it_is(zone: str, day: str, hours: int) -> None:
    found = calendar(f"DTSTART;VALUE=DATE:{day}", zone=zone)
    [whole] = openings_of(found, datetime(2026, 1, 1, tzinfo=UTC))
    assert whole.end is not None
    assert (whole.end - whole.start).total_seconds() == hours * 3600


def test_floating_times_are_those_of_the_calendars_zone_and_others_keep_their_own() -> None:
    lines = [event(START, END), event("DTSTART;TZID=Asia/Tokyo:20260107T090000", "DURATION:PT1H", uid="2")]
    lines.append(event("DTSTART:20260108T000000Z", "DURATION:PT1H", uid="3"))
    assert spans(read(*lines), "2026-01-05T00:00", zone="UTC") == [
        "01-05T21:00/01-06T05:00",
        "01-07T00:00/01-07T01:00",
        "01-08T00:00/01-08T01:00",
    ]


def test_a_time_in_utc_recurs_in_utc() -> None:
    found = calendar("DTSTART:20260101T090000Z", "DURATION:PT1H", "RRULE:FREQ=DAILY")
    assert spans(found, "2026-07-01T00:00", 1, "UTC") == ["07-01T09:00/07-01T10:00"]


def test_a_zone_that_the_calendar_defines_changes_its_clocks_as_it_says() -> None:
    lines = event("DTSTART;TZID=Our Own:20260328T023000", "DTEND;TZID=Our Own:20260328T040000", "RRULE:FREQ=DAILY")
    found = read(VTIMEZONE, lines)
    assert spans(found, "2026-03-28T00:00", 3, "UTC") == [
        "03-28T01:30/03-28T03:00",
        "03-29T01:30/03-29T02:00",  # 02:30 is left out and read with the offset before the gap
        "03-30T00:30/03-30T02:00",
    ]


def test_what_one_calendar_calls_a_zone_is_nothing_to_another() -> None:
    lines = event("DTSTART;TZID=Our Own:20260601T090000", "DTEND;TZID=Our Own:20260601T100000")
    assert spans(read(VTIMEZONE, lines), "2026-05-01T00:00", 1, "UTC") == ["06-01T07:00/06-01T08:00"]
    other = [line.replace("+0200", "+0500").replace("+0100", "+0400") for line in VTIMEZONE]
    assert spans(read(other, lines), "2026-05-01T00:00", 1, "UTC") == ["06-01T04:00/06-01T05:00"]
    with pytest.raises(Invalid, match="no VTIMEZONE here defines it"):
        read(lines)


def test_windows_has_names_of_its_own_for_zones() -> None:
    found = calendar("DTSTART;TZID=W. Europe Standard Time:20260601T090000", "DURATION:PT1H", zone="UTC")
    assert spans(found, "2026-05-01T00:00") == ["06-01T07:00/06-01T08:00"]


def test_one_occurrence_is_moved_and_one_is_cancelled() -> None:
    master = event(START, END, "RRULE:FREQ=DAILY;COUNT=4")
    moved = event("RECURRENCE-ID:20260106T220000", "DTSTART:20260107T000000", "DTEND:20260107T010000")
    gone = event("RECURRENCE-ID:20260107T220000", "DTSTART:20260107T220000", "STATUS:CANCELLED")
    assert spans(read(master, moved, gone), "2026-01-05T00:00", 9) == [
        "01-05T22:00/01-06T06:00",
        "01-07T00:00/01-07T01:00",
        "01-08T22:00/01-09T06:00",
    ]


def test_an_exception_in_utc_leaves_out_only_what_begins_then() -> None:
    """The library behind takes 08:00 in UTC for 08:00 on the wall as well."""
    rule = "RRULE:FREQ=DAILY;BYHOUR=8,9;COUNT=2"
    found = calendar("DTSTART;TZID=Europe/Berlin:20260105T080000", "DURATION:PT30M", rule, "EXDATE:20260105T080000Z")
    assert spans(found, "2026-01-05T00:00") == ["01-05T08:00/01-05T08:30"]


@pytest.mark.parametrize(
    ("until", "last"),
    [("20260107", "01-07"), ("20260107T220000", "01-07"), ("20260107T210000Z", "01-07"), ("20260107T205959Z", "01-06")],
)
def test_until_is_the_last_start_and_a_date_is_that_whole_day(until: str, last: str) -> None:
    found = calendar(START, END, f"RRULE:FREQ=DAILY;UNTIL={until}")
    assert spans(found, "2026-01-05T00:00", 9)[-1].startswith(last)


def test_spans_that_touch_are_one_and_one_that_never_ends_has_no_end() -> None:
    days = [event("DTSTART;VALUE=DATE:20260105"), event("DTSTART;VALUE=DATE:20260106", uid="2")]
    assert spans(read(*days), "2026-01-05T00:00") == ["01-05T01:00/01-07T00:00"]
    assert spans(calendar("DTSTART;VALUE=DATE:20200101", "RRULE:FREQ=DAILY"), "2026-01-05T00:00") == ["open"]


def test_long_lines_are_unfolded_and_faults_keep_the_number_of_the_first() -> None:
    folded = text(event(START, "DTEND:2026\n 0106T0\n\t60000", "RRULE:FREQ=\n NEVER")).replace("\n", "\r\n")
    with pytest.raises(InvalidDocument) as fault:
        read_calendar("Nights", "window", folded, "UTC", file="windows/nights.ics")
    assert str(fault.value).startswith("windows/nights.ics:10:1: FREQ=NEVER")


@pytest.mark.parametrize(
    ("lines", "number", "said"),
    [
        (["SUMMARY:nothing"], 4, "has no DTSTART"),
        ([START], 4, "has no end"),
        ([START, "DTEND:20260105T210000"], 7, "ends before it starts"),
        ([START, "DTEND:20260105T220000"], 7, "ends before it starts"),
        ([START, END, "DURATION:PT1H"], 7, "do not stand together"),
        ([START, "DURATION:8H"], 7, "no length"),
        ([START, "DURATION:-PT8H"], 7, "no length"),
        ([START, "DURATION:P9999D"], 7, "longer than"),
        ([START, "DURATION:PT99999H99999M"], 7, "longer than"),
        ([START, "DTEND;VALUE=DATE:20260107"], 7, "both dates, or both times"),
        ([START, START, END], 7, "stands twice"),
        (["DTSTART:20260230T000000", END], 6, "DTSTART"),
        (["DTSTART:19991231T000000", END], 6, "year 1999"),
        (["DTSTART;TZID=Mars/Base:20260105T220000", END], 6, "TZID=Mars/Base"),
        (["DTSTART;TZID=../../etc/passwd:20260105T220000", END], 6, "TZID="),
        (["DTSTART;TZID=Europe/Berlin:20260105T220000Z", END], 6, "UTC"),
        ([START, END, "RRULE:FREQ=DAILY", "RRULE:FREQ=WEEKLY"], 9, "stands twice"),
        ([START, END, "EXRULE:FREQ=DAILY"], 8, "EXRULE"),
        ([START, END, "EXDATE:20260105T220000,soon"], 8, "EXDATE"),
        ([START, END, "RDATE;VALUE=PERIOD:20260105T220000Z/PT1H"], 8, "no periods"),
        ([START, END, "RDATE;VALUE=DATE:20260107"], 8, "RDATE is a date"),
        ([START, END, "RRULE:FREQ=DAILY", "RECURRENCE-ID:20260105T220000"], 8, "do not stand together"),
        ([START, END, "RECURRENCE-ID:20260105T220000"], 8, "not in the calendar"),
        ([START, END, "SEQUENCE:many"], 8, "whole number"),
        ([START, "DURATION:P8D", "RRULE:FREQ=DAILY"], 8, "lasts 8 days"),
        (["DTSTART;VALUE=DATE-TIME:2026-01-05", END], 6, "is no time"),
        (["DTSTART:20260105T246000", END], 6, "is no time"),
        ([START, END, "RRULE:FREQ=DAILY;UNTIL=2026"], 8, "UNTIL=2026 is no time"),
        (["what is this"], 6, "no line of a calendar"),
        ([START, END, "SUMMARY:a\x00b"], 8, "control character"),
    ],
)
def test_what_is_wrong_is_refused_with_its_line(lines: list[str], number: int, said: str) -> None:
    with pytest.raises(Invalid, match=said) as fault:
        calendar(*lines)
    assert fault.value.line == number


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("FREQ=SECONDLY", "refused"),
        ("FREQ=MINUTELY;INTERVAL=60", "refused"),
        ("FREQ=HOURLY", "BYHOUR"),
        ("INTERVAL=2", "refused"),
        ("FREQ=DAILY;FREQ=WEEKLY", "twice"),
        ("FREQ=DAILY;BYSECOND=1", "BYSECOND"),
        ("FREQ=DAILY;COUNT=3;UNTIL=20270101", "together"),
        ("FREQ=DAILY;COUNT=99999999999999999999", "COUNT"),
        ("FREQ=DAILY;INTERVAL=0", "INTERVAL"),
        ("FREQ=DAILY;UNTIL=later", "UNTIL"),
        ("FREQ=DAILY;BYHOUR=0,1,2,3,4,5,6,7,8,9;BYMINUTE=0,10,20", "30 times a day"),
        ("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", "BYMONTHDAY"),
        ("FREQ=DAILY;INTERVAL=7;BYDAY=TU", "WEEKLY"),
        ("FREQ=WEEKLY;INTERVAL=52;BYMONTH=2", "MONTHLY"),
        ("FREQ=WEEKLY;BYDAY=2MO", "count"),
        ("FREQ=MONTHLY;BYMONTH=2;BYMONTHDAY=30", "no day"),
        ("FREQ=MONTHLY;INTERVAL=12;BYMONTH=3", "YEARLY"),
        ("FREQ=MONTHLY;BYDAY=1MO;BYMONTHDAY=20", "count"),
        ("FREQ=MONTHLY;BYDAY=9MO", "names no days"),
        ("FREQ=MONTHLY;BYMONTHDAY=1;BYSETPOS=5", "BYSETPOS"),
        ("FREQ=YEARLY;BYYEARDAY=1;BYMONTH=2", "BYYEARDAY"),
        ("FREQ=YEARLY;INTERVAL=100", "INTERVAL"),
    ],
)
def test_a_rule_that_happens_too_often_or_may_never_happen_is_refused(rule: str, said: str) -> None:
    with pytest.raises(Invalid, match=said) as fault:
        calendar(START, END, f"RRULE:{rule}")
    assert fault.value.line == 8


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=MONTHLY;BYDAY=2TU",
        "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1",
        "FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13",
        "FREQ=WEEKLY;INTERVAL=2;BYDAY=SA,SU;BYMONTH=11,12;WKST=SU",
        "FREQ=YEARLY;BYMONTH=11;BYDAY=4TH",
        "FREQ=YEARLY;BYWEEKNO=52;BYDAY=MO",
        "FREQ=YEARLY;BYYEARDAY=-1",
        "FREQ=DAILY;BYHOUR=2,14;BYMINUTE=0,30",
        "freq=yearly;bymonth=2;bymonthday=29;",
    ],
)
def test_rules_that_people_write_are_read(rule: str) -> None:
    assert len(spans(calendar("DTSTART:20240229T020000", "DURATION:PT1H", f"RRULE:{rule}"), "2026-01-05T00:00", 2)) == 2


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "hello",
        text(),
        "\n".join(HEAD),
        text(event(START, END)) * 2,
        "X:1\n" + text(event(START, END)),
        text(["BEGIN:VTODO", "END:VTODO"]),
        text(["BEGIN:VEVENT", "END:VTODO"]),
        text(["CALSCALE:MAYAN"], event(START, END)),
        text(event(START, END), event(START, END)),
        text([line.replace("YEARLY", "DAILY") for line in VTIMEZONE], event(START, END)),
        text(["BEGIN:VTIMEZONE", "TZID:Q", "END:VTIMEZONE"], event("DTSTART;TZID=Q:20260105T220000", "DURATION:PT1H")),
        text(
            [line.replace("+0200", "+9900") for line in VTIMEZONE], event("DTSTART;TZID=Our Own:20260105T220000", "DURATION:PT1H")
        ),
    ],
)
def test_what_is_no_calendar_of_events_is_refused(bad: str) -> None:
    with pytest.raises(Invalid) as fault:
        read_calendar("Nights", "window", bad, "UTC", file="nights.ics")
    assert fault.value.line


@pytest.mark.parametrize(
    "big",
    [
        text(event(START, END, "SUMMARY:" + "x" * 70_000)),
        text(*[event(START, END, uid=str(n)) for n in range(101)]),
        text(*[event(START, END, "RRULE:FREQ=DAILY", uid=str(n)) for n in range(21)]),
        text(event(START, END, "RRULE:FREQ=DAILY", *["EXDATE:20260105T220000"] * 501)),
        text(*[event(START, END, f"RRULE:FREQ=DAILY;BYHOUR={','.join(map(str, range(24)))}", uid=str(n)) for n in range(3)]),
        text(["BEGIN:VEVENT"] * 500),
        text(event(f"DTSTART;TZID={'x' * 5000}:20260105T220000", END)),
        text([VTIMEZONE[0], VTIMEZONE[1], *VTIMEZONE[2:8] * 301, VTIMEZONE[-1]], event(START, END)),
        text(*[VTIMEZONE] * 11, event(START, END)),
    ],
)
def test_what_is_too_large_is_refused(big: str) -> None:
    with pytest.raises(Invalid, match=r"at most|larger"):
        read_calendar("Nights", "window", big, "UTC")


def test_every_fault_of_a_calendar_is_told() -> None:
    with pytest.raises(InvalidDocument) as fault:
        read(event(START), event("DTSTART:x", END, uid="2"))
    assert [each.line for each in fault.value.errors] == [4, 10]


@settings(max_examples=150)
@given(
    st.lists(
        st.sampled_from(
            [
                START,
                END,
                "DURATION:PT8H",
                "RRULE:FREQ=MONTHLY;BYDAY=2TU;COUNT=3",
                "EXDATE:20260105",
                "RECURRENCE-ID;RANGE=THISANDFUTURE:20260105T220000",
                "STATUS:CANCELLED",
                "DTSTART;TZID=UTC:20260105T220000",
                "BEGIN:VEVENT",
                "END:VEVENT",
                "UID:1",
                "UID:2",
                "SEQUENCE:2",
            ]
        )
        | st.text(st.characters(codec="utf-8"), max_size=12),
        max_size=14,
    )
)
def test_whatever_the_text_it_is_read_or_refused(lines: list[str]) -> None:
    try:
        found = read_calendar("Nights", "window", text(lines), "Europe/Berlin")
    except Invalid:
        return
    openings_of(found, datetime(2026, 1, 1, tzinfo=UTC))


def test_a_file_says_what_its_calendar_is_for() -> None:
    own = ["X-SELFHEAL-KIND:freeze", "X-SELFHEAL-SERVICES:web, db", "X-SELFHEAL-IMPACTS:medium,high", "X-WR-TIMEZONE:Asia/Tokyo"]
    found = read_file("sale", text(own, event(START, END)), "sale.ics", "UTC")
    assert (found.kind, found.services, found.impacts, found.time_zone) == (
        "freeze",
        ("web", "db"),
        ("medium", "high"),
        "Asia/Tokyo",
    )
    plain = read_file("nights", text(event(START, END)), "nights.ics", "Europe/Berlin")
    assert (plain.kind, plain.services, plain.impacts, plain.time_zone) == ("window", (), (), "Europe/Berlin")


@pytest.mark.parametrize(
    ("lines", "number"),
    [
        (["X-SELFHEAL-KIND:holiday"], 4),
        (["X-SELFHEAL-SERVICE:web"], 4),
        (["X-SELFHEAL-SERVICES:"], 4),
        (["X-SELFHEAL-IMPACTS:low", "X-SELFHEAL-IMPACTS:high"], 5),
        (["X-SELFHEAL-IMPACTS:huge"], 4),
        (["X-WR-TIMEZONE:Mars/Base"], 4),
        ([], 6),
    ],
)
def test_a_file_that_says_something_else_is_refused_with_its_line(lines: list[str], number: int) -> None:
    with pytest.raises(Invalid) as fault:
        read_file("sale", text(lines, event(START, END)), "windows/sale.ics", "")
    assert (fault.value.file, fault.value.line) == ("windows/sale.ics", number)


def test_too_large_is_said_before_anything_is_read() -> None:
    with pytest.raises(TooLarge):
        read_file("sale", "x" * 70_000, "sale.ics", "UTC")
