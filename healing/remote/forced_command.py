#!/usr/bin/python3 -I
"""The far side of selfheal's ssh, as the forced command of its key. Python 3.8 or newer on Linux, nothing else.

    restrict,command="/usr/bin/python3 -I /usr/local/lib/selfheal/forced_command.py --allow /etc/selfheal/allow" ssh-ed25519 AAAA…

It reads one JSON document, a line of at most 1 MiB, from standard input:

    {"argv": ["logrotate", "/etc/app.conf"], "env": {"TOKEN": "…"}, "bound_seconds": 30, "limits": {"memory_mib": 512}}
    {"ping": true}

Rules that it keeps:
1. What is not exactly of that form, and what the allow-list does not name, is refused (exit code 125). What the client asked of
   sshd (SSH_ORIGINAL_COMMAND) is never looked at.
2. There is no shell. An argument arrives as it was sent; the environment is PATH, HOME, LANG and what the allow-list lets in.
   No core is dumped, no more processor time is used than all cores have within the bound, and the limits hold for each process.
3. The program is over when it ends, when its bound passes, when the connection is closed, or when nothing was heard for
   SILENCE seconds: the other side sends an empty line every few seconds.
4. However it was over, each of its descendants is ended, `setsid` daemons too: TERM, two seconds, then KILL.

The exit code is the program's own, 128 and the number of a signal that ended it, 124 if it was ended here, 126 if it cannot be
started. What this script itself has to say is one line on standard error that begins with `selfheal: `.

The allow-list is a file that its user should not be able to write. A line is a program by its absolute path, alone (any
arguments), or with a pattern (`*`, `?`, `[a-z]`) for each argument; `env NAME` lets an environment variable in; `#` begins a
comment. A program is asked for by its path, or by its name alone.

    /usr/bin/systemctl show -p * -- web.service
    /usr/sbin/logrotate
    env TOKEN
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import fnmatch
import hashlib
import json
import os
import platform
import pwd
import re
import resource
import select
import shlex
import signal
import subprocess
import sys
import time
from typing import Any

MAX_REQUEST, MAX_ARGUMENTS, MAX_BOUND = 1024 * 1024, 256, 7200
REQUEST_SECONDS, SILENCE, GRACE, GIVE_UP, PASS = 15.0, 30.0, 2.0, 5.0, 0.05
ENDED_HERE, REFUSED, NOT_STARTED, SSH_FAILED = 124, 125, 126, 255
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LIMITS = {"memory_mib": resource.RLIMIT_AS, "file_size_mib": resource.RLIMIT_FSIZE}
MAX_MIB = 1024 * 1024
TOLD_TO_END = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)

_libc = ctypes.CDLL(None)
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


class Refused(Exception):
    """The request is not of the form, or not allowed."""


def main() -> int:
    parser = argparse.ArgumentParser(description="Runs one program of the allow-list for selfheal.")
    parser.add_argument("--allow", default="/etc/selfheal/allow", help="the allow-list (default: %(default)s)")
    options = parser.parse_args()
    try:
        request = parsed(read_line(0))
        rules, names = allow_list(options.allow)
        if "ping" in request:
            print(json.dumps(about(rules, names)))
            return 0
        argv = permitted(request["argv"], rules)
        env = environment(request.get("env", {}), names)
    except Refused as why:
        return say(REFUSED, f"refused: {why}")
    return run(argv, env, request["bound_seconds"], limits(request))


def say(code: int, text: str) -> int:
    with contextlib.suppress(OSError):  # nobody listens any more
        os.write(2, f"selfheal: {text}\n".encode("utf-8", "replace"))
    return code


# the request


def read_line(source: int) -> bytes:
    """The bytes up to the first newline."""
    line, until = b"", time.monotonic() + REQUEST_SECONDS
    while b"\n" not in line:
        if len(line) > MAX_REQUEST:
            raise Refused(f"the request is over {MAX_REQUEST:,} bytes")
        if not select.select([source], [], [], max(0.0, until - time.monotonic()))[0]:
            raise Refused(f"no whole request came within {REQUEST_SECONDS:g} s")
        chunk = os.read(source, 65536)
        if not chunk:
            raise Refused("the input ended before the request did; it is one line of JSON")
        line += chunk
    return line.split(b"\n", 1)[0]


def parsed(line: bytes) -> dict[str, Any]:
    """The request, which is of the form."""
    try:
        request = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        raise Refused("the request is no JSON") from None
    if request == {"ping": True}:
        return request
    if not isinstance(request, dict) or set(request) - {"argv", "env", "bound_seconds", "limits"}:
        raise Refused("the request is an object of `argv`, `env`, `bound_seconds` and `limits`")
    argv, env, bound = request.get("argv"), request.get("env", {}), request.get("bound_seconds")
    if not isinstance(argv, list) or not 1 <= len(argv) <= MAX_ARGUMENTS or not all(map(is_text, argv)) or not argv[0]:
        raise Refused(f"`argv` is a list of 1 to {MAX_ARGUMENTS} texts without NUL, the program first")
    if not isinstance(env, dict) or not all(map(is_text, env.values())):
        raise Refused("`env` is an object of texts without NUL")
    if isinstance(bound, bool) or not isinstance(bound, (int, float)) or not 0 < bound <= MAX_BOUND:
        raise Refused(f"`bound_seconds` is a number above 0, up to {MAX_BOUND}")
    asked = request.get("limits", {})
    if not isinstance(asked, dict) or set(asked) - set(LIMITS) or not all(map(is_mib, asked.values())):
        raise Refused(f"`limits` is an object of {' and '.join(LIMITS)}, each a whole number above 0")
    return request


def is_mib(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MAX_MIB


def is_text(value: object) -> bool:
    if not isinstance(value, str) or "\0" in value:
        return False
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True


# the allow-list


def allow_list(path: str) -> tuple[list[list[str]], set[str]]:
    """The rules, each a program with its patterns, and the names of the environment that are let in."""
    rules: list[list[str]] = []
    names: set[str] = set()
    try:
        with open(path, encoding="utf-8") as file:
            if os.fstat(file.fileno()).st_mode & 0o022:
                raise Refused(f"{path} can be written by others than its owner: chmod 644 it")
            lines = file.read().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"the allow-list {path} cannot be read: {error}") from None
    for number, line in enumerate(lines, 1):
        try:
            words = shlex.split(line, comments=True)
        except ValueError as error:
            raise Refused(f"{path}:{number}: {error}") from None
        if len(words) == 2 and words[0] == "env":
            names.add(words[1])
        elif words and words[0].startswith("/"):
            rules.append(words)
        elif words:
            raise Refused(f"{path}:{number}: a line begins with an absolute path, or is `env NAME`")
    return rules, names


def permitted(argv: list[str], rules: list[list[str]]) -> list[str]:
    """The argument list with the whole path of its program."""
    for program, *patterns in rules:
        if argv[0] in (program, os.path.basename(program)) and fits(argv[1:], patterns):
            return [program, *argv[1:]]
    raise Refused(f"{json.dumps(argv[0])} with these arguments is not in the allow-list of this host")


def fits(arguments: list[str], patterns: list[str]) -> bool:
    if not patterns:
        return True
    return len(arguments) == len(patterns) and all(map(fnmatch.fnmatchcase, arguments, patterns))


def environment(asked: dict[str, str], names: set[str]) -> dict[str, str]:
    for name in asked:
        if name not in names or not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name):
            raise Refused(f"environment variable {json.dumps(name)} is not in the allow-list: add `env NAME`")
    user = pwd.getpwuid(os.getuid())
    return dict({"PATH": PATH, "HOME": user.pw_dir, "LANG": "C.UTF-8"}, **asked)


def about(rules: list[list[str]], names: set[str]) -> dict[str, Any]:
    with open(os.path.abspath(__file__), "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    user = pwd.getpwuid(os.getuid()).pw_name
    allow = [shlex.join(rule) for rule in rules]
    return {"script": digest, "python": platform.python_version(), "user": user, "allow": allow, "env": sorted(names)}


# the program


def limits(request: dict[str, Any]) -> dict[int, int]:
    """By `resource.RLIMIT_…`."""
    processor = int(request["bound_seconds"] + 10) * (os.cpu_count() or 1)
    asked = {LIMITS[name]: mib * 1024 * 1024 for name, mib in request.get("limits", {}).items()}
    return {resource.RLIMIT_CORE: 0, resource.RLIMIT_CPU: processor, **asked}


def run(argv: list[str], env: dict[str, str], bound: float, most: dict[int, int]) -> int:
    """Run it, wait, end what is left; the exit code."""
    news = wake_on_signals()
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def prepare() -> None:
        """In the child. This process has one thread, so there is no lock that another could hold there."""
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        for number, value in most.items():
            hard = resource.getrlimit(number)[1]
            allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(number, (allowed, allowed))

    try:
        child = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, cwd="/", env=env, start_new_session=True, preexec_fn=prepare,  # noqa: PLW1509
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        return say(NOT_STARTED, f"{argv[0]} cannot be started: {error}")
    family = Family(child.pid)
    why = watch(family, news, bound)
    left = family.end()
    child.returncode = 0  # it was collected here
    if left:
        return say(ENDED_HERE, f"processes {left} do not end, not even by KILL")
    if why:
        return say(ENDED_HERE, f"{argv[0]} was ended: {why}")
    code = family.exit_code()
    return say(code, f"exit code {code}") if code == SSH_FAILED else code


def watch(family: Family, news: int, bound: float) -> str:
    """Until the program ended (the empty string), or has to be ended (why)."""
    heard = time.monotonic()
    deadline = heard + bound
    poll = select.poll()
    poll.register(0, select.POLLIN)
    poll.register(news, select.POLLIN)
    while not family.reap():
        now = time.monotonic()
        if now >= deadline:
            return f"its bound of {bound:g} s passed"
        if now >= heard + SILENCE:
            return f"nothing was heard for {SILENCE:g} s"
        ready = [number for number, _ in poll.poll(1000 * (min(deadline, heard + SILENCE) - now) + 1)]
        if news in ready and set(os.read(news, 4096)) & set(TOLD_TO_END):
            return "this host told it to end"
        if 0 in ready:
            if not os.read(0, 4096):
                return "the connection was closed"
            heard = time.monotonic()
    return ""


class Family:
    """The program and whatever it left: as a subreaper this process gets back those whose parents went."""

    def __init__(self, head: int) -> None:
        self.head, self.childless = head, False
        self.status = -1  # of `wait`; -1: it runs

    def reap(self) -> bool:
        """Collect those that ended; whether the program is among those that ever did."""
        try:
            ended = os.waitpid(-1, os.WNOHANG)
            while ended[0]:
                if ended[0] == self.head:
                    self.status = ended[1]
                ended = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            self.childless = True
        return self.status >= 0

    def end(self) -> list[int]:
        """End every descendant; the ids of those that cannot be ended."""
        told: set[int] = set()
        started = time.monotonic()
        while not (self.reap() and self.childless):
            found, age = descendants(os.getpid()), time.monotonic() - started
            if age > GRACE + GIVE_UP:
                return sorted(found)
            if age > GRACE:
                kill(found)
            else:
                tell(found - told)
                told |= found
            time.sleep(PASS)
        return []

    def exit_code(self) -> int:
        return 128 + os.WTERMSIG(self.status) if os.WIFSIGNALED(self.status) else os.WEXITSTATUS(self.status)


def descendants(root: int) -> set[int]:
    """The ids of all children, children's children and so on."""
    children: dict[int, list[int]] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                children.setdefault(int(file.read().rpartition(b")")[2].split()[1]), []).append(int(name))
        except OSError:
            continue  # it ended meanwhile
    found: set[int] = set()
    waiting = [root]
    while waiting:
        new = set(children.get(waiting.pop(), ())) - found
        found |= new
        waiting.extend(new)
    return found


def tell(pids: set[int]) -> None:
    """Ask them to end; one that is stopped is woken to hear it."""
    for pid in pids:
        for number in (signal.SIGTERM, signal.SIGCONT):
            with contextlib.suppress(OSError):  # ended meanwhile; or not ours to end: it is named in the end
                os.kill(pid, number)


def kill(pids: set[int]) -> None:
    """Kill them with their process groups, which no fork can outrun: all are of sessions that began below this process."""
    for pid in pids:
        with contextlib.suppress(OSError):
            os.killpg(os.getpgid(pid), signal.SIGKILL)


def wake_on_signals() -> int:
    """A descriptor that gets the number of each signal: a child ended, or this process is to end."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, *TOLD_TO_END):
        signal.signal(number, lambda *_: None)
    return reading


if __name__ == "__main__":
    sys.exit(main())
