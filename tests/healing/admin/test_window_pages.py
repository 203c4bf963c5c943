"""Windows and freezes by people: the list says what holds now, the form previews and tells faults by their line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import time_machine
from django.urls import reverse
from django.utils import timezone

from healing.admin.base import address_of
from healing.catalog.windows import save_window
from healing.models import LedgerOutbox, Window
from tests.factories import make_service
from tests.selfheal.windows.texts import event, text

from .conftest import text_of

pytestmark = pytest.mark.django_db

LIST, NEW = "/admin/healing/window/", "/admin/healing/window/new/"
NIGHTS = text(event("DTSTART:20260101T220000", "DTEND:20260102T060000", "RRULE:FREQ=DAILY"))
WEEKLY = {
    "name": "Office",
    "kind": "window",
    "time_zone": "Europe/Berlin",
    "how": "weekly",
    "days": ["Mon", "Wed"],
    "start": "09:00",
    "end": "00:00",
    "reason": "agreed with the shop",
}
FREEZE = {
    "name": "Black Friday",
    "kind": "freeze",
    "time_zone": "Europe/Berlin",
    "how": "span",
    "begins": "2026-11-27T00:00",
    "until": "2026-11-30T00:00",
    "yearly": "on",
    "reason": "the sale",
}


@pytest.fixture(autouse=True)
def _noon() -> Iterator[None]:
    with time_machine.travel("2026-11-25T12:00:00+00:00", tick=False):
        yield


def stored(calendar: str = NIGHTS, **fields: Any) -> Window:
    said = {"name": "Nights", "kind": "window", "calendar": calendar, "time_zone": "UTC", "services": [], "impacts": []}
    return save_window(None, said | fields, "agreed", "root", timezone.now())


def edit(row: Window) -> str:
    return reverse("admin:healing_window_edit", args=[row.pk])


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ({}, "closed, opens Wed 25 Nov 22:00 UTC"),
        (
            {"calendar": text(event("DTSTART:20260101T110000", "DURATION:PT2H", "RRULE:FREQ=DAILY"))},
            "open until Wed 25 Nov 13:00 UTC",
        ),
        ({"calendar": text(event("DTSTART;VALUE=DATE:20200101", "RRULE:FREQ=DAILY"))}, "open without end"),
        ({"calendar": text(event("DTSTART;VALUE=DATE:20200101"))}, "closed: it does not open again"),
        ({"kind": "freeze", "calendar": text(event("DTSTART;VALUE=DATE:20261125"))}, "frozen until Thu 26 Nov 00:00 UTC"),
        ({"kind": "freeze", "calendar": text(event("DTSTART;VALUE=DATE:20261127"))}, "begins Fri 27 Nov 00:00 UTC"),
        ({"kind": "freeze", "calendar": text(event("DTSTART;VALUE=DATE:20200101"))}, "over: it does not come again"),
    ],
)
def test_the_list_says_how_it_stands_now(sign_in: Any, made: dict[str, Any], said: str) -> None:
    stored(**made)
    assert said in text_of(sign_in().get(LIST))


def test_one_that_cannot_be_read_is_listed_as_closed_and_its_page_says_why(sign_in: Any) -> None:
    row, client = Window.objects.create(name="Torn", kind="window", calendar="torn", time_zone="UTC"), sign_in()
    assert "closed: it cannot be read" in text_of(client.get(LIST))
    assert "It cannot be read, so it is closed: line 1: &#x27;torn&#x27; is no line of a calendar" in text_of(
        client.get(address_of(row))
    )


def test_days_and_hours_of_each_week_become_a_calendar_with_an_entry(sign_in: Any) -> None:
    page = text_of(sign_in("root", "admin").post(NEW, WEEKLY, follow=True))
    row = Window.objects.get()
    assert "Office is stored." in page
    assert "open until Wed 25 Nov 23:00 UTC" in page
    assert "RRULE:FREQ=WEEKLY;BYDAY=MO,WE" in row.calendar
    leaf = json.loads(bytes(LedgerOutbox.objects.get().leaf))
    assert (leaf["actor"], leaf["action"], leaf["payload"]["reason"]) == ("root", "window.created", "agreed with the shop")


def test_one_span_in_whole_days_each_year_becomes_a_freeze(sign_in: Any) -> None:
    sign_in("root", "admin").post(NEW, FREEZE)
    row = Window.objects.get()
    assert "DTSTART;VALUE=DATE:20261127\nDTEND;VALUE=DATE:20261130\nRRULE:FREQ=YEARLY" in row.calendar


def test_a_preview_shows_the_next_five_and_stores_nothing(sign_in: Any) -> None:
    said = {key: value for key, value in WEEKLY.items() if key != "reason"} | {"preview": ""}
    page = text_of(sign_in("root", "admin").post(NEW, said))
    assert "Would open next" in page
    assert page.count('<li class="sh-done">') == 5
    assert "<strong>now</strong>" in page
    assert "Europe/Berlin" in page
    assert not Window.objects.exists()


def test_a_fault_is_told_with_its_line_and_what_stands_there(sign_in: Any) -> None:
    bad = NIGHTS.replace("FREQ=DAILY", "FREQ=SECONDLY")
    page = text_of(sign_in("root", "admin").post(NEW, WEEKLY | {"how": "text", "calendar": bad}))
    assert "Line 8: FREQ=SECONDLY is refused" in page
    assert "(RRULE:FREQ=SECONDLY)" in page
    assert not Window.objects.exists()


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (WEEKLY | {"days": []}, "This is required."),
        (WEEKLY | {"reason": " "}, "a reason is required"),
        (WEEKLY | {"name": ""}, "This field is required."),
        (FREEZE | {"until": "2026-11-20T00:00"}, "Ends before it starts."),
        (FREEZE | {"begins": "soon"}, "This is no date and time."),
        (WEEKLY | {"how": "text"}, "This is required."),
        (WEEKLY | {"name": "Nights"}, "There is a window or freeze &#x27;Nights&#x27; already."),
    ],
)
def test_what_is_missing_or_wrong_is_told_at_its_field(sign_in: Any, said: dict[str, Any], told: str) -> None:
    stored()
    assert told in text_of(sign_in("root", "admin").post(NEW, said))
    assert Window.objects.count() == 1


def test_a_window_is_changed_ended_and_put_in_force_again(sign_in: Any) -> None:
    row, client = stored(), sign_in("root", "admin")
    make_service("web")
    assert "RRULE:FREQ=DAILY" in text_of(client.get(edit(row)))
    said = {"name": "Nights", "kind": "freeze", "time_zone": "UTC", "how": "text", "calendar": NIGHTS.replace("\n", "\r\n")}
    client.post(edit(row), said | {"services": ["web"], "impacts": ["high"], "reason": "it is a freeze"})
    row.refresh_from_db()
    assert (row.kind, row.calendar, row.impacts, row.services.get().name) == ("freeze", NIGHTS, ["high"], "web")
    client.post(address_of(row).replace("/change/", "/act/end/"), {"comment": "over"})
    assert "not in force" in text_of(client.get(address_of(row)))
    client.post(address_of(row).replace("/change/", "/act/restore/"), {"comment": "again"})
    row.refresh_from_db()
    assert row.active


def test_what_a_file_declares_is_read_only(sign_in: Any) -> None:
    row, client = stored(), sign_in("root", "admin")
    Window.objects.update(path="config/windows/nights.ics")
    page = text_of(client.get(address_of(row)))
    assert "which wins at each sync: change it there" in page
    assert edit(row) not in page
    assert "dialog-end" not in page
    assert "declared in config/windows/nights.ics" in text_of(client.get(edit(row), follow=True))
    assert client.post(edit(row), WEEKLY).status_code == 302
    assert Window.objects.get().name == "Nights"


@pytest.mark.parametrize("role", ["viewer", "operator", "approver"])
def test_only_who_may_configure_has_the_form(sign_in: Any, role: str) -> None:
    row, client = stored(), sign_in("op", role)
    assert "New window or freeze" not in text_of(client.get(LIST))
    for address in (NEW, edit(row)):
        assert client.get(address).status_code == 403
        assert client.post(address, WEEKLY).status_code == 403
    assert Window.objects.count() == 1


def test_who_may_configure_finds_the_form_from_the_empty_list(sign_in: Any) -> None:
    assert f'href="{NEW}' in text_of(sign_in("root", "admin").get(LIST))
