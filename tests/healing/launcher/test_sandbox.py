"""Commands in bubblewrap, where this machine has it; and what is done where it has not."""

from __future__ import annotations

import subprocess
from dataclasses import replace

import pytest

from healing import sandbox
from healing.actions import ACTIONS
from healing.actions.base import Context
from healing.context import context_of
from healing.forking import execute
from healing.launcher import launch
from healing.result import Result
from selfheal.commands import Command
from selfheal.places import Place
from tests.processes import PYTHON, carrying, until

RUN = ACTIONS["command.run"]
needs_bubblewrap = pytest.mark.skipif(not sandbox.found()[0], reason=f"bubblewrap is {sandbox.found()[1]}")


@pytest.fixture
def context(tmp_path):
    return Context(idempotency_key="k", service="web", target="web-01", home=tmp_path, sandbox=sandbox.prefix())


def run(context, script, *argv, bound=20, **command):
    made = Command.model_validate({"argv": [PYTHON, "-c", script, *argv], **command})
    frozen = RUN.freeze({"command": "it"}, Place("web", "web-01", commands={"it": made}))
    ready = replace(context, bound_seconds=bound)
    return launch(lambda channel: RUN.run(frozen, ready.on(channel)), bound_seconds=bound)


OTHERS = "import os; print(sorted(int(n) for n in os.listdir('/proc') if n.isdigit()))"


@needs_bubblewrap
def test_a_command_sees_no_process_but_its_own(context):
    assert run(context, OTHERS).stdout == "[1, 2]\n"


@needs_bubblewrap
def test_one_that_has_to_see_them_says_so(context):
    assert len(run(context, OTHERS, sandbox=False).stdout) > len("[1, 2]\n")


@needs_bubblewrap
def test_it_works_on_the_files_of_this_machine(context, tmp_path):
    assert run(context, f"open({str(tmp_path / 'mark')!r}, 'w').write('here')").result.ok
    assert (tmp_path / "mark").read_text() == "here"


@needs_bubblewrap
def test_it_does_not_see_what_is_hidden(context, tmp_path):
    (tmp_path / "signing.key").write_text("seed")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "token").write_text("s3cret")
    hidden = replace(context, sandbox=sandbox.prefix([tmp_path / "signing.key", tmp_path / "secrets", tmp_path / "none"]))
    script = f"""
import os
print(os.listdir({str(tmp_path / "secrets")!r}))
try:
    print(repr(open({str(tmp_path / "signing.key")!r}).read()))
except PermissionError:
    print("''")
"""
    assert run(hidden, script).stdout == "[]\n''\n"


@needs_bubblewrap
@pytest.mark.django_db
def test_what_opens_other_hosts_is_hidden_wherever_it_lies(tmp_path, settings):
    key = settings.SELF_HEAL_SSH_KEY_FILE = tmp_path / "key"
    key.write_text("ours")
    assert str(key) in context_of("web", "web-01", key="step:1", bound_seconds=5.0).sandbox


@needs_bubblewrap
def test_it_gains_no_privileges(context):
    script = "print([line.split()[1] for line in open('/proc/self/status') if line.startswith('NoNewPrivs')])"
    assert run(context, script).stdout == "['1']\n"


@needs_bubblewrap
def test_a_command_that_obeys_term_has_time_to_clean_up(context):
    script = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (print('cleaned up', flush=True), sys.exit(3)))
print('ready', flush=True)
time.sleep(60)
"""
    launched = run(context, script, bound=1)
    assert (launched.timed_out, launched.exit_code) == (True, 3)
    assert launched.stdout == "ready\ncleaned up\n"


@needs_bubblewrap
def test_a_daemon_ends_with_its_command(context, marker):
    script = "import subprocess, sys; subprocess.Popen(['/bin/sleep', '60'], start_new_session=True, env={'M': sys.argv[1]})"
    assert run(context, script, marker).result.ok
    assert until(lambda: not carrying(marker))


@needs_bubblewrap
def test_the_exit_code_is_the_command_s(context):
    assert run(context, "raise SystemExit(7)").message == "exit code 7"


def test_a_program_that_is_not_there_says_so_in_the_sandbox_too(context):
    made = Command.model_validate({"argv": ["/no/such/program"]})
    frozen = RUN.freeze({"command": "it"}, Place("web", "web-01", commands={"it": made}))
    launched = launch(lambda channel: RUN.run(frozen, context.on(channel)), bound_seconds=5)
    assert launched.message == "/no/such/program cannot be started: No such file or directory"


LIMITS = """
import json, resource
names = ("CORE", "NOFILE", "NPROC", "CPU", "AS", "FSIZE")
print(json.dumps([resource.getrlimit(getattr(resource, "RLIMIT_" + name))[0] for name in names]))
"""


@pytest.mark.parametrize("sandboxed", [True, False])
def test_a_command_has_limits(context, sandboxed, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    limits = {"memory_mib": 512, "file_size_mib": 100}
    launched = run(context, LIMITS, bound=20, sandbox=sandboxed, limits=limits)
    assert launched.stdout == f"[0, 1024, 4096, 50, {512 << 20}, {100 << 20}]\n"


def test_a_command_that_takes_too_much_memory_fails(context):
    launched = run(context, "x = bytearray(600 << 20)", limits={"memory_mib": 512})
    assert "MemoryError" in launched.stderr


def test_a_command_that_writes_too_much_fails(context, tmp_path):
    script = f"open({str(tmp_path / 'big')!r}, 'wb').write(bytes(2 << 20))"
    assert not run(context, script, limits={"file_size_mib": 1}).result.ok
    assert (tmp_path / "big").stat().st_size <= 1 << 20


@pytest.fixture
def fresh():
    sandbox.found.cache_clear()
    yield
    sandbox.found.cache_clear()


@pytest.mark.parametrize(
    ("program", "says"),
    [("", "bubblewrap is not installed"), ("/bin/false", "may not make namespaces here"), ("/no/such", "cannot be tried")],
)
def test_where_there_is_none_the_word_says_why_and_nothing_stands_before_a_command(fresh, monkeypatch, program, says):
    monkeypatch.setattr("shutil.which", lambda *_, **__: program or None)
    assert says in sandbox.found()[1]
    assert sandbox.prefix() == ()


def test_a_sandbox_that_hangs_is_not_waited_for(fresh, monkeypatch):
    def hang(*_, **__):
        raise subprocess.TimeoutExpired("bwrap", 5)

    monkeypatch.setattr("subprocess.run", hang)
    monkeypatch.setattr("shutil.which", lambda *_, **__: "/usr/bin/bwrap")
    assert "cannot be tried: TimeoutExpired" in sandbox.found()[1]


@needs_bubblewrap
def test_a_launcher_that_is_killed_takes_the_sandbox_with_it(marker, context):
    import psutil

    mine = set(psutil.Process().children())

    def wake():
        assert until(lambda: carrying(marker), 60)
        for child in set(psutil.Process().children()) - mine:
            child.kill()
        return ""

    argv = [*context.sandbox, PYTHON, "-c", "import time; time.sleep(60)", marker]
    launched = launch(lambda channel: Result(False, str(execute(argv))), bound_seconds=60, wake=wake)
    assert not launched.result.ok
    assert until(lambda: not carrying(marker))
