"""The supervisor with small children, in a process of its own: it owns signals and waits for every child."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import carrying, end_all, until

SCRIPT = """
import os, signal, subprocess, sys, time
from pathlib import Path
from config import supervisor
from config.supervisor import Child, Supervisor

folder = Path(sys.argv[1])
supervisor.GENTLE = 0.5

def note(name, text=""):
    with (folder / name).open("a") as file:
        file.write(f"{time.monotonic()} {text}\\n")

def calm():
    time.sleep(60)

def deaf():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=False)
    note("deaf")
    time.sleep(60)

def crashing():
    note("crashing")
    raise ValueError("a fault of ours")

def last():
    signal.signal(signal.SIGTERM, lambda *_: (note("last", str(len(list(folder.glob("*.pid"))))), os._exit(0)))
    note("listens")
    time.sleep(60)

programs = {"calm": calm, "deaf": deaf, "crashing": crashing, "last": last}
boss = Supervisor([Child(name, programs[name], last=name == "last") for name in sys.argv[2:]], folder)
boss.start(*sys.argv[2:])
boss.run(lambda: 60.0)
"""


class Boss:
    def __init__(self, folder: Path) -> None:
        self.folder, self.marker = folder, f"boss-{uuid.uuid4()}"
        self.process: subprocess.Popen[str] | None = None

    def start(self, *names: str) -> subprocess.Popen[str]:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(self.folder), *names],
            env=os.environ | {"MARKER": self.marker},
            stderr=subprocess.PIPE,
            text=True,
        )
        assert until(lambda: all(self.pid(name) or name == "crashing" for name in names))
        return self.process

    def pid(self, name: str) -> int:
        path = self.folder / f"{name}.pid"
        return int(path.read_text() or 0) if path.exists() else 0

    def times(self, name: str) -> list[float]:
        path = self.folder / name
        return [float(line.split()[0]) for line in path.read_text().splitlines()] if path.exists() else []

    def left(self) -> list[object]:
        return list(carrying(self.marker))


@pytest.fixture
def boss(tmp_path: Path) -> Iterator[Boss]:
    found = Boss(tmp_path)
    yield found
    end_all(found.marker)


def test_a_child_that_does_not_hear_is_killed_with_all_that_it_forked(boss: Boss) -> None:
    process = boss.start("calm", "deaf")
    assert until(lambda: len(boss.left()) == 4 and boss.times("deaf"))
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert until(lambda: not boss.left())
    assert process.stderr is not None
    assert "deaf" in process.stderr.read()


def test_who_is_marked_last_goes_after_the_others(boss: Boss) -> None:
    process = boss.start("last", "calm")
    assert until(lambda: boss.times("listens"))
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    assert (boss.folder / "last").read_text().split()[1] == "1"


def test_a_child_that_always_dies_is_started_again_more_and_more_slowly(boss: Boss) -> None:
    boss.start("crashing")
    assert until(lambda: len(boss.times("crashing")) >= 4)
    times = boss.times("crashing")
    pauses = [after - before for before, after in itertools.pairwise(times)]
    assert pauses[0] >= 0.2
    assert pauses[1] >= 0.4
    assert pauses[2] >= 0.8


def test_a_supervisor_that_is_killed_takes_its_children_along(boss: Boss) -> None:
    process = boss.start("calm", "last")
    process.kill()
    process.wait(60)
    assert until(lambda: not boss.left())


def test_a_second_signal_does_not_wait_for_who_does_not_hear(boss: Boss) -> None:
    process = boss.start("deaf")
    assert until(lambda: boss.times("deaf"))
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
