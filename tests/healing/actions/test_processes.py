"""How a process is known, and which ones are not it."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from healing.processes import ByPidfile, is_command, known, read_pidfile, running, same_command
from selfheal.errors import Invalid
from selfheal.places import Place
from tests.processes import PYTHON, until, zombie

START = ["/usr/bin/web", "--port", "80"]


def place(**labels):
    return Place("web", "web-01", labels=labels)


@pytest.mark.parametrize(
    ("labels", "frozen"),
    [
        ({"unit": "web@1.service"}, {"by": "unit", "unit": "web@1.service"}),
        ({"program": "group:web"}, {"by": "program", "program": "group:web"}),
        (
            {"program": "web", "supervisor_config": "/etc/supervisord.conf"},
            {"by": "program", "program": "web", "supervisor_config": "/etc/supervisord.conf"},
        ),
        (
            {"pidfile": "/run/web.pid", "start": '["/usr/bin/web", "--port", "80"]'},
            {"by": "pidfile", "pidfile": "/run/web.pid", "start": START},
        ),
        ({"unit": "web.service", "program": "web"}, {"by": "unit", "unit": "web.service"}),
    ],
)
def test_labels_say_how_a_process_is_known(labels, frozen):
    assert known(place(**labels)).model_dump(exclude_none=True) == frozen


@pytest.mark.parametrize(
    ("labels", "field"),
    [
        ({}, "labels"),
        ({"unit": "-rf"}, "labels.unit"),
        ({"unit": "a b"}, "labels.unit"),
        ({"unit": "web;reboot"}, "labels.unit"),
        ({"unit": "../x"}, "labels.unit"),
        ({"unit": ["web"]}, "labels.unit"),
        ({"program": "all"}, "labels.program"),
        ({"program": "group:*"}, "labels.program"),
        ({"program": "web", "supervisor_config": "supervisord.conf"}, "labels.supervisor_config"),
        ({"pidfile": "/run/web.pid"}, "labels.start"),
        ({"pidfile": "web.pid", "start": '["/bin/web"]'}, "labels.pidfile"),
        ({"pidfile": "/run/../etc/web.pid", "start": '["/bin/web"]'}, "labels.pidfile"),
        ({"pidfile": "/run/web.pid", "start": "/bin/web --port 80"}, "labels.start"),
        ({"pidfile": "/run/web.pid", "start": '{"a": 1}'}, "labels.start"),
        ({"pidfile": "/run/web.pid", "start": "[]"}, "labels.start"),
        ({"pidfile": "/run/web.pid", "start": '[""]'}, "labels.start"),
        ({"pidfile": "/run/web.pid", "start": '["/bin/web", 80]'}, "labels.start.1"),
        ({"pidfile": "/run/web.pid", "start": '["/bin/web", "a\\u0000b"]'}, "labels.start.1"),
    ],
)
def test_a_wrong_label_is_refused_by_name(labels, field):
    with pytest.raises(Invalid) as raised:
        known(place(**labels))
    assert raised.value.field == field


@pytest.mark.parametrize(
    ("shown", "start"),
    [
        (START, START),
        (["web", "--port", "80"], START),
        (["/usr/bin/python3.11", "-m", "web"], ["python3", "-m", "web"]),
        (["/srv/web", "--port", "80"], ["/usr/bin/env", "A=1", "/srv/web", "--port", "80"]),
        (["/srv/web", "--port", "80"], ["/usr/bin/nice", "-n", "5", "/srv/web", "--port", "80"]),
        (["nginx: master process /usr/sbin/nginx -g daemon off;"], ["/usr/sbin/nginx", "-g", "daemon off;"]),
    ],
)
def test_the_same_command_is_recognised(shown, start):
    assert same_command(shown, start)


@pytest.mark.parametrize(
    ("shown", "start"),
    [
        ([], START),
        (["/usr/bin/web", "--port", "81"], START),
        (["/usr/bin/web", "--port", "80", "--debug"], START),
        (["/usr/bin/web"], START),
        (["/usr/bin/other", "--port", "80"], START),
        (["vim", "/usr/bin/web", "--port", "80"], START),
        (["/bin/bash"], ["/usr/local/bin/bash"]),
        (["80"], START),
        (["--port", "80"], START),
        (["web --port 80 x"], START),
    ],
)
def test_another_command_is_not(shown, start):
    assert not same_command(shown, start)


@pytest.mark.parametrize("line", [f"#!{PYTHON}", f"#!/usr/bin/env -S {os.path.basename(PYTHON)} -u", f"#!{PYTHON} -u"])
def test_a_script_is_recognised_behind_its_interpreter(tmp_path, line, monkeypatch):
    monkeypatch.setenv("PATH", f"{os.path.dirname(PYTHON)}:{os.environ['PATH']}")
    script = tmp_path / "web"
    script.write_text(f"{line}\nimport time\ntime.sleep(60)\n")
    script.chmod(0o755)
    child = subprocess.Popen([script, "--port", "80"])
    try:
        assert until(lambda: is_command(child.pid, [str(script), "--port", "80"]))
        assert not is_command(child.pid, [str(script), "--port", "81"])
    finally:
        child.kill()
        child.wait()


def test_an_editor_on_the_script_is_not_the_script(tmp_path):
    script = tmp_path / "web"
    script.write_text("#!/bin/sh\nexec sleep 60\n")
    assert not same_command(["vim", str(script)], [str(script)])
    assert same_command(["/bin/sh", str(script)], [str(script)])


@pytest.fixture
def process(tmp_path):
    return ByPidfile(pidfile=str(tmp_path / "web.pid"), start=["/bin/sleep", "61"])


def write(process, text):
    with open(process.pidfile, "w") as file:
        file.write(text)


def test_a_pidfile_that_is_not_there_or_holds_no_pid_holds_no_process(process, tmp_path):
    assert running(process, tmp_path) is None
    for text in ("", "\n", "abc", "-1", "0", "99999999999", "12abc", "\0"):
        write(process, text)
        assert running(process, tmp_path) is None


def test_a_pidfile_of_a_process_that_is_gone_is_stale(process, tmp_path):
    child = subprocess.Popen(process.start)
    write(process, f"{child.pid}\n")
    assert until(lambda: running(process, tmp_path) == child.pid)
    child.kill()
    child.wait()
    assert running(process, tmp_path) is None


def test_a_zombie_pidfile_counts_as_dead(process, tmp_path):
    child = zombie()
    write(process, str(child.pid))
    assert running(process, tmp_path) is None
    child.wait()


def test_a_pid_that_went_to_a_stranger_is_stale(process, tmp_path):
    stranger = subprocess.Popen(["/bin/sleep", "62"])
    write(process, str(stranger.pid))
    assert until(lambda: is_command(stranger.pid, ["/bin/sleep", "62"]))
    assert running(process, tmp_path) is None
    stranger.kill()
    stranger.wait()


def test_a_pidfile_may_hold_more_lines_than_the_pid(process, tmp_path):
    write(process, " 123 \n/run/postgresql\n5432\n")
    assert read_pidfile(tmp_path / "web.pid") == 123


def test_labels_may_hold_the_list_itself():
    assert known(place(pidfile="/run/web.pid", start=START)).model_dump()["start"] == START
    assert json.loads(json.dumps(START)) == START
