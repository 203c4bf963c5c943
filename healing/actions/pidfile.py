"""Processes that stand in a pidfile; how one is recognised is told in `healing.processes`.

Rules that this module keeps:
1. No signal goes to a process that is not known to be the right one, whatever number a pidfile holds.
2. What is started is started by the worker, detached, and written down before it begins.
3. A pidfile is removed only when it is stale or its process was stopped, and written by exclusive creation, never over another.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil

from healing.detached import started_of
from healing.processes import ByPidfile, alive, is_command, read_pidfile, record_path, running
from healing.result import Result

from .base import Context

PAUSE = 0.02
WRITES_ITSELF, STAYS, TERM, KILL = 1.0, 0.2, 5.0, 2.0  # seconds
LOG_TAIL = 2048


def look(process: ByPidfile, context: Context) -> Result:
    """One look at whether the process lives."""
    pid = running(process, context.home)
    if pid:
        return Result(True, f"process {pid} runs", _who(pid))
    held = read_pidfile(Path(process.pidfile))
    return Result(False, f"{process.pidfile} {f'holds {held}, which is stale' if held else 'holds no process'}")


def start(process: ByPidfile, context: Context) -> Result:
    pid = running(process, context.home)
    if pid:
        _into_pidfile(process, pid)
        return Result(True, f"is already running as {pid}", _who(pid))
    Path(process.pidfile).unlink(missing_ok=True)
    log = _log(context)
    try:
        spawned = context.spawn(process.start, log=log, record=record_path(process, context.home))
    except OSError as error:
        return Result(False, f"cannot be started: {error.strerror or error}")
    begun = time.monotonic()
    pid = _adopted(process, spawned.pid, begun + WRITES_ITSELF)
    time.sleep(max(0.0, begun + STAYS - time.monotonic()))
    if pid and alive(pid):
        _into_pidfile(process, pid)
        return Result(True, f"started as {pid}", _who(pid))
    print(_end_of(log), file=sys.stderr)
    return Result(False, f"was started as {spawned.pid} and ended at once; its output is in {log}")


def stop(process: ByPidfile, context: Context) -> Result:
    pid = running(process, context.home)
    if not pid:
        _forget(process, context, None)
        return Result(True, "was not running")
    leads = os.getpgid(pid) == pid
    _signal(pid, leads, signal.SIGTERM)
    how = "TERM"
    if not _gone(pid, leads, TERM):
        _signal(pid, leads, signal.SIGKILL)
        how = "KILL"
        if not _gone(pid, leads, KILL):
            return Result(False, f"process {pid} did not end, not even by KILL", {"pid": pid})
    _forget(process, context, pid)
    return Result(True, f"stopped {pid} by {how}", {"stopped": pid})


def restart(process: ByPidfile, context: Context) -> Result:
    stopped = stop(process, context)
    if not stopped.ok:
        return stopped
    started = start(process, context)
    return Result(started.ok, f"{stopped.message}; {started.message}", {**stopped.data, **started.data})


def _adopted(process: ByPidfile, spawned: int, until: float) -> int | None:
    """The process that counts: the one that the program wrote into the pidfile, else the one that was started."""
    path = Path(process.pidfile)
    while time.monotonic() < until:
        pid = read_pidfile(path)
        if pid and alive(pid) and (pid == spawned or is_command(pid, process.start)):
            return pid
        time.sleep(PAUSE)
    return spawned if alive(spawned) else None


def _into_pidfile(process: ByPidfile, pid: int) -> None:
    """See to it that the pidfile holds `pid`; one that holds a live process of this command is left alone."""
    path = Path(process.pidfile)
    held = read_pidfile(path)
    if held and alive(held) and (held == pid or is_command(held, process.start)):
        return
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(f"{pid}\n")
    fresh.chmod(0o644)
    try:
        with suppress(FileExistsError):  # the program wrote it in this moment, which is as good
            os.link(fresh, path)
    finally:
        fresh.unlink()


def _forget(process: ByPidfile, context: Context, pid: int | None) -> None:
    path = Path(process.pidfile)
    if read_pidfile(path) == pid or pid is None:
        path.unlink(missing_ok=True)
    record_path(process, context.home).unlink(missing_ok=True)


def _signal(pid: int, leads: bool, number: signal.Signals) -> None:
    """To the process and, if it leads one, to its process group."""
    with suppress(ProcessLookupError):  # it ended by itself
        os.killpg(pid, number) if leads else os.kill(pid, number)


def _gone(pid: int, leads: bool, seconds: float) -> bool:
    """Whether the process, with its group if it leads one, is gone or a zombie within `seconds`."""
    until = time.monotonic() + seconds
    while alive(pid) or (leads and _group_lives(pid)):
        if time.monotonic() > until:
            return False
        time.sleep(PAUSE)
    return True


def _group_lives(group: int) -> bool:
    for pid in psutil.pids():
        with suppress(ProcessLookupError):
            if os.getpgid(pid) == group and alive(pid):
                return True
    return False


def _who(pid: int) -> dict[str, str | int]:
    return {"pid": pid, "started": started_of(pid)}


def _log(context: Context) -> Path:
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", f"{context.service}@{context.target}")[:200]
    return context.home / "logs" / f"{name}.log"


def _end_of(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LOG_TAIL))
            return file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
