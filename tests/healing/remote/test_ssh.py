"""`via: ssh` on a real sshd: the client's argument list, the forced command behind it, and actions on top of both."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from dataclasses import replace

import psutil
import pytest

from healing.actions import ACTIONS
from healing.checks import CHECKS
from healing.launcher import launch
from healing.remote import client, ssh
from healing.remote.client import RemoteError
from selfheal.commands import Command
from tests.healing.remote.conftest import HOST, keygen
from tests.processes import PYTHON, carrying, until

ODD = ["a b", "", 'quo"te', "it's", "two\nlines\ttab", "ünïcödé ☃ 😀", "; touch /x", "$(id)", "`id`", "${HOME}", "*", "\\n", "-x"]
SHOW = "import json,sys; print(json.dumps(sys.argv[1:]))"
STAYS = "import time; time.sleep(600)"
STUBBORN = """import os, signal, time
for number in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
time.sleep(600)
"""
SYSTEMCTL = """#!/bin/sh
echo "$@" >> {calls}
[ "$1" = show ] && cat {state}
exit 0
"""

pytestmark = pytest.mark.xdist_group("sshd")  # one daemon for all of them


@pytest.fixture
def run(sshd, perform):
    """`command.run` of this argument list on the host."""

    def ran(argv, **more):
        return perform(ACTIONS["command.run"], {"argv": argv}, sshd.place(command_allow=(argv[0],)), **more)

    return ran


def test_arguments_arrive_byte_for_byte(sshd, run):
    sshd.allow(PYTHON)
    launched = run([PYTHON, "-c", SHOW, *ODD])
    assert launched.result.ok, launched.message + launched.stderr
    assert json.loads(launched.stdout) == ODD


def test_exit_code_and_both_outputs_come_back(sshd, run):
    sshd.allow(PYTHON)
    launched = run([PYTHON, "-c", "import sys; print('out'); print('err', file=sys.stderr); sys.exit(7)"])
    assert (launched.result.ok, launched.message, launched.result.data) == (False, "exit code 7 on 127.0.0.1", {"exit_code": 7})
    assert (launched.stdout, launched.stderr) == ("out\n", "err\n")


def test_the_exit_code_that_ssh_uses_for_its_own_failures_is_told_apart(sshd, run):
    sshd.allow(PYTHON)
    assert run([PYTHON, "-c", "raise SystemExit(255)"]).message == "exit code 255 on 127.0.0.1"


def test_a_check_looks_at_the_host(sshd, perform):
    sshd.allow("/bin/true", "/bin/false")
    for program, ok in (("/bin/true", True), ("/bin/false", False)):
        launched = perform(CHECKS["command"], {"argv": [program]}, sshd.place(command_allow=(program,)))
        assert launched.result.ok is ok


@pytest.mark.parametrize("rule", ["/bin/echo", f"{PYTHON} -V", f"{PYTHON} -c pass *"])
def test_what_the_allow_list_of_the_host_does_not_name_is_refused(sshd, run, rule):
    sshd.allow(rule)
    launched = run([PYTHON, "-c", "pass"])
    assert not launched.result.ok
    assert launched.message == f'refused: "{PYTHON}" with these arguments is not in the allow-list of this host on {HOST}'


def test_a_changed_host_key_is_refused(sshd, run, context, tmp_path):
    sshd.allow("/bin/true")
    other = keygen(tmp_path / "other")
    (tmp_path / "known_hosts").write_text(f"[{HOST}]:{sshd.port} {other}\n")
    launched = run(["/bin/true"], context=replace(context, ssh=replace(sshd.keys, known_hosts=tmp_path / "known_hosts")))
    assert not launched.result.ok
    assert "HOST IDENTIFICATION HAS CHANGED" in launched.stderr
    assert launched.message.startswith(f"{sshd.remote} cannot be asked by ssh: ")


def test_an_unknown_host_is_refused(sshd, run, context, tmp_path):
    sshd.allow("/bin/true")
    launched = run(["/bin/true"], context=replace(context, ssh=replace(sshd.keys, known_hosts=tmp_path / "none")))
    assert not launched.result.ok
    assert "Host key verification failed" in launched.message


def test_another_key_is_refused(sshd, run, context, tmp_path):
    keygen(tmp_path / "stranger")
    launched = run(["/bin/true"], context=replace(context, ssh=replace(sshd.keys, key_file=tmp_path / "stranger")))
    assert "Permission denied (publickey)" in launched.message


def test_a_secret_goes_by_standard_input_and_comes_back_masked(sshd, perform, context):
    """The program looks into every argument list of the machine, the client's and the script's among them."""
    (context.secrets_dir / "token").write_text("hunter2-Zq")
    look = """import glob, os
token = os.environ["TOKEN"]
def holds(path):
    try:
        return token.encode() in open(path, "rb").read()
    except OSError:  # it ended in this moment
        return False
print(token, len(token), list(filter(holds, glob.glob("/proc/[0-9]*/cmdline"))))
"""
    sshd.allow(PYTHON, "env TOKEN")
    command = Command(argv=[PYTHON, "-c", look], env={"TOKEN": "${secret.token}"})
    launched = perform(ACTIONS["command.run"], {"command": "it"}, sshd.place(commands={"it": command}))
    assert launched.stdout == "*** 10 []\n", launched.message + launched.stderr


def test_a_program_gets_a_clean_environment(sshd, run):
    sshd.allow(PYTHON)
    launched = run([PYTHON, "-c", "import os; print(*sorted(set(os.environ) - {'LC_CTYPE'}))"])
    assert launched.stdout == "HOME LANG PATH\n"


def test_the_limits_of_a_command_hold_there_too(sshd, perform):
    sshd.allow(PYTHON)
    command = Command.model_validate({"argv": [PYTHON, "-c", "x = 'x' * (1 << 30)"], "limits": {"memory_mib": 256}})
    launched = perform(ACTIONS["command.run"], {"command": "it"}, sshd.place(commands={"it": command}))
    assert "MemoryError" in launched.stderr


def test_a_stubborn_program_and_its_daemon_are_gone_when_the_step_is_ended(sshd, context, marker):
    """They are first seen alive, then the worker cancels; that ends the client, and that the far side."""
    sshd.allow(PYTHON)
    place = sshd.place(command_allow=(PYTHON,))
    arguments = ACTIONS["command.run"].freeze({"argv": [PYTHON, "-c", STUBBORN, marker]}, place)
    launched = launch(
        lambda channel: ACTIONS["command.run"].run(arguments, context.on(channel)),
        bound_seconds=120,
        wake=lambda: "seen enough" if len(carrying(marker)) == 2 else "",
    )
    assert launched.message.startswith("was ended: seen enough")
    assert until(lambda: not carrying(marker), 60)


def test_the_far_side_keeps_the_bound_as_well(sshd, marker):
    sshd.allow(PYTHON)
    result = client.run(sshd.remote, sshd.keys, [PYTHON, "-c", STAYS, marker], 1.0, env={}, limits={})
    assert result.message == f"{PYTHON} was ended: its bound of 1 s passed on {HOST}"
    assert not carrying(marker)


def test_a_killed_client_ends_the_program(sshd, marker):
    sshd.allow(PYTHON)
    results = []
    argv = [PYTHON, "-c", STAYS, marker]
    call = threading.Thread(target=lambda: results.append(client.run(sshd.remote, sshd.keys, argv, 120, env={}, limits={})))
    call.start()
    assert until(lambda: carrying(marker), 60)
    (ours,) = [child for child in psutil.Process().children() if child.name() == "ssh"]
    ours.send_signal(signal.SIGKILL)
    call.join(60)
    assert results[0].message == f"{sshd.remote} cannot be asked by ssh: it said nothing"
    assert until(lambda: not carrying(marker), 60)


def test_a_host_that_says_too_much_is_cut_off(sshd):
    sshd.allow(PYTHON)
    with pytest.raises(RemoteError, match="said more than 1,048,576 bytes"):
        client.ask(sshd.remote, sshd.keys, [PYTHON, "-c", "while True: print('x' * 1000)"], 60)


def test_a_host_that_is_not_there_says_so(sshd):
    with pytest.raises(RemoteError, match="Connection refused"):
        client.ping(sshd.remote.model_copy(update={"port": 1}), sshd.keys)


@pytest.mark.parametrize("extra", [["-W", "127.0.0.1:22"], ["-N", "-R", "0:127.0.0.1:22"]])
def test_a_stolen_key_forwards_nothing(sshd, extra):
    """Without any of our own options: the line in authorized_keys refuses it."""
    known = ["-o", f"UserKnownHostsFile={sshd.keys.known_hosts}", "-o", "BatchMode=yes", "-o", "ExitOnForwardFailure=yes"]
    argv = [ssh.SSH, "-F", "none", "-i", sshd.keys.key_file, *known, *extra, "-p", str(sshd.port), "-l", sshd.remote.user, HOST]
    done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60, check=False)
    assert done.returncode == 255
    assert "prohibited" in done.stderr or "remote port forwarding failed" in done.stderr


def test_a_command_of_the_client_is_not_looked_at(sshd, tmp_path):
    sshd.allow("/bin/true")
    argv = [*ssh.command(sshd.remote, sshd.keys.key_file, sshd.keys.known_hosts), f"touch {tmp_path}/canary"]
    done = subprocess.run(argv, capture_output=True, text=True, input='{"ping": true}\n', timeout=60, check=False)
    assert json.loads(done.stdout)["allow"] == ["/bin/true"]
    assert not (tmp_path / "canary").exists()


@pytest.fixture
def systemctl(tmp_path, sshd):
    """A systemctl that only the host has, whose units are in this state; returns what it was called with."""

    def made(state):
        (tmp_path / "state").write_text(state)
        tool = tmp_path / "systemctl"
        tool.write_text(SYSTEMCTL.format(calls=tmp_path / "calls", state=tmp_path / "state"))
        tool.chmod(0o755)
        sshd.allow(str(tool))
        return lambda: (tmp_path / "calls").read_text().splitlines()

    return made


def test_a_unit_is_restarted_on_its_host(systemctl, sshd, perform):
    calls = systemctl("ActiveState=active\nSubState=running\n")
    place = sshd.place(labels={"unit": "web.service"})
    launched = perform(ACTIONS["process.restart"], {}, place)
    assert (launched.result.ok, launched.message) == (True, f"web.service on {HOST} is active (running)")
    assert calls()[0] == "--no-ask-password restart --no-block -- web.service"
    assert perform(CHECKS["process_up"], {}, place).result.ok


def test_a_job_that_does_not_end_is_cancelled_on_its_host_before_the_bound(systemctl, sshd, perform, context):
    calls = systemctl("ActiveState=activating\nSubState=start\nJob=77\n")
    place = sshd.place(labels={"unit": "web.service"})
    launched = perform(ACTIONS["process.restart"], {}, place, context=replace(context, bound_seconds=2), bound=60)
    assert launched.message == f"web.service on {HOST} had not settled in its time; its queued job 77 was cancelled"
    assert calls()[-1] == "--no-ask-password cancel -- 77"
