"""The launcher process: it starts the work, and ends whatever the work leaves.

Rules that this module keeps:
1. The work is over when it ends, when its bound passes, or when the worker closes the pipe of life: by intention, or by dying.
2. However it was over, every descendant is ended: TERM, two seconds, then KILL, again and again until `waitpid` says that there
   is none. As a subreaper it gets back those whose parents went, `setsid` daemons included; a whole process group is killed
   with one signal, which no fork can outrun.
3. Reading never stops while anything lives, so nobody is held up by a full pipe, and no more than 64 KiB a stream is kept.
4. It answers once, and then exits.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import signal
import time
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

import psutil

from .glimpse import Glimpse
from .streams import Kept

GRACE = 2.0
GIVE_UP = 5.0  # of KILLs without an end: a process in uninterruptible sleep; it is named, not waited for
PASS = 0.05
SANDBOX = "bwrap"


def main(work: int, life: int, streams: tuple[int, int], bound_seconds: float, answer: int, glimpse: Glimpse) -> NoReturn:
    """Watch over `work` and write what became of it to `answer`."""
    try:
        report = Reaper(work, life, streams, glimpse).run(bound_seconds)
    except BaseException:  # noqa: BLE001 - nothing may leave this process but an exit
        report = {"error": traceback.format_exc(limit=-5)}
    with contextlib.suppress(BrokenPipeError):  # the worker is dead, and nothing is left to tell
        _write_all(answer, json.dumps(report).encode())
    os._exit(0)


class Reaper:
    def __init__(self, work: int, life: int, streams: tuple[int, int], glimpse: Glimpse) -> None:
        self.work, self.life, self.glimpse = work, life, glimpse
        self.kept = {stream: Kept() for stream in streams}
        self.status: int | None = None
        self.poll = select.poll()
        for source in (life, self._wake_on_signals(), *streams):
            self.poll.register(source, select.POLLIN)
        for stream in streams:
            os.set_blocking(stream, False)

    def run(self, bound_seconds: float) -> dict[str, Any]:
        deadline = time.monotonic() + bound_seconds
        why = ""
        while not why and not (self._reap() or self.status is not None):
            ready = self._wait(deadline - time.monotonic())
            if self.life in ready:
                why = "cancelled"
            elif time.monotonic() >= deadline:
                why = "timed_out"
        left = self.end_all()
        self._wait(0)
        return {"status": self.status, "why": why, "left": left, "streams": [kept.as_json() for kept in self.kept.values()]}

    def end_all(self) -> list[int]:
        """End every descendant; the ids of those that cannot be ended."""
        started, told = time.monotonic(), set[int]()
        while not self._reap():
            found, age = descendants(os.getpid()), time.monotonic() - started
            if age > GRACE + GIVE_UP:
                return sorted(found)
            if age > GRACE:
                kill(found)
            else:
                tell(found - told)
                told |= found
            self._wait(PASS)
        return []

    def _reap(self) -> bool:
        """Collect those that ended; True if there is no child any more."""
        try:
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == self.work:
                    self.status = ended[1]
        except ChildProcessError:
            return True
        return False

    def _wait(self, seconds: float) -> list[int]:
        """Wait for news, take what came on the streams; the descriptors with news."""
        ready = [number for number, _ in self.poll.poll(max(0, seconds * 1000))]
        said = self.kept.keys() & ready
        for stream in said:
            self._take(stream)
        if said:
            self.glimpse.write(self.kept.values())
        if self._signals in ready:
            os.read(self._signals, 4096)
        if self.life in ready:
            self.poll.unregister(self.life)
        return ready

    def _take(self, stream: int) -> None:
        with contextlib.suppress(BlockingIOError):
            for _ in range(16):  # a megabyte, then look at the clock again
                chunk = os.read(stream, 65536)
                if not chunk:
                    return self.poll.unregister(stream)
                self.kept[stream].add(chunk)

    def _wake_on_signals(self) -> int:
        """A descriptor that is readable when a child ended, or somebody wants this process to leave: that means, to clean up."""
        self._signals, writing = os.pipe()
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: os.kill(self.work, signal.SIGKILL) if self.status is None else None)
        return self._signals


def descendants(root: int) -> set[int]:
    """The ids of all children, children's children and so on."""
    found: set[int] = set()
    waiting = [root]
    while waiting:
        new = set(_children(waiting.pop())) - found
        found |= new
        waiting += new
    return found


def _children(pid: int) -> Iterable[int]:
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError as error:
        if error.errno == errno.ESRCH or (Path("/proc/self").exists() and not Path(f"/proc/{pid}").exists()):
            return []
    try:  # no Linux, or a kernel without these files
        return [child.pid for child in psutil.Process(pid).children()]
    except psutil.NoSuchProcess:
        return []


def tell(pids: Iterable[int]) -> None:
    """Ask them to end; one that is stopped is woken to hear it. A sandbox is not told: it would take down those in it unasked."""
    for pid in pids:
        if _name(pid) == SANDBOX:
            continue
        for number in (signal.SIGTERM, signal.SIGCONT):
            with contextlib.suppress(ProcessLookupError, PermissionError):  # ended meanwhile; or not ours to end: it is named
                os.kill(pid, number)


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().rstrip("\n")
    except OSError:  # ended meanwhile, or no Linux
        return ""


def kill(pids: Iterable[int]) -> None:
    """Kill them with their process groups, which can hold nobody but descendants of this process."""
    own = os.getpgrp()
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            group = os.getpgid(pid)
            os.killpg(group, signal.SIGKILL) if group != own else os.kill(pid, signal.SIGKILL)


def _write_all(number: int, data: bytes) -> None:
    while data:
        data = data[os.write(number, data) :]
