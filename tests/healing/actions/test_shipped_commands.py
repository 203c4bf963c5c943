"""The commands of config/commands.yaml that only look, run as an action runs them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from healing.actions import ACTIONS
from healing.catalog.reading import commands_in
from selfheal.places import Place

COMMANDS = commands_in(Path(__file__).parents[3] / "config" / "commands.yaml")
PLACE = Place("web", "web-01", commands=COMMANDS)
RUN = ACTIONS["command.run"]


def free_percent(path: str) -> int:
    disk = os.statvfs(path)
    return 100 * disk.f_bavail // disk.f_blocks


@pytest.mark.parametrize(("less", "passes"), [(1, True), (-2, False)])
def test_a_disk_is_free_enough_or_not(perform, less, passes):
    percent = min(max(free_percent("/") - less, 1), 99)
    done = perform(RUN, {"command": "is-free", "args": {"path": "/", "percent": percent}}, PLACE)
    assert done.result.ok is passes
    assert f"at least {percent} % wanted" in done.stdout


def test_a_file_system_without_blocks_is_not_free(perform):
    assert not perform(RUN, {"command": "is-free", "args": {"path": "/proc", "percent": 1}}, PLACE).result.ok


@pytest.mark.parametrize("path", ["/no/such/place", "/srv/../nothing"])
def test_what_cannot_be_found_out_fails(perform, path):
    assert not perform(RUN, {"command": "is-free", "args": {"path": path, "percent": 1}}, PLACE).result.ok


@pytest.mark.parametrize(("command", "shows"), [("show-processes", "COMMAND"), ("show-disks", "Mounted on")])
def test_what_is_shown_to_people_is_shown(perform, command, shows):
    done = perform(RUN, {"command": command}, PLACE)
    assert done.result.ok
    assert shows in done.stdout


def test_every_other_process_is_seen_from_a_command_that_looks_for_them(perform):
    assert str(os.getpid()) in perform(RUN, {"command": "show-processes"}, PLACE).stdout


def test_a_process_of_that_name_that_nobody_has_is_gone(perform):
    args = {"seconds": 0, "user": "nobody", "name": "no-such-thing"}
    assert perform(RUN, {"command": "is-gone", "args": args}, PLACE).result.ok


def test_a_user_that_there_is_not_is_not_taken_for_gone(perform):
    args = {"seconds": 0, "user": "no-such-user", "name": "x"}
    assert not perform(RUN, {"command": "is-gone", "args": args}, PLACE).result.ok


def test_never_is_never(perform):
    assert not perform(RUN, {"command": "never"}, PLACE).result.ok
