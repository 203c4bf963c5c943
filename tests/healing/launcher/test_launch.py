from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from itertools import pairwise

import psutil
import pytest

from healing.forking import execute
from healing.launcher import launch, worker
from healing.result import Result
from tests.processes import PYTHON, SETTABLE, carrying, until

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"


def ready(marker, count=1):
    return lambda: len(carrying(marker)) >= count


def test_work_returns_its_result():
    launched = launch(lambda channel: Result(True, "done", {"n": 1}), bound_seconds=5)
    assert launched.result == Result(True, "done", {"n": 1})
    assert (launched.message, launched.exit_code, launched.timed_out, launched.cancelled) == ("done", 0, False, "")


def test_what_work_prints_and_logs_is_kept(capfd):
    def work(channel):
        import logging

        print("to the output")
        print("to the errors", file=sys.stderr)
        logging.getLogger("healing.deep").warning("logged")
        return Result(True, "")

    launched = launch(work, bound_seconds=5)
    assert launched.stdout == "to the output\n"
    assert launched.stderr == "to the errors\nhealing.deep: logged\n"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("code", "ok"), [(0, True), (3, False)])
def test_a_program_is_judged_by_its_exit_code(program, code, ok):
    launched = launch(program(f"print('out'); raise SystemExit({code})"), bound_seconds=5)
    assert (launched.result.ok, launched.exit_code, launched.message) == (ok, code, f"exit code {code}")
    assert launched.stdout == "out\n"


def test_an_exception_is_a_failed_result_with_its_traceback():
    def work(channel):
        raise ZeroDivisionError("by nothing")

    launched = launch(work, bound_seconds=5)
    assert launched.result == Result(False, "ZeroDivisionError: by nothing")
    assert "Traceback" in launched.stderr


def test_a_program_that_does_not_exist_says_so():
    launched = launch(lambda channel: Result(False, str(execute(["/no/such/program"]))), bound_seconds=5)
    assert "No such file or directory: '/no/such/program'" in launched.message


def test_a_program_that_ignores_term_is_killed_soon_after_its_bound(program):
    begun = time.monotonic()
    launched = launch(program(STUBBORN), bound_seconds=0.5)
    assert launched.timed_out
    assert launched.message == "did not end within 0.5 s and was ended"
    assert launched.exit_code == -signal.SIGKILL
    assert time.monotonic() - begun < 20


def test_a_program_that_obeys_term_ends_at_its_bound(program):
    begun = time.monotonic()
    launched = launch(program("import time; time.sleep(60)"), bound_seconds=0.3)
    assert (launched.timed_out, launched.exit_code) == (True, -signal.SIGTERM)
    assert time.monotonic() - begun < 20


def test_a_daemon_that_double_forks_into_its_own_session_is_ended(program, tmp_path):
    daemon = f"""
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.setpgid(0, 0)
        open({str(tmp_path / "pid")!r}, "w").write(str(os.getpid()))
        os.execv(sys.executable, [sys.executable, "-c", {STUBBORN!r}, *sys.argv[1:]])
    os._exit(0)
while not os.path.exists({str(tmp_path / "pid")!r}):
    time.sleep(0.01)
"""
    launched = launch(program(daemon), bound_seconds=5)
    assert launched.result.ok
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


def test_a_background_child_does_not_outlive_a_program_that_succeeded(program):
    script = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)', *sys.argv[1:]])"
    begun = time.monotonic()
    assert launch(program(script), bound_seconds=10).result.ok
    assert time.monotonic() - begun < 20


def test_programs_that_fork_themselves_away_without_end_are_ended(program):
    runaway = """
import os, time
end = time.monotonic() + 30
while time.monotonic() < end:
    if os.fork():
        os._exit(0)
    os.setsid()
    time.sleep(0.002)
"""
    launched = launch(program(f"import os\nfor _ in range(5):\n    if os.fork() == 0: break\n{runaway}"), bound_seconds=0.5)
    assert not launched.left


def test_a_gigabyte_of_output_is_counted_and_not_kept(program):
    script = """
import sys
sys.stdout.write("first\\n"); sys.stdout.flush()
block = b"x" * (1 << 20)
for _ in range(1 << 10):
    sys.stdout.buffer.write(block)
sys.stdout.write("last\\n")
"""
    launched = launch(program(script), bound_seconds=60)
    assert launched.result.ok
    assert launched.stdout_bytes == (1 << 30) + 11
    assert launched.stdout.startswith("first\n")
    assert launched.stdout.endswith("last\n")
    assert f"\n… {launched.stdout_bytes - 65536:,} bytes left out …\n" in launched.stdout
    assert len(launched.stdout) < 65536 + 100


def test_a_program_that_floods_without_end_is_ended_at_its_bound():
    begun = time.monotonic()
    launched = launch(lambda channel: Result(False, str(execute(["/usr/bin/yes"]))), bound_seconds=0.5)
    assert launched.timed_out
    assert time.monotonic() - begun < 20


def test_work_that_hangs_on_a_socket_is_ended():
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()

        def work(channel):
            socket.create_connection(address).recv(1)
            return Result(True, "never")

        launched = launch(work, bound_seconds=0.3)
    assert (launched.timed_out, launched.result.ok) == (True, False)


def test_work_that_is_killed_from_outside_takes_its_children_with_it(program):
    script = "import os, subprocess, sys, signal\n"
    script += "subprocess.Popen(['/bin/sleep', '60'], start_new_session=True, env={'M': sys.argv[1]})\n"
    script += "os.kill(os.getpid(), signal.SIGKILL)"
    launched = launch(program(script), bound_seconds=10)
    assert (launched.result.ok, launched.message, launched.exit_code) == (False, "killed by SIGKILL", -9)


@pytest.mark.parametrize("reason", ["kill_switch", "deadline", "lease_lost"])
def test_wake_ends_the_work_and_its_reason_is_told(program, marker, reason):
    launched = launch(program("import time; time.sleep(60)"), bound_seconds=30, wake=lambda: reason)
    assert (launched.cancelled, launched.timed_out, launched.result.ok) == (reason, False, False)
    assert launched.message == f"was ended: {reason}"


def test_work_that_fails_because_its_tool_was_ended_first_was_ended_for_the_reason_given(marker):
    """The launcher tells each process one by one: a tool's end may come to the work before its own."""

    def outlives_its_tool(channel):
        signal.signal(signal.SIGTERM, lambda *_: None)
        subprocess.run(["/bin/sleep", "60"], check=False)
        return Result(False, "the tool said nothing")

    launched = launch(outlives_its_tool, bound_seconds=30, wake=lambda: "kill_switch")
    assert (launched.message, launched.exit_code) == ("was ended: kill_switch; the tool said nothing", 0)


def test_wake_is_called_each_second_while_the_work_runs(monkeypatch, tmp_path):
    monkeypatch.setattr(worker, "WAKE_SECONDS", 0.05)
    enough, woken = tmp_path / "enough", []

    def wake():
        woken.append(time.monotonic())
        if len(woken) == 5:
            enough.touch()
        return ""

    work = ["/bin/sh", "-c", 'until [ -e "$0" ]; do sleep 0.01; done', str(enough)]
    launched = launch(lambda channel: Result(False, str(execute(work))), bound_seconds=30, wake=wake)
    assert (launched.result.ok, launched.timed_out) == (True, False)
    assert len(woken) >= 5
    assert all(later - earlier >= 0.05 for earlier, later in pairwise(woken))


def test_an_exception_of_wake_ends_the_work_and_is_raised_again(program, marker):
    def wake():
        assert until(ready(marker))
        raise ConnectionError("no database")

    with pytest.raises(ConnectionError, match="no database"):
        launch(program(STUBBORN), bound_seconds=30, wake=wake)
    assert not carrying(marker)


def test_no_zombie_and_no_open_file_is_left_in_the_worker(program, children):
    me = psutil.Process()
    launch(program("pass"), bound_seconds=5)
    files = me.num_fds()
    launch(program("pass"), bound_seconds=5)
    launch(program("import time; time.sleep(60)"), bound_seconds=0.1)
    assert children() == []
    assert me.num_fds() == files


def test_a_program_gets_clean_files_environment_signals_and_limits(program, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgres://secret")
    script = """
import json, os, resource, signal
print(json.dumps({
    "files": sorted(fd for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}")),
    "stdin": os.readlink("/proc/self/fd/0"), "environment": sorted(os.environ), "cwd": os.getcwd(),
    "core": resource.getrlimit(resource.RLIMIT_CORE)[0], "files_limit": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    "group": os.getpgrp() == os.getpid(), "session": os.getsid(0) == os.getppid(),
}))
"""
    seen = json.loads(launch(program(script), bound_seconds=5).stdout)
    assert seen["files"] == ["0", "1", "2"]
    assert (seen["stdin"], seen["cwd"]) == ("/dev/null", "/")
    assert [name for name in seen["environment"] if name != "LC_CTYPE"] == ["HOME", "LANG", "PATH", "SELF_HEAL_LAUNCH"]
    assert (seen["core"], seen["files_limit"]) == (0, 1024)
    assert seen["group"]
    assert seen["session"]


def test_a_program_ignores_and_blocks_no_signal():
    work = lambda channel: Result(False, str(execute(["/bin/grep", "-E", "Sig(Ign|Blk)", "/proc/self/status"])))  # noqa: E731
    shown = launch(work, bound_seconds=5).stdout
    assert [int(line.split()[1], 16) & SETTABLE for line in shown.splitlines()] == [0, 0]


def test_the_work_cannot_reach_what_the_worker_has_open():
    ours, peer = socket.socketpair()

    class Polite:
        def __del__(self):
            ours.sendall(b"goodbye")

    polite = [Polite()]

    def work(channel):
        polite.clear()  # its finalizer writes to /dev/null
        return Result(True, os.readlink(f"/proc/self/fd/{ours.fileno()}"))

    try:
        launched = launch(work, bound_seconds=5)
        peer.setblocking(False)
        with pytest.raises(BlockingIOError):
            peer.recv(10)
    finally:
        polite.clear()
        ours.close()
        peer.close()
    assert launched.message == "/dev/null"


def test_a_worker_that_is_killed_takes_the_whole_step_with_it(marker):
    script = f"""
import sys
from healing.forking import execute
from healing.launcher import launch
launch(lambda channel: execute([sys.executable, "-c", '''
import os, subprocess, sys
subprocess.Popen([sys.executable, "-c", {STUBBORN!r}, sys.argv[1]], start_new_session=True)
exec({STUBBORN!r})
''', {marker!r}]), bound_seconds=60)
"""
    victim = subprocess.Popen([PYTHON, "-c", script], cwd=os.getcwd())
    assert until(ready(marker, 3))  # the worker's own arguments carry it as well
    victim.kill()
    victim.wait()
    assert until(lambda: not carrying(marker))


def test_a_launcher_that_is_killed_is_noticed_and_nothing_remains(marker, program, children):
    daemon = "import subprocess, sys\n"
    daemon += f"subprocess.Popen([sys.executable, '-c', {STUBBORN!r}, *sys.argv[1:]], start_new_session=True)\n"

    def wake():
        assert until(ready(marker, 2))
        for child in children():
            child.kill()
        return ""

    launched = launch(program(daemon + STUBBORN), bound_seconds=30, wake=wake)
    assert (launched.result.ok, launched.message) == (False, "the launcher failed: it was killed")
    assert until(lambda: not carrying(marker))


def test_a_launcher_that_hangs_is_killed_with_its_session(marker, program, monkeypatch, children):
    monkeypatch.setattr(worker, "LAUNCHER_SECONDS", 0.5)

    def wake():
        children()[0].suspend()
        return "kill_switch"

    launched = launch(program(STUBBORN), bound_seconds=30, wake=wake)
    assert (launched.cancelled, launched.result.ok) == ("kill_switch", False)
    assert children() == []
    assert until(lambda: not carrying(marker))


def test_a_launcher_that_is_told_to_leave_cleans_up_first(marker, program, children):
    def wake():
        children()[0].terminate()
        return ""

    assert not launch(program(STUBBORN), bound_seconds=30, wake=wake).result.ok


def test_work_may_ask_for_less_time_than_it_has():
    def work(channel):
        channel.within(0.3)
        raise execute(["/bin/sleep", "60"])

    launched = launch(work, bound_seconds=30)
    assert (launched.timed_out, launched.message) == (True, "did not end within 0.3 s and was ended")


def test_secrets_are_masked_wherever_they_come_out():
    def work(channel):
        channel.mask("s3cret")
        print("it is s3cret")
        return Result(False, "refused s3cret", {"headers": ["s3cret"], "s3cret": {"a": "xs3cretx"}})

    launched = launch(work, bound_seconds=5)
    assert launched.stdout == "it is ***\n"
    assert launched.result == Result(False, "refused ***", {"headers": ["***"], "***": {"a": "x***x"}})


def test_nul_bytes_never_reach_a_database():
    def work(channel):
        print("a\0b")
        return Result(True, "a\0b", {"x": "\0"})

    launched = launch(work, bound_seconds=5)
    assert (launched.stdout, launched.message, launched.result.data) == ("a\ufffdb\n", "a\ufffdb", {"x": "\ufffd"})


def test_a_result_that_is_too_large_is_left_out():
    launched = launch(lambda channel: Result(True, "big", {"x": "y" * 1_000_000}), bound_seconds=5)
    assert launched.result == Result(True, "big", {"left_out": "over 262,144 bytes"})


def test_a_result_that_fills_the_line_arrives_whole():
    launched = launch(lambda channel: Result(True, "big", {"x": "y" * 250_000}), bound_seconds=5)
    assert len(launched.result.data["x"]) == 250_000


def test_what_the_work_writes_is_seen_while_it_runs_and_its_secrets_are_not(monkeypatch, tmp_path):
    monkeypatch.setattr(worker, "WAKE_SECONDS", 0.05)
    seen, go_on = [], tmp_path / "go on"

    def work(channel):
        channel.mask("s3cret")
        print("one s3cret", flush=True)
        print("to the errors", file=sys.stderr, flush=True)
        until(go_on.exists)
        return Result(True, "")

    def watch(output):
        seen.append(output)
        if output.stdout and output.stderr:
            go_on.touch()

    launched = launch(work, bound_seconds=60, watch=watch)
    assert launched.result.ok
    assert (seen[-1].stdout, seen[-1].stderr) == ("one ***\n", "to the errors\n")
    assert (seen[-1].stdout_bytes, seen[-1].stderr_bytes) == (11, 14)
    assert len({(output.stdout_bytes, output.stderr_bytes) for output in seen}) == len(seen), "told only when it grew"
