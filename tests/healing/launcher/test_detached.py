from __future__ import annotations

import json
import os
import signal

import psutil
import pytest

from healing.detached import spawn, started_of
from healing.launcher import launch
from healing.result import Result
from tests.processes import PYTHON, SETTABLE, carrying, until

REPORT = """
import json, os, sys, time
seen = {
    "files": sorted(fd for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}")),
    "stdin": os.readlink("/proc/self/fd/0"), "environment": sorted(os.environ), "cwd": os.getcwd(),
    "umask": os.umask(0), "group": os.getpgrp() == os.getpid(), "session": os.getsid(0),
}
print(json.dumps(seen), flush=True)
time.sleep(60)
"""


@pytest.fixture
def sleeper(marker):
    """A long program that carries the marker; ended after the test."""
    yield [PYTHON, "-c", REPORT, marker]
    for process in carrying(marker):
        process.kill()
    assert until(lambda: not carrying(marker))


def test_it_outlives_the_launch_that_asked_for_it(sleeper, marker, tmp_path):
    log = tmp_path / "logs" / "web.log"

    def work(channel):
        spawned = channel.spawn(sleeper, log=log, env={"PORT": "1"})
        return Result(True, "", {"pid": spawned.pid, "started": spawned.started})

    launched = launch(work, bound_seconds=5)
    (process,) = carrying(marker)
    assert launched.result.data == {"pid": process.pid, "started": started_of(process.pid)}
    assert process.ppid() not in (os.getpid(), 0)
    assert os.getsid(process.pid) != os.getsid(0)
    assert until(lambda: log.read_text().endswith("\n"))
    seen = json.loads(log.read_text())
    assert seen["files"] == ["0", "1", "2"]
    assert (seen["stdin"], seen["cwd"], seen["umask"]) == ("/dev/null", "/", 0o022)
    assert [name for name in seen["environment"] if name != "LC_CTYPE"] == ["HOME", "LANG", "PATH", "PORT"]
    assert seen["group"]


def test_nothing_is_left_between(sleeper, children):
    me = psutil.Process()
    before = me.num_fds()
    spawned = spawn(sleeper)
    assert children() == []
    assert me.num_fds() == before
    assert psutil.Process(spawned.pid).ppid() != me.pid


def test_it_ignores_and_blocks_no_signal(tmp_path):
    log = tmp_path / "log"
    spawn(["/bin/grep", "-E", "Sig(Ign|Blk)", "/proc/self/status"], log=log)
    assert until(lambda: log.exists() and log.read_text().count("\n") == 2)
    assert [int(line.split()[1], 16) & SETTABLE for line in log.read_text().splitlines()] == [0, 0]


def test_its_outputs_are_appended(sleeper, tmp_path):
    log = tmp_path / "web.log"
    log.write_text("before\n")
    spawn(["/bin/sh", "-c", "echo after; echo error >&2"], log=log)
    assert until(lambda: log.read_text() == "before\nafter\nerror\n")


@pytest.mark.parametrize(
    ("argv", "error"),
    [(["/no/such/program"], "No such file or directory: /no/such/program"), (["/etc/passwd"], "Permission denied: /etc/passwd")],
)
def test_an_error_of_the_start_comes_back(argv, error, tmp_path, children):
    record = tmp_path / "record.json"
    with pytest.raises(OSError, match=error):
        spawn(argv, record=record)
    assert not record.exists()
    assert children() == []


def test_an_error_of_the_start_reaches_the_work():
    launched = launch(lambda channel: channel.spawn(["/no/such/program"]), bound_seconds=5)
    assert "No such file or directory: /no/such/program" in launched.message


def test_a_program_is_looked_for_in_path(marker):
    spawned = spawn(["sleep", "30"], env={"M": marker})
    assert psutil.Process(spawned.pid).cmdline() == ["sleep", "30"]
    os.kill(spawned.pid, signal.SIGKILL)


def test_the_record_is_written_before_the_program_begins(tmp_path, marker):
    record = tmp_path / "started" / "web.json"
    copy = tmp_path / "copy.json"
    spawned = spawn(["/bin/cp", str(record), str(copy)], record=record)
    assert until(copy.exists)
    assert until(copy.read_text)
    assert json.loads(copy.read_text()) == {
        "pid": spawned.pid,
        "started": spawned.started,
        "argv": ["/bin/cp", str(record), str(copy)],
    }


def test_a_start_is_named_so_that_no_other_process_shares_it(sleeper):
    first, second = spawn(sleeper), spawn(sleeper)
    assert first.started == started_of(first.pid)
    assert (first.pid, first.started) != (second.pid, second.started)
    assert started_of(2**22 + 1) == ""
