"""Parts of selfheal itself that `selfheal up` keeps: it is ended, and `up` starts it again.

Rules that this module keeps:
1. A signal goes only to a child of the very `up` that holds this home: its lock names it, the child's pidfile names the child,
   and the kernel says whose child it is.
2. TERM first; KILL for one that hangs. What it had begun is in the database: nothing of it is lost.
3. It cannot be stopped: `up` would start it at once.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import psutil

from healing.processes import ByPart, alive, read_pidfile
from healing.result import Result

from .base import Context

PAUSE, TERM, WAIT = 0.05, 5.0, 20.0  # seconds; `up` starts a child again after five at most


def running(process: ByPart, home: Path) -> int | None:
    """The pid of the part, if it is a live child of the `up` of this home."""
    supervisor, pid = _up(home), read_pidfile(home / "run" / f"{process.part}.pid")
    if not supervisor or not pid:
        return None
    try:
        found = psutil.Process(pid)
        return pid if found.ppid() == supervisor and found.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None


def look(process: ByPart, context: Context) -> Result:
    pid = running(process, context.home)
    if not pid:
        return Result(False, f"`selfheal up` keeps no {process.part} in {context.home}")
    return Result(True, f"{process.part} runs as {pid}", {"pid": pid})


def start(process: ByPart, context: Context) -> Result:
    """Wait until `up` has started it; not at all where no `up` runs."""
    until = time.monotonic() + min(WAIT, context.bound_seconds)
    while not (pid := running(process, context.home)):
        if time.monotonic() > until or not _up(context.home):
            return look(process, context)
        time.sleep(PAUSE)
    return Result(True, f"{process.part} runs as {pid}", {"pid": pid})


def stop(process: ByPart, context: Context) -> Result:
    return Result(False, f"`selfheal up` starts {process.part} again at once: it can be restarted, and not stopped")


def restart(process: ByPart, context: Context) -> Result:
    pid = running(process, context.home)
    if not pid:
        return start(process, context)
    how = _ended(pid)
    if not how:
        return Result(False, f"process {pid} did not end, not even by KILL", {"pid": pid})
    started = start(process, context)
    return Result(started.ok, f"{pid} was ended by {how}; {started.message}", {**started.data, "ended": pid})


def _up(home: Path) -> int | None:
    """The process of the `up` that holds the home."""
    pid = read_pidfile(home / "run" / "up.lock")
    return pid if pid and alive(pid) else None


def _ended(pid: int) -> str:
    """The signal that ended it; empty: none did. A zombie is gone, whoever has to collect it."""
    for name in ("TERM", "KILL"):
        with suppress(ProcessLookupError):  # it ended by itself
            os.kill(pid, getattr(signal, f"SIG{name}"))
        until = time.monotonic() + TERM
        while alive(pid) and time.monotonic() < until:
            time.sleep(PAUSE)
        if not alive(pid):
            return name
    return ""
