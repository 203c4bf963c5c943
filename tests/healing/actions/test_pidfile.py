"""`process.*` on real processes that stand in a pidfile."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from healing.actions import ACTIONS
from healing.checks import CHECKS
from healing.processes import alive, known, record_path
from selfheal.places import Place
from tests.processes import PYTHON, carrying, until, zombie

WEB = "import time; print('up', flush=True); time.sleep(60)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {WEB}"
WRITES = "import os, sys, time; open(sys.argv[2], 'w').write(str(os.getpid())); time.sleep(60)"
DAEMON = """
import os, sys, time
if os.fork():
    os._exit(0)
os.setsid()
time.sleep(0.1)
open(sys.argv[2], "w").write(str(os.getpid()))
time.sleep(60)
"""


@pytest.fixture
def web(tmp_path, marker):
    """A service that is known by a pidfile; called with the script that it is."""

    def made(script=WEB, name="web"):
        pidfile = tmp_path / f"{name}.pid"
        start = [PYTHON, "-c", script, marker, str(pidfile)]
        return Place("web", "web-01", labels={"pidfile": str(pidfile), "start": json.dumps(start)})

    return made


def pidfile(place):
    return Path(place.labels["pidfile"])


def start_by_hand(place):
    """As an operator's own script would: the process, and its pidfile."""
    child = subprocess.Popen(json.loads(place.labels["start"]), start_new_session=True, stdout=subprocess.PIPE)
    child.stdout.readline()
    pidfile(place).write_text(f"{child.pid}\n")
    return child


@pytest.fixture
def verb(perform):
    return lambda name, place, **more: perform(ACTIONS[f"process.{name}"], {}, place, **more)


@pytest.fixture
def up(perform):
    return lambda place: perform(CHECKS["process_up"], {}, place)


def test_what_is_down_is_started_and_outlives_its_step(verb, up, web, marker, context):
    place = web()
    assert not up(place).result.ok
    launched = verb("start", place)
    (process,) = carrying(marker)
    assert launched.message == f"started as {process.pid}"
    assert launched.result.data["pid"] == process.pid
    assert pidfile(place).read_text() == f"{process.pid}\n"
    assert (context.home / "logs" / "web_web-01.log").read_text() == "up\n"
    assert up(place).message == f"process {process.pid} runs"


def test_what_runs_is_not_started_again(verb, web, marker):
    place = web()
    first = verb("start", place)
    second = verb("start", place)
    assert (second.result.ok, second.message) == (True, f"is already running as {first.result.data['pid']}")
    assert second.result.data == first.result.data
    assert len(carrying(marker)) == 1


def test_what_was_started_by_hand_is_known_by_its_command(verb, up, web, marker):
    place = web()
    child = start_by_hand(place)
    assert up(place).message == f"process {child.pid} runs"
    assert verb("start", place).message == f"is already running as {child.pid}"
    launched = verb("restart", place)
    child.wait()
    assert launched.message == f"stopped {child.pid} by TERM; started as {launched.result.data['pid']}"
    assert [process.pid for process in carrying(marker)] == [launched.result.data["pid"]]


def test_a_program_that_writes_its_own_pidfile_is_let(verb, web):
    place = web(WRITES)
    begun = time.monotonic()
    launched = verb("start", place)
    assert pidfile(place).read_text() == str(launched.result.data["pid"])  # no newline: not ours
    assert time.monotonic() - begun < 20


def test_a_program_that_makes_itself_a_daemon_is_adopted(verb, up, web):
    place = web(DAEMON)
    launched = verb("start", place)
    assert launched.result.ok
    assert launched.result.data["pid"] == int(pidfile(place).read_text())
    assert up(place).result.ok
    assert verb("stop", place).result.ok


@pytest.mark.parametrize("name", ["start", "restart"])
def test_a_process_that_died_is_started(verb, up, web, name):
    place = web()
    child = start_by_hand(place)
    child.kill()
    child.wait()
    assert up(place).message == f"{pidfile(place)} holds {child.pid}, which is stale"
    assert verb(name, place).result.ok
    assert up(place).result.ok


@pytest.mark.parametrize("name", ["start", "restart"])
def test_a_zombie_of_somebody_else_is_restarted(verb, up, web, name):
    place = web()
    child = start_by_hand(place)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE
    assert verb(name, place).result.ok
    assert up(place).result.ok
    child.wait()


@pytest.mark.parametrize("name", ["stop", "restart"])
def test_a_pid_that_went_to_a_stranger_is_not_signalled(verb, web, name):
    place = web()
    stranger = subprocess.Popen(["/bin/sleep", "60"])
    pidfile(place).write_text(str(stranger.pid))
    assert verb(name, place).result.ok
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


def test_a_process_that_ignores_term_is_killed_after_five_seconds(verb, web, marker):
    place = web(STUBBORN)
    pid = verb("start", place).result.data["pid"]
    begun = time.monotonic()
    assert verb("stop", place).message == f"stopped {pid} by KILL"
    assert 5 <= time.monotonic() - begun < 20
    assert not carrying(marker)


def test_the_group_that_it_leads_goes_with_it(verb, web, marker):
    place = web(f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {WEB!r}, sys.argv[1]]); {WEB}")
    verb("start", place)
    assert until(lambda: len(carrying(marker)) == 2)
    assert verb("stop", place).result.ok
    assert not carrying(marker)


def test_stopping_what_does_not_run_is_done_already(verb, web):
    place = web()
    child = zombie()
    pidfile(place).write_text(str(child.pid))
    assert verb("stop", place).message == "was not running"
    assert not pidfile(place).exists()
    child.wait()


def test_stopping_removes_pidfile_and_record(verb, web, context):
    place = web()
    verb("start", place)
    assert record_path(known(place), context.home).exists()
    verb("stop", place)
    assert not pidfile(place).exists()
    assert not record_path(known(place), context.home).exists()


def test_a_program_that_ends_at_once_failed_and_its_last_words_are_kept(verb, web):
    launched = verb("start", web("raise SystemExit('the port is taken')"))
    assert not launched.result.ok
    assert "ended at once; its output is in" in launched.message
    assert "the port is taken" in launched.stderr


def test_a_program_that_does_not_exist_failed(verb, tmp_path):
    place = Place("web", "web-01", labels={"pidfile": str(tmp_path / "web.pid"), "start": '["/no/such/web"]'})
    assert verb("start", place).message == "cannot be started: No such file or directory: /no/such/web"


def test_a_start_whose_worker_died_before_the_pidfile_is_found_by_its_record(verb, web, marker, context):
    place = web()
    pid = verb("start", place).result.data["pid"]
    pidfile(place).unlink()  # as if the worker had died between the start and the pidfile
    assert verb("start", place).message == f"is already running as {pid}"
    assert pidfile(place).read_text() == f"{pid}\n"
    assert len(carrying(marker)) == 1


def test_a_changed_title_does_not_hide_what_we_started(verb, up, web, marker):
    place = web(f"import setproctitle, sys; setproctitle.setproctitle('web: master ' + sys.argv[1]); {WEB}")
    pid = verb("start", place).result.data["pid"]
    assert until(lambda: psutil.Process(pid).cmdline()[0].startswith("web: master"))
    assert up(place).result.ok
    assert verb("stop", place).message == f"stopped {pid} by TERM"


def test_a_changed_start_command_still_stops_what_was_started_before(verb, web, marker):
    before, after = web(), web(WEB + "  # new")
    old = verb("start", before).result.data["pid"]
    launched = verb("restart", after)
    assert launched.message.startswith(f"stopped {old} by TERM; started as ")
    assert not alive(old)


def test_two_services_do_not_meet(verb, up, web):
    one, two = web(name="one"), web(name="two")
    first, second = verb("start", one), verb("start", two)
    assert verb("stop", one).message == f"stopped {first.result.data['pid']} by TERM"
    assert up(two).message == f"process {second.result.data['pid']} runs"


def test_a_pidfile_that_cannot_be_read_is_no_success(verb, web, context):
    place = web()
    pidfile(place).mkdir()
    launched = verb("start", place)
    assert not launched.result.ok
    assert "IsADirectoryError" in launched.message


def test_a_start_that_is_killed_midway_leaves_its_program_and_its_record(verb, web, marker, context):
    place = web()
    launched = verb("start", place, bound=0.4)  # the program does not write its pidfile, so a start takes a second
    assert launched.timed_out
    (process,) = carrying(marker)
    assert verb("start", place).message == f"is already running as {process.pid}"
