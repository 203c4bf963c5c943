"""Real processes for tests: found by a marker that stands in their arguments or their environment."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable

import psutil

PYTHON = sys.executable
SETTABLE = ~(0b11 << 31)  # signals 32 and 33 are the C library's own: no program can set them


def carrying(marker: str) -> list[psutil.Process]:
    """Every process, zombies apart, that carries `marker`."""
    return [process for process in psutil.process_iter() if _carries(process, marker)]


def end_all(marker: str) -> list[psutil.Process]:
    """Kill whatever carries `marker`; what there was."""
    found = carrying(marker)
    for process in found:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    return found


def _carries(process: psutil.Process, marker: str) -> bool:
    try:
        if process.pid == os.getpid():
            return False
        found = any(marker in part for part in (*process.cmdline(), *process.environ().values()))
        return found and process.status() != psutil.STATUS_ZOMBIE  # asked last: it may have ended meanwhile
    except psutil.Error:
        return False


def until(condition: Callable[[], object], seconds: float = 60.0) -> bool:
    """Whether `condition` comes true within `seconds`; looks each 10 ms."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        select.select([], [], [], 0.01)
    return True


def zombie() -> subprocess.Popen[bytes]:
    """A child of ours that has ended and that nobody has collected."""
    child = subprocess.Popen(["/bin/true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    return child
