"""`process.*` on a real supervisord."""

from __future__ import annotations

import os
import subprocess

import pytest

from healing.actions import ACTIONS
from healing.actions import supervisord as supervisord_
from healing.actions.supervisord import command, state_in
from healing.actions.tools import ToolError, find
from healing.checks import CHECKS
from healing.processes import ByProgram
from healing.result import Result
from selfheal.places import Place
from tests.processes import PYTHON, carrying, until

CONFIG = """
[unix_http_server]
file = {home}/s
[supervisord]
logfile = {home}/supervisord.log
pidfile = {home}/supervisord.pid
nodaemon = true
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl = unix://{home}/s
[program:web]
command = {python} -c "import time; time.sleep(60)" {marker}
startsecs = 0
[program:broken]
command = {python} -c "raise SystemExit(1)" {marker}
autostart = false
startsecs = 30
startretries = 0
"""


@pytest.fixture
def supervisord(tmp_path, marker):
    config = tmp_path / "supervisord.conf"
    config.write_text(CONFIG.format(home=tmp_path, python=PYTHON, marker=marker))
    daemon = subprocess.Popen([find("supervisord"), "-c", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert until(lambda: os.path.exists(tmp_path / "s") and carrying(marker), 20)
    yield lambda program="web": Place("web", "web-01", labels={"program": program, "supervisor_config": str(config)})
    daemon.terminate()
    daemon.wait()


@pytest.fixture
def verb(perform):
    return lambda name, place: perform(ACTIONS[f"process.{name}"], {}, place)


def test_a_program_is_restarted_stopped_and_started(supervisord, verb, perform, marker):
    place, up = supervisord(), CHECKS["process_up"]
    (first,) = carrying(marker)
    assert perform(up, {}, place).message == "web is RUNNING"
    assert verb("start", place).message == "web is RUNNING already"
    assert verb("restart", place).message == "web is RUNNING"
    (second,) = carrying(marker)
    assert first.pid != second.pid
    assert verb("stop", place).message == "web is STOPPED"
    assert not carrying(marker)
    assert not perform(up, {}, place).result.ok
    assert verb("stop", place).message == "web is STOPPED already"
    assert verb("restart", place).message == "web is RUNNING"  # also one that is down
    assert len(carrying(marker)) == 1


def test_a_program_that_does_not_come_up_failed(supervisord, verb):
    launched = verb("start", supervisord("broken"))
    assert not launched.result.ok
    assert launched.message.startswith("broken is FATAL: ")


def test_a_program_that_it_does_not_know_failed(supervisord, verb):
    launched = verb("restart", supervisord("other"))
    assert not launched.result.ok
    assert "no such process" in launched.message


def test_a_supervisord_that_is_not_there_failed(tmp_path, verb):
    config = tmp_path / "supervisord.conf"
    config.write_text(CONFIG.format(home=tmp_path, python=PYTHON, marker="x"))
    place = Place("web", "web-01", labels={"program": "web", "supervisor_config": str(config)})
    launched = verb("restart", place)
    assert not launched.result.ok
    assert "no such file" in launched.message


def test_the_argument_list_names_the_configuration():
    assert command(ByProgram(program="web", supervisor_config="/etc/s.conf"), "status")[1:] == [
        "-c",
        "/etc/s.conf",
        "status",
        "web",
    ]
    assert command(ByProgram(program="a:b"), "stop")[1:] == ["stop", "a:b"]


@pytest.mark.parametrize(
    ("text", "name", "state"),
    [
        ("web                              RUNNING   pid 12, uptime 0:00:01\n", "web", "RUNNING"),
        ("web:web   STOPPED   Nov 24 06:00 PM", "web", "STOPPED"),
        ("a:b  FATAL     Exited too quickly (process log may have details)", "a:b", "FATAL"),
        ("UserWarning: something\nweb BACKOFF   can't find command", "web", "BACKOFF"),
    ],
)
def test_a_state_is_read_from_its_line(text, name, state):
    assert state_in(text, name) == state


@pytest.mark.parametrize("text", ["", "web: ERROR (no such process)", "other RUNNING pid 1", "unix:///s refused connection"])
def test_what_names_no_state_is_an_error(text):
    with pytest.raises(ToolError, match="supervisorctl does not show web"):
        state_in(text, "web")


def test_a_program_between_two_states_is_waited_for(context, monkeypatch):
    states = iter(["STOPPED", "STARTING", "STARTING", "RUNNING"])
    monkeypatch.setattr(supervisord_, "status", lambda program, machine: next(states))
    monkeypatch.setattr(supervisord_.Machine, "ask", lambda self, *argv, **how: "web: started")
    monkeypatch.setattr(supervisord_, "PAUSE", 0)
    assert supervisord_.start(ByProgram(program="web"), context) == Result(True, "web is RUNNING", {"state": "RUNNING"})
