"""A small supervisor: forks its children, starts one again that died, ends all of them.

Rules that this module keeps:
1. A child leads a session of its own, so a Ctrl-C in the terminal reaches only the supervisor, and what the child forks is ended
   with it (its process group is killed once it is gone).
2. A child is forked from the supervisor, which has loaded everything before: ready sooner, and the memory is shared.
   So the supervisor has no threads and no open connections.
3. A child that dies is started again after 0.2 s, then 0.4 s … at most 5 s; who lived for a minute begins anew.
4. `stop` is over within ten seconds: TERM to all, KILL after seven; who is marked `last` goes after the others.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from config.process import die_with_parent, take_name

log = logging.getLogger(__name__)

SHORTEST, LONGEST = 0.2, 5.0  # seconds before a child is started again
SETTLED = 60.0  # seconds after which a child that dies counts as healthy before
GENTLE = 7.0  # seconds between TERM and KILL
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


@dataclass
class Child:
    """One program: `run` is what the process does; `pid` 0 while it does not run."""

    name: str
    run: Callable[[], int | None]
    last: bool = False
    pid: int = 0
    started: float = 0.0
    delay: float = SHORTEST
    due: float = 0.0


class Supervisor:
    def __init__(self, children: Iterable[Child], run_dir: Path) -> None:
        self.children = {child.name: child for child in children}
        self.run_dir = run_dir
        self.asked = 0  # how often somebody asked us to stop
        self.stopping = False
        self._reader, self._writer = os.pipe()
        for end in (self._reader, self._writer):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        for number in _SIGNALS:
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if number != signal.SIGCHLD:
            self.asked += 1

    def start(self, *names: str) -> None:
        for name in names:
            self._fork(self.children[name])

    def run(self, each_turn: Callable[[], float]) -> None:
        """Keep the children running until somebody asks to stop, then stop them.

        `each_turn` is called between; it returns in how many seconds it wants to be called again.
        """
        while not self.asked:
            wait = each_turn()
            self._reap()
            self._restart()
            self._sleep(min([wait, *(max(0.0, c.due - time.monotonic()) for c in self.children.values() if not c.pid)]))
        self.stop()

    def stop(self) -> None:
        """End every child; on return none of them is left."""
        self.stopping = True
        self._end([child for child in self.children.values() if not child.last], GENTLE)
        self._end([child for child in self.children.values() if child.last], 1.0)

    def _fork(self, child: Child) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._become(child, parent)
        child.pid, child.started = pid, time.monotonic()
        (self.run_dir / f"{child.name}.pid").write_text(f"{pid}\n")

    def _become(self, child: Child, parent: int) -> None:
        """The rest of the life of a forked process."""
        status = 1
        try:
            os.setsid()
            signal.set_wakeup_fd(-1)
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            die_with_parent(parent)
            os.close(self._reader)
            os.close(self._writer)
            take_name(child.name.replace("-", " "))
            status = child.run() or 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException:
            log.exception("%s failed", child.name)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def _reap(self) -> list[Child]:
        """Take note of every child that is gone; those of ours."""
        gone: list[Child] = []
        by_pid = {child.pid: child for child in self.children.values() if child.pid}
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return gone
            if pid == 0:
                return gone
            if pid in by_pid:
                self._bury(by_pid[pid], status)
                gone.append(by_pid[pid])

    def _bury(self, child: Child, status: int) -> None:
        now = time.monotonic()
        _kill_group(child.pid)
        (self.run_dir / f"{child.name}.pid").unlink(missing_ok=True)
        if now - child.started > SETTLED:
            child.delay = SHORTEST
        if not self.stopping:
            how = os.waitstatus_to_exitcode(status)
            ended = f"was ended by {signal.Signals(-how).name}" if how < 0 else f"ended with status {how}"
            log.warning("%s (%d) %s; it is started again in %.1f s", child.name, child.pid, ended, child.delay)
        child.pid, child.due, child.delay = 0, now + child.delay, min(child.delay * 2, LONGEST)

    def _restart(self) -> None:
        for child in self.children.values():
            if not child.pid and child.started and child.due <= time.monotonic():
                self._fork(child)

    def _end(self, children: list[Child], gentle: float) -> None:
        asked, until = self.asked, time.monotonic() + gentle
        for child in children:
            if child.pid:
                os.kill(child.pid, signal.SIGTERM)
        while any(child.pid for child in children) and time.monotonic() < until and self.asked <= max(asked, 1):
            self._reap()
            self._sleep(0.05)
        for child in children:
            if child.pid:
                log.warning("%s (%d) did not end in time and is killed", child.name, child.pid)
                os.kill(child.pid, signal.SIGKILL)  # its group follows when it is gone
        while any(child.pid for child in children):
            self._reap()
            self._sleep(0.05)

    def _sleep(self, seconds: float) -> None:
        """Until a signal comes, or `seconds`."""
        if select.select([self._reader], [], [], max(0.0, seconds))[0]:
            os.read(self._reader, 512)


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # nobody is left in it
