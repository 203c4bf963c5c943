"""Change windows on a clock that the tests move: deferred, decided at the opening one at a time, looked at again at the start."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from healing import approvals, governance
from healing.catalog.windows import save_window, set_window_active
from healing.models import ApprovalRequest, Control, LedgerOutbox, Record, Run, Window
from healing.runs import starting
from healing.runs.watchdog import clear_waiting, take_care
from tests.factories import APPROVE, make_user
from tests.selfheal.windows.texts import event, text

from .conftest import House

NOON = "2026-11-25T12:00:00+01:00"  # a Wednesday in Berlin
NIGHTS = text(event("DTSTART:20260101T220000", "DTEND:20260102T060000", "RRULE:FREQ=DAILY"))
DAYS = text(event("DTSTART:20260101T080000", "DTEND:20260101T180000", "RRULE:FREQ=DAILY"))
Move = Callable[[str], datetime]


@pytest.fixture
def house(db: None, tmp_path: Path, settings: Any, sent: list[str]) -> House:
    """Services that are down; nothing here starts a process."""
    return House(tmp_path, settings)


@pytest.fixture
def clock() -> Iterator[Move]:
    """`clock("2026-11-25T22:00:00+01:00")` moves it and returns the moment."""
    with time_machine.travel(NOON, tick=False) as traveller:

        def to(moment: str) -> datetime:
            traveller.move_to(moment)
            return timezone.now()

        yield to


def window(calendar: str, name: str = "Nights", kind: str = "window", **more: Any) -> Window:
    said = {"name": name, "kind": kind, "calendar": calendar, "time_zone": "Europe/Berlin", "services": [], "impacts": []}
    return save_window(None, said | more, "agreed", "root", timezone.now())


def medium(house: House, *names: str, waits: bool = True, alone: bool = True) -> list[Run]:
    """Proposed runs of medium impact for services that are down; `alone`: a person has granted that they start by themselves."""
    words = "impact: medium\noutside_window: wait" if waits else "impact: medium"
    text_of = (house.playbooks / "restart-process.yaml").read_text()
    house.playbook("restart-process", text_of.replace("impact: low", words))
    if alone:
        until = timezone.now() + timedelta(days=30)
        Record.objects.create(diagnosis="service_down", playbook="restart-process", granted_until=until)
    for name in names:
        house.service(name, up=False)
        house.alert("InstanceDown", name)
    house.look()
    return [Run.objects.get(service__name=name) for name in names]


def statuses() -> list[str]:
    return sorted(Run.objects.values_list("status", flat=True))


def claim(run: Run) -> str:
    """A worker comes: `running`, or why not."""
    if starting.claim(run.pk, "worker test", timezone.now()):
        return "running"
    run.refresh_from_db()
    return run.abort_reason or run.status


def actions() -> list[str]:
    return [json.loads(bytes(leaf))["action"] for leaf in LedgerOutbox.objects.order_by("pk").values_list("leaf", flat=True)]


def test_what_started_deciding_inside_and_would_start_outside_is_blocked_and_said_so(house: House, clock: Move) -> None:
    window(DAYS)
    clock("2026-11-25T17:59:30+01:00")
    [run] = medium(house, "shop")
    assert run.status == "queued"
    clock("2026-11-25T18:00:00+01:00")
    assert claim(run) == "change_window"
    assert "playbook_run_blocked" in actions()
    assert "outside the change window (window 'Nights', opens 2026-11-26 08:00 Europe/Berlin)" in run.reason


def test_a_freeze_that_begins_between_decision_and_start_blocks_it(house: House, clock: Move) -> None:
    [run] = medium(house, "shop")
    window(text(event("DTSTART:20261125T120100", "DURATION:PT4H")), name="Release", kind="freeze")
    clock("2026-11-25T12:02:00+01:00")
    assert claim(run) == "change_window"
    assert "freeze 'Release' until 2026-11-25 16:01 Europe/Berlin" in run.reason


def test_a_calendar_that_cannot_be_read_blocks_it(house: House, clock: Move) -> None:
    [run] = medium(house, "shop")
    Window.objects.create(name="Torn", kind="freeze", calendar="torn", time_zone="UTC")
    assert claim(run) == "change_window"


def test_who_approved_exactly_this_plan_outside_the_window_has_it_run(house: House, clock: Move) -> None:
    window(NIGHTS)
    [run] = medium(house, "shop", waits=False)
    assert run.status == "pending"
    approvals.approve(ApprovalRequest.objects.get().pk, make_user("ann", APPROVE), "", "test", timezone.now())
    run.refresh_from_db()
    assert claim(run) == "running"


def test_a_deferred_run_waits_for_the_opening_and_starts_by_itself_then(house: House, clock: Move) -> None:
    window(NIGHTS)
    [run] = medium(house, "shop")
    assert (run.status, run.due_at) == ("deferred", datetime.fromisoformat("2026-11-25T22:00:00+01:00"))
    take_care(clock("2026-11-25T21:59:59+01:00"))
    assert statuses() == ["deferred"]
    take_care(clock("2026-11-25T22:00:00+01:00"))
    run.refresh_from_db()
    assert run.approved_at == timezone.now()
    assert claim(run) == "running"


@pytest.mark.parametrize(("day", "opens"), [("2026-10-24", "20:00"), ("2026-10-25", "21:00")])
def test_the_opening_is_by_the_clocks_of_the_zone(house: House, clock: Move, day: str, opens: str) -> None:
    clock(f"{day}T10:00:00+00:00")
    window(NIGHTS)
    [run] = medium(house, "shop")
    assert run.due_at == datetime.fromisoformat(f"{day}T{opens}:00+00:00")


def test_at_the_opening_one_run_a_tick_is_let_go(house: House, clock: Move) -> None:
    window(NIGHTS)
    medium(house, "shop", "billing", "search")
    for minute in (0, 1, 2):
        assert statuses().count("queued") == minute
        take_care(clock(f"2026-11-25T22:0{minute}:00+01:00"))
    assert statuses() == ["queued"] * 3


def test_at_the_opening_nothing_is_let_go_while_as_many_run_as_may(house: House, clock: Move, settings: Any) -> None:
    settings.SELF_HEAL_MAX_CONCURRENT_RUNS = 1
    window(NIGHTS)
    medium(house, "shop", "billing")
    take_care(clock("2026-11-25T22:00:00+01:00"))
    take_care(clock("2026-11-25T22:01:00+01:00"))
    assert statuses() == ["deferred", "queued"]
    assert claim(Run.objects.get(status="queued")) == "running"
    take_care(clock("2026-11-25T22:02:00+01:00"))
    assert statuses() == ["deferred", "running"]


def test_at_the_opening_people_are_asked_for_what_may_not_start_by_itself(house: House, clock: Move) -> None:
    window(NIGHTS)
    medium(house, "shop", "billing", alone=False)
    take_care(clock("2026-11-25T22:00:00+01:00"))
    assert statuses() == ["pending", "pending"]
    assert ApprovalRequest.objects.count() == 2


@pytest.mark.parametrize(("minutes", "found"), [(14, "running"), (16, "superseded")])
def test_the_time_to_start_counts_from_the_opening(house: House, clock: Move, minutes: int, found: str) -> None:
    window(NIGHTS)
    [run] = medium(house, "shop")
    take_care(clock("2026-11-25T22:00:00+01:00"))
    clock(f"2026-11-25T22:{minutes}:00+01:00")
    assert claim(run) == found


def test_an_opening_that_was_missed_is_decided_by_the_facts_of_now(house: House, clock: Move) -> None:
    window(NIGHTS)
    [run] = medium(house, "shop")
    take_care(clock("2026-11-26T07:00:00+01:00"))
    run.refresh_from_db()
    assert (run.status, run.due_at) == ("deferred", datetime.fromisoformat("2026-11-26T22:00:00+01:00"))


def test_a_freeze_over_the_opening_defers_it_further(house: House, clock: Move) -> None:
    window(NIGHTS)
    [run] = medium(house, "shop")
    window(text(event("DTSTART:20261125T200000", "DTEND:20261126T000000")), name="Release", kind="freeze")
    take_care(clock("2026-11-25T22:00:00+01:00"))
    run.refresh_from_db()
    assert (run.status, run.due_at) == ("deferred", datetime.fromisoformat("2026-11-26T00:00:00+01:00"))


def test_a_window_that_is_changed_has_what_waits_for_it_looked_at_again(house: House, clock: Move) -> None:
    row = window(NIGHTS)
    medium(house, "shop")
    set_window_active(row, False, "the default will do", "root", clock("2026-11-25T12:05:00+01:00"))
    take_care(timezone.now())
    assert statuses() == ["queued"]


def test_a_playbook_edited_while_its_run_waits_is_not_asked_about(house: House, clock: Move) -> None:
    window(NIGHTS)
    [run] = medium(house, "shop", alone=False)
    house.playbook("restart-process", (house.playbooks / "restart-process.yaml").read_text().replace("title: ", "title: Now "))
    take_care(clock("2026-11-25T22:00:00+01:00"))
    run.refresh_from_db()
    assert (run.status, run.abort_reason) == ("aborted", "superseded")
    assert not ApprovalRequest.objects.exists()


@pytest.mark.parametrize("looked", [True, False], ids=["with the watchdog", "between two looks"])
def test_releasing_the_kill_switch_revives_nothing_that_waits_for_an_opening(house: House, clock: Move, looked: bool) -> None:
    window(NIGHTS)
    [run] = medium(house, "shop")
    if looked:
        governance.set_kill_switch("kill", "it goes wild", "ann", clock("2026-11-25T13:00:00+01:00"))
        governance.set_kill_switch("off", "found it", "ann", clock("2026-11-25T13:05:00+01:00"))
    else:
        Control.objects.update_or_create(pk=1, defaults={"kill_at": clock("2026-11-25T13:00:00+01:00")})
    take_care(clock("2026-11-25T22:00:00+01:00"))
    run.refresh_from_db()
    assert (run.status, run.abort_reason) == ("aborted", "kill_switch")


def test_switching_to_execute_revives_nothing_that_waited(house: House, clock: Move, settings: Any) -> None:
    window(NIGHTS)
    [run] = medium(house, "shop")
    settings.SELF_HEAL_EXECUTE, settings.SELF_HEAL_OBSERVE_ONLY = False, True
    clear_waiting(clock("2026-11-25T13:00:00+01:00"))
    settings.SELF_HEAL_EXECUTE, settings.SELF_HEAL_OBSERVE_ONLY = True, False
    take_care(clock("2026-11-25T22:00:00+01:00"))
    run.refresh_from_db()
    assert (run.status, run.abort_reason, run.started_at) == ("aborted", "policy", None)
