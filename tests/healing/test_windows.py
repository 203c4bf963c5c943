"""Windows and freezes as rows: from files, from people, and what policy is told of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from healing import catalog, windows
from healing.catalog.windows import save_window, set_window_active
from healing.governance import window_at, world
from healing.models import LedgerOutbox, Window
from selfheal.errors import Conflict, Invalid, InvalidDocument
from selfheal.states import Impact
from tests.factories import make_service
from tests.selfheal.windows.texts import event, text

pytestmark = pytest.mark.django_db

ALWAYS = event("DTSTART;VALUE=DATE:20260101", "RRULE:FREQ=DAILY")
NIGHTS = text(event("DTSTART:20260101T220000", "DTEND:20260102T060000", "RRULE:FREQ=DAILY"))


def leaves() -> list[dict]:
    return [json.loads(bytes(row.leaf)) for row in LedgerOutbox.objects.order_by("pk")]


def make(at: datetime, name: str = "Nights", calendar: str = NIGHTS, **fields) -> Window:
    said = {"name": name, "kind": "window", "calendar": calendar, "time_zone": "Europe/Berlin", "services": [], "impacts": []}
    return save_window(None, said | fields, "agreed with the shop", "root", at)


@pytest.fixture
def config(tmp_path: Path, settings) -> Path:
    settings.SELF_HEAL_CONFIG_DIR, settings.SELF_HEAL_TIME_ZONE = tmp_path, ""
    (tmp_path / "windows").mkdir()
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "services.yaml").write_text("services:\n  - {name: web}\n  - {name: db}\n")
    return tmp_path


def sync(config: Path, at: datetime, **more):
    return catalog.sync(config, [config / "playbooks"], at, "ann", **more)


def write(config: Path, name: str, content: str) -> Path:
    path = config / "windows" / f"{name}.ics"
    path.write_text(content)
    return path


def test_without_a_row_the_default_holds(at, settings) -> None:
    settings.SELF_HEAL_TIME_ZONE = "Asia/Tokyo"
    assert window_at("web", Impact.MEDIUM, at) == (
        False,
        "Mon-Fri 09:00-18:00, Asia/Tokyo",
        datetime(2026, 11, 26, 0, 0, tzinfo=UTC),
    )


def test_a_row_takes_the_place_of_the_default_for_its_services_and_impacts(at) -> None:
    make_service("db")
    make(at, services=["db"], impacts=["medium"])
    assert window_at("db", Impact.MEDIUM, at).words == "window 'Nights', opens 2026-11-25 22:00 Europe/Berlin"
    assert window_at("db", Impact.HIGH, at).inside is True
    assert window_at("web", Impact.MEDIUM, at).inside is True


def test_a_row_that_cannot_be_read_is_closed_and_the_rest_goes_on(at) -> None:
    db = make_service("db")
    torn = Window.objects.create(name="Torn", kind="window", calendar="torn", time_zone="UTC")
    torn.services.add(db)
    assert window_at("db", Impact.LOW, at).words.startswith("window 'Torn' cannot be read, so it is closed: line 1")
    assert window_at("web", Impact.LOW, at).inside is True


def test_windows_are_read_once_a_look_and_parsed_once(at) -> None:
    make(at)
    with CaptureQueriesContext(connection) as first:
        before = world(at).windows
    assert sum("healing_window" in query["sql"] for query in first.captured_queries) == 2
    assert world(at).windows[0] is before[0]


def test_every_change_by_a_person_is_in_the_log_with_what_was_before(at) -> None:
    row = make(at)
    said = {"name": "Nights", "kind": "freeze", "calendar": NIGHTS, "time_zone": "UTC", "services": [], "impacts": ["high"]}
    save_window(row, said, "it is a freeze", "root", at)
    row.refresh_from_db()
    set_window_active(row, False, "over", "root", at)
    row.refresh_from_db()
    set_window_active(row, True, "again", "root", at)
    made, changed, ended, again = leaves()
    assert [each["action"] for each in leaves()] == ["window.created", "window.changed", "window.removed", "window.changed"]
    assert (made["actor"], made["resource"], made["payload"]["before"]) == ("root", "window:Nights", None)
    assert made["payload"]["after"]["calendar"] == NIGHTS
    assert (changed["payload"]["before"]["kind"], changed["payload"]["after"]["kind"]) == ("window", "freeze")
    assert changed["payload"]["reason"] == "it is a freeze"
    assert (ended["payload"]["before"]["active"], ended["payload"]["after"]["active"]) == (True, False)
    assert again["payload"]["after"]["active"] is True


def test_what_changes_nothing_is_not_in_the_log(at) -> None:
    row = make(at)
    save_window(row, windows_said(row), "again", "root", at)
    assert len(leaves()) == 1


def windows_said(row: Window) -> dict:
    fields = ("name", "kind", "calendar", "time_zone", "impacts")
    return {**{name: getattr(row, name) for name in fields}, "services": [each.name for each in row.services.all()]}


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({"calendar": NIGHTS.replace("DAILY", "SECONDLY")}, InvalidDocument),
        ({"time_zone": "Mars/Base"}, Invalid),
        ({"services": ["nowhere"]}, Invalid),
        ({"kind": "holiday"}, Invalid),
        ({"name": "Taken"}, Conflict),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_stored(at, said, error) -> None:
    make(at, "Taken")
    with pytest.raises(error):
        make(at, **{"name": "New", **said})
    assert Window.objects.count() == len(leaves()) == 1


def test_a_change_says_why(at) -> None:
    row = make(at)
    with pytest.raises(Invalid, match="says why"):
        set_window_active(row, False, "  ", "root", at)


def test_files_are_read_changed_and_removed(config, at) -> None:
    own = ["X-SELFHEAL-KIND:freeze", "X-SELFHEAL-SERVICES:web", "X-WR-TIMEZONE:Asia/Tokyo"]
    path = write(config, "sale", text(own, event("DTSTART;VALUE=DATE:20261127")))
    assert str(sync(config, at).windows) == "1 created"
    row = Window.objects.get()
    assert (row.name, row.kind, row.time_zone, row.active) == ("sale", "freeze", "Asia/Tokyo", True)
    assert [each.name for each in row.services.all()] == ["web"]
    assert row.path == str(path)
    assert str(sync(config, at).windows) == "1 unchanged"
    write(config, "sale", text(own, event("DTSTART;VALUE=DATE:20261128")))
    assert str(sync(config, at).windows) == "1 changed"
    path.unlink()
    assert str(sync(config, at).windows) == "1 removed"
    row.refresh_from_db()
    assert (row.active, row.path) == (False, "")
    assert [each["action"] for each in leaves() if each["resource"] == "window:sale"] == [
        "window.created",
        "window.changed",
        "window.removed",
    ]


def test_a_file_that_comes_back_is_in_force_again(config, at) -> None:
    path = write(config, "nights", text(["X-WR-TIMEZONE:UTC"], ALWAYS))
    sync(config, at)
    content = path.read_text()
    path.unlink()
    sync(config, at)
    path.write_text(content)
    assert sync(config, at).windows.created == ["nights"]
    assert Window.objects.get().active


def test_no_directory_removes_nothing(config, at) -> None:
    path = write(config, "always", text(["X-WR-TIMEZONE:UTC"], ALWAYS))
    sync(config, at)
    path.unlink()
    (config / "windows").rmdir()
    sync(config, at)
    assert Window.objects.get().active


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (text(["X-WR-TIMEZONE:UTC"], event("DTSTART:20260101T220000")), ":5:1: has no end"),
        (
            text(["X-SELFHEAL-SERVICES:nowhere"], event("DTSTART:20260101T220000Z", "DURATION:PT1H")),
            ":4:1: there is no service 'nowhere'",
        ),
        (text(event("DTSTART:20260101T220000", "DURATION:PT1H")), ":6:1: this time has no zone"),
        ("x" * 300_000, ":1:1: is larger than"),
    ],
)
def test_one_fault_in_a_file_and_nothing_is_changed(config, at, content, said) -> None:
    write(config, "always", text(["X-WR-TIMEZONE:UTC"], ALWAYS))
    path = write(config, "bad", content)
    report = sync(config, at)
    assert report.errors[0].startswith(f"{path}{said}")
    assert not Window.objects.exists()
    assert not leaves()


def test_a_file_does_not_take_over_what_a_person_made_and_a_person_does_not_change_what_a_file_says(config, at) -> None:
    mine = make(at, "always")
    write(config, "always", text(["X-WR-TIMEZONE:UTC"], ALWAYS))
    assert "was made in the admin" in sync(config, at).errors[0]
    set_window_active(mine, False, "the file has it now", "root", at)
    assert sync(config, at).windows.created == ["always"]
    mine.refresh_from_db()
    with pytest.raises(Conflict, match=r"declared in .*always\.ics"):
        save_window(mine, windows_said(mine) | {"kind": "freeze"}, "no", "root", at)
    with pytest.raises(Conflict, match="declared in"):
        set_window_active(mine, False, "no", "root", at)


def test_a_dry_run_changes_nothing(config, at) -> None:
    write(config, "always", text(["X-WR-TIMEZONE:UTC"], ALWAYS))
    assert sync(config, at, dry=True).windows.created == ["always"]
    assert not Window.objects.exists()


def test_the_faults_of_a_calendar_are_told_with_their_lines() -> None:
    bad = text(event("DTSTART:20260101T220000"), event("DTSTART:x", uid="2"))
    with pytest.raises(InvalidDocument) as fault:
        windows.read_calendar("x", "window", bad, "UTC")
    assert windows.fault_lines(fault.value, bad) == [
        "line 4: has no end: give DTEND or DURATION (BEGIN:VEVENT)",
        "line 10: DTSTART=x is no time; write it like 20261127T090000, with a Z for UTC (DTSTART:x)",
    ]
