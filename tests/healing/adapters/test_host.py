"""Processes and the machine: what is seen is what is there, and what cannot be seen is said."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psutil
import pytest

from healing.adapters.base import HANGS, NO_TIME, Around, Seen, each
from healing.adapters.host import Host
from selfheal.places import Place
from tests.processes import until


def seen(place: Place, around: Around) -> Seen:
    (found,) = Host().sense([place], around)
    return found


def test_a_process_that_lives_is_up_and_measured(little: Any, around: Around) -> None:
    found = seen(little.place(), around)
    assert found.why == ""
    assert found.values["up"] == 1
    assert 0.1 < found.values["host.memory_mib"] < 500
    assert 0 <= found.values["host.age_seconds"] < 60
    assert 0 < found.values["host.files_percent"] < 50
    assert "host.cpu_percent" not in found.values


def test_what_a_process_uses_of_a_processor_is_counted_from_look_to_look(tool: Callable[..., None], around: Around) -> None:
    tool("systemctl", f"LoadState=loaded\nActiveState=active\nMainPID={os.getpid()}")
    ourselves = Place("it", "it", labels={"unit": "it.service"})
    seen(ourselves, around)
    spent = time.process_time() + 0.2
    while time.process_time() < spent:
        pass
    assert 1 < seen(ourselves, around).values["host.cpu_percent"] < 400


def test_a_process_that_was_killed_is_down_and_has_no_other_number(little: Any, around: Around) -> None:
    little.kill()
    found = seen(little.place(), around)
    assert (dict(found.values), found.why) == ({"up": 0.0}, f"process of {little.pidfile} does not live")


def test_a_stranger_with_the_number_of_a_dead_process_is_not_it(little: Any, around: Around) -> None:
    little.kill()
    little.pidfile.write_text(f"{os.getpid()}\n")
    assert seen(little.place(), around).values == {"up": 0.0}


def test_the_machine_is_a_service_with_the_label_disk(around: Around) -> None:
    found = seen(Place("machine", "machine", labels={"disk": "/"}), around)
    assert found.values.keys() == {"host.disk_used_percent", "host.memory_used_percent", "host.load_per_processor"}
    assert found.values["host.disk_used_percent"] == pytest.approx(psutil.disk_usage("/").percent, abs=2)


def test_a_process_may_watch_its_disk_as_well(little: Any, around: Around) -> None:
    assert {"up", "host.disk_used_percent"} <= seen(little.place(disk="/"), around).values.keys()


@pytest.mark.parametrize(
    ("place", "says"),
    [
        (Place("web", "web-01", via="ssh", user="heal", labels={"unit": "web.service"}), "reached by ssh"),
        (Place("web", "web"), "says neither which process it is"),
        (Place("web", "web", labels={"disk": "/no/such/place"}), "/no/such/place cannot be looked at: No such file"),
        (Place("web", "web", labels={"pidfile": "/run/web.pid", "start": "[]"}), "labels.start"),
        (Place("web", "web", labels={"part": "worker:control"}), "healing stands on the others"),
    ],
)
def test_what_cannot_be_seen_is_said_and_is_no_value(place: Place, says: str, around: Around) -> None:
    found = seen(place, around)
    assert not found.values
    assert says in found.why


@pytest.mark.parametrize(
    ("text", "values", "says"),
    [
        ("LoadState=loaded\nActiveState=inactive\nMainPID=0", {"up": 0.0}, "unit web.service does not live"),
        ("LoadState=loaded\nActiveState=active\nMainPID=0", {"up": 1.0}, ""),
        ("LoadState=loaded\nActiveState=activating\nMainPID=0", {"up": 0.0}, ""),
        ("LoadState=not-found\nActiveState=inactive\nMainPID=0", {}, "web.service is not-found"),
    ],
)
def test_a_unit_is_what_systemd_says(text: str, values: dict, says: str, tool: Callable[..., None], around: Around) -> None:
    tool("systemctl", text)
    found = seen(Place("web", "web", labels={"unit": "web.service"}), around)
    assert dict(found.values) == values
    assert says in found.why


def test_the_main_process_of_a_unit_is_measured(tool: Callable[..., None], around: Around) -> None:
    tool("systemctl", f"LoadState=loaded\nActiveState=active\nMainPID={os.getpid()}")
    assert seen(Place("web", "web", labels={"unit": "web.service"}), around).values["host.memory_mib"] > 1


def test_a_systemd_that_does_not_answer_is_no_unit_that_is_down(tool: Callable[..., None], around: Around) -> None:
    tool("systemctl", "System has not been booted with systemd", 1)
    found = seen(Place("web", "web", labels={"unit": "web.service"}), around)
    assert not found.values
    assert "System has not been booted" in found.why


@pytest.mark.parametrize(
    ("line", "up"), [("web  RUNNING  pid {pid}, uptime 0:00:09", 1.0), ("web  FATAL  Exited too quickly", 0.0)]
)
def test_a_program_is_what_supervisord_says(line: str, up: float, tool: Callable[..., None], around: Around) -> None:
    tool("supervisorctl", line.format(pid=os.getpid()), 0 if up else 3)
    found = seen(Place("web", "web", labels={"program": "web"}), around)
    assert found.values["up"] == up
    assert ("host.memory_mib" in found.values) is bool(up)


def test_a_process_of_somebody_else_is_up_and_says_what_is_not_seen(
    little: Any, around: Around, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(self: Any) -> None:
        raise psutil.AccessDenied(self.pid)

    monkeypatch.setattr(psutil.Process, "num_fds", denied)
    found = seen(little.place(), around)
    assert dict(found.values) == {"up": 1.0}
    assert "belongs to somebody else" in found.why


def test_whoever_hangs_keeps_the_others_no_longer_than_there_is_time(around: Around) -> None:
    """A look that never ends is left behind, and there is no second one meanwhile; those that end are seen."""
    gate = threading.Event()
    places = [Place("a", "a"), Place("b", "b")]

    def look(place: Place) -> Seen:
        if place.service == "a":
            gate.wait(30)
        return Seen(place, {"up": 1.0})

    began = time.monotonic()
    found = each(places, look, began + 0.3)
    assert time.monotonic() - began < 5
    assert [(seen.why, dict(seen.values)) for seen in found] == [(HANGS, {}), ("", {"up": 1.0})]
    again = each(places, look, time.monotonic() + 5)
    assert {seen.place.service: seen.why for seen in again} == {"a": HANGS, "b": ""}
    gate.set()
    assert until(lambda: not each(places[:1], look, time.monotonic() + 5)[0].why)


def test_a_look_that_raises_is_said_and_stops_no_other(around: Around) -> None:
    def look(place: Place) -> Seen:
        if place.service == "a":
            raise RuntimeError("no such luck")
        return Seen(place, {"up": 1.0})

    first, second = each([Place("a", "a"), Place("b", "b")], look, around.until)
    assert first.why == "looking failed: RuntimeError: no such luck"
    assert second.values


def test_without_time_nothing_is_looked_at(little: Any, around: Around) -> None:
    assert seen(little.place(), replace(around, until=time.monotonic())).why == NO_TIME
