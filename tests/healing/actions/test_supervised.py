"""Parts of selfheal that `up` keeps: the right process is ended, and no other. What plays `up` starts real children."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from healing.actions import ACTIONS, supervised
from healing.checks import CHECKS
from healing.processes import ByPart, known
from selfheal.errors import Invalid, NotApplicable
from selfheal.places import Place
from tests.processes import PYTHON, until

WEB = ByPart(part="web")
PLACE = Place("selfheal-web", "selfheal-web", labels={"part": "web"})
UP = """
import os, pathlib, subprocess, sys, time
run = pathlib.Path(sys.argv[1])
(run / "up.lock").write_text(f"{os.getpid()}\\n")
while True:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    (run / "web.pid").write_text(f"{child.pid}\\n")
    child.wait()
    (run / "web.pid").unlink()
    time.sleep(0.1)
"""


@pytest.fixture
def home(context: Any) -> Iterator[Path]:
    """A home in which something that does as `up` keeps a web process."""
    run = context.home / "run"
    run.mkdir(parents=True)
    playing = subprocess.Popen([PYTHON, "-c", UP, str(run)])
    assert until(lambda: supervised.running(WEB, context.home))
    yield context.home
    children = psutil.Process(playing.pid).children()
    playing.kill()
    playing.wait()
    for child in children:
        child.kill()


def pid_of(home: Path) -> int:
    return int((home / "run" / "web.pid").read_text())


@pytest.mark.parametrize("hangs", [False, True])
def test_it_is_ended_and_started_again_even_if_it_hangs(home: Path, perform: Any, hangs: bool, monkeypatch: Any) -> None:
    monkeypatch.setattr(supervised, "TERM", 0.3)
    before = pid_of(home)
    if hangs:
        os.kill(before, signal.SIGSTOP)
    launched = perform(ACTIONS["process.restart"], {}, PLACE)
    assert launched.result.ok, launched.message
    after = launched.result.data["pid"]
    assert after == pid_of(home) != before
    assert launched.message == f"{before} was ended by {'KILL' if hangs else 'TERM'}; web runs as {after}"
    assert not psutil.pid_exists(before)


def test_a_check_sees_it(home: Path, perform: Any) -> None:
    assert perform(CHECKS["process_up"], {}, PLACE).result.ok


def test_it_cannot_be_stopped(home: Path, perform: Any) -> None:
    before = pid_of(home)
    launched = perform(ACTIONS["process.stop"], {}, PLACE)
    assert not launched.result.ok
    assert "can be restarted, and not stopped" in launched.message
    assert pid_of(home) == before


def test_a_process_that_is_no_child_of_up_is_never_ended(home: Path, context: Any) -> None:
    stranger = subprocess.Popen(["/bin/sleep", "600"])
    os.kill(psutil.Process(pid_of(home)).ppid(), signal.SIGSTOP)  # so that the pidfile stays as it is written here
    try:
        (home / "run" / "web.pid").write_text(f"{stranger.pid}\n")
        assert supervised.running(WEB, home) is None
        assert not supervised.look(WEB, context).ok
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_where_no_up_runs_it_says_so_at_once(perform: Any) -> None:
    launched = perform(ACTIONS["process.restart"], {}, PLACE)
    assert not launched.timed_out
    assert "`selfheal up` keeps no web" in launched.message


def test_a_part_that_up_does_not_start_again_is_waited_for_and_no_longer_than_that(
    home: Path, perform: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervised, "WAIT", 0.3)
    supervisor = psutil.Process(pid_of(home)).ppid()
    os.kill(supervisor, signal.SIGSTOP)  # it lives, and starts nothing
    launched = perform(ACTIONS["process.restart"], {}, PLACE)
    os.kill(supervisor, signal.SIGCONT)
    assert not launched.timed_out
    assert "`selfheal up` keeps no web" in launched.message


@pytest.mark.parametrize("part", ["beat", "worker:control", "worker:runs", "broker", "worker:runs.edge-1", "../web"])
def test_a_part_on_which_healing_stands_is_refused_before_anything_is_planned(part: str) -> None:
    with pytest.raises(Invalid, match="only web and sequencer are") as raised:
        known(Place("it", "it", labels={"part": part}))
    assert raised.value.field == "labels.part"


def test_a_part_on_another_machine_is_not_for_up_here() -> None:
    with pytest.raises(NotApplicable, match="reached by ssh"):
        known(Place("it", "it", via="ssh", user="heal", labels={"part": "web"}))


def test_a_unit_that_is_named_beside_the_part_keeps_it() -> None:
    both = {"part": "worker:runs.edge-1", "unit": "selfheal-worker-edge-1.service"}
    assert known(Place("it", "it", labels=both)).by == "unit"
