"""Starting a program that outlives whoever started it.

Rules that this module keeps:
1. The program is nobody's descendant here: a double fork, a session of its own, the process between is reaped at once.
2. It inherits nothing: standard input is /dev/null, both outputs are appended to its log, no other file is open, signals and
   umask (022) are the defaults, the environment is PATH, HOME, LANG and what was asked for.
3. An error of the start comes back as the OSError that it was.
4. The record is written before the program begins, so a worker that dies here leaves no program that nobody knows of.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import psutil

from healing.forking import clean_environment, fork, keep_only


@dataclass(frozen=True)
class Spawned:
    """A started program: its process id, and its start as `started_of` writes it."""

    pid: int
    started: str


def started_of(pid: int) -> str:
    """When `pid` started, in a form that no clock moves: boot id and ticks since boot. The empty string: there is none.

    Together with the pid it names one process, also after the number was given to another.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot[:8]}:{stat.rpartition(')')[2].split()[19]}"
    except (FileNotFoundError, ProcessLookupError):
        pass  # gone, or no Linux: psutil knows which
    try:
        return f"{psutil.Process(pid).create_time():.2f}"
    except psutil.NoSuchProcess:
        return ""


def spawn(
    argv: Sequence[str],
    *,
    cwd: str | None = None,
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
    record: Path | None = None,
) -> Spawned:
    """Start `argv` (its first is looked for in PATH if it is no path) detached from this process.

    `record` gets `{"pid", "started", "argv"}` before the program begins. Raises OSError naming the file at fault.
    """
    environment = clean_environment(env)
    program = shutil.which(argv[0], path=environment["PATH"]) or argv[0]
    for path in filter(None, (log, record)):
        path.parent.mkdir(parents=True, exist_ok=True)
    reading, writing = os.pipe()
    between = fork()
    if between == 0:
        _between(program, list(argv), cwd or "/", environment, log, record, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as answers:
        answer = answers.read()  # ends when the program begins, or fails to: its copy of the pipe closes then
    os.waitpid(between, 0)
    return _spawned(answer, program)


def _spawned(answer: bytes, program: str) -> Spawned:
    lines = [json.loads(line) for line in answer.splitlines()]
    failed = next((line for line in lines if "errno" in line), None)
    if failed:
        raise OSError(failed["errno"], f"{failed['error']}: {failed['file'] or program}")
    if not lines:
        raise OSError(errno.ECHILD, f"the start of {program} was cut short")
    return Spawned(**lines[0])


def _between(*task: Any) -> NoReturn:
    """The process between: leads a session, so that its child does not, and leaves."""
    try:
        os.setsid()
        if os.fork() == 0:
            _program(*task)
    finally:
        os._exit(0)


def _program(
    program: str, argv: list[str], cwd: str, env: dict[str, str], log: Path | None, record: Path | None, writing: int
) -> NoReturn:
    try:
        os.setpgid(0, 0)
        os.umask(0o022)
        output = os.open(log or os.devnull, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        _streams(output, writing)
        own = {"pid": os.getpid(), "started": started_of(os.getpid())}
        if record:
            _write(record, own | {"argv": argv})
        _say(writing, own)
        os.chdir(cwd)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.execve(program, argv, env)  # noqa: S606 - no shell is what is wanted
    except OSError as error:
        if record:
            record.unlink(missing_ok=True)
        _say(writing, {"errno": error.errno, "error": error.strerror, "file": error.filename})
    finally:
        os._exit(127)


def _streams(output: int, writing: int) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    for number, source in enumerate((null, output, output)):
        os.dup2(source, number, inheritable=True)
        os.set_inheritable(number, True)
    keep_only((0, 1, 2, writing))


def _write(path: Path, value: dict[str, Any]) -> None:
    fresh = path.with_suffix(f".{os.getpid()}")
    fresh.write_text(json.dumps(value))
    fresh.replace(path)


def _say(writing: int, value: dict[str, Any]) -> None:
    os.write(writing, json.dumps(value).encode() + b"\n")
