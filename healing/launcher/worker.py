"""The worker's side: it forks the launcher, answers the work, keeps its lease, and gets back one value.

Rules that this module keeps:
1. The launcher holds the reading end of a pipe of which only this process has the other. Closing it, or dying, ends the work and
   all that it started.
2. `wake` is called each second, whatever happens; then `watch`, if the work has said something since.
3. The launcher is bounded too: ten seconds after its bound, or after it was told to end, everything that it started is killed,
   found by session and by a marker in the environment.
4. The launcher is always reaped, also when an exception passes through.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psutil

from healing.forking import MARKER, fork
from healing.result import Result

from . import children
from .channel import Work, WorkerEnd
from .glimpse import Glimpse
from .streams import Kept, mask

Wake = Callable[[], str]


@dataclass(frozen=True)
class Output:
    """What the work has written so far, bounded as its end result is, without the secrets that it named."""

    stdout: str
    stderr: str
    stdout_bytes: int
    stderr_bytes: int


Watch = Callable[[Output], None]

WAKE_SECONDS = 1.0
LAUNCHER_SECONDS = 10.0
MAX_ANSWER = 1024 * 1024


@dataclass(frozen=True)
class Launched:
    """What became of a launch. `cancelled` is the reason that `wake` gave; `exit_code` is negative for a signal, None if unknown.

    `result` is what the work returned or, of a program, whether it exited with 0; it is never ok if the work was ended.
    """

    result: Result
    exit_code: int | None
    timed_out: bool
    cancelled: str
    stdout: str
    stderr: str
    stdout_bytes: int
    stderr_bytes: int
    message: str
    left: tuple[int, ...] = ()  # processes that even KILL did not end


def launch(
    work: Work, *, bound_seconds: float, wake: Wake = lambda: "", watch: Watch = lambda output: None, title: str = "step"
) -> Launched:
    """Run `work` under a launcher of its own, and end whatever it started before returning.

    `work` runs in a child: it returns a Result, or becomes another program by `healing.forking.execute`. `wake` is called
    here at least each second and returns the empty string, or why the work must be ended now. An exception of `wake` ends the
    work as well, and is raised again. `watch` is called after it when there is new output. Call it from a process with one
    thread.
    """
    flight = Flight(work, bound_seconds, title)
    try:
        flight.wait(wake, watch)
    finally:
        flight.end()
    return flight.launched()


class Flight:
    """One launch, from the worker's side."""

    def __init__(self, work: Work, bound_seconds: float, title: str) -> None:
        self.marker = secrets.token_hex(16)
        self.give_up = time.monotonic() + bound_seconds + LAUNCHER_SECONDS
        self.cancelled, self.overran, self.bound_seconds = "", False, bound_seconds
        self.answer, self.answered, self.report = b"", False, dict[str, Any]()
        self.glimpse, self.shown = Glimpse(), [0, 0]
        self.listening = True  # to the work: its line has not ended
        with contextlib.ExitStack() as theirs:
            life, self.life = _pipe(theirs, 0)
            self.answers, answer = _pipe(theirs, 1)
            ours, channel = socket.socketpair()
            theirs.callback(channel.close)
            self.channel = WorkerEnd(ours)
            self.pid = self._fork()
            if self.pid == 0:
                children.launcher(work, life, answer, channel, bound_seconds, self.marker, title, self.glimpse)
        self.poll = select.poll()
        for source in (self.answers, self.channel):
            self.poll.register(source, select.POLLIN)

    def _fork(self) -> int:
        try:
            return fork()
        except OSError:  # no process is to be had: give back what the attempt opened
            self._close_life()
            self._close()
            raise

    def wait(self, wake: Wake, watch: Watch) -> None:
        """Until the launcher answered: take what comes, and wake each second."""
        woken = time.monotonic()
        while not self.answered and time.monotonic() < self.give_up:
            self._take(min(woken + WAKE_SECONDS, self._own_bound()) - time.monotonic())
            if time.monotonic() >= self._own_bound():
                self.overran = True
                self._close_life()
            if time.monotonic() >= woken + WAKE_SECONDS:
                woken = time.monotonic()
                self._cancel(wake())
                self._show(watch)

    def _show(self, watch: Watch) -> None:
        """Tell what is new. The output is read first: whatever secret stands in it, the work has named before."""
        seen = self.glimpse.read()
        if seen is None or [kept.count for kept in seen] == self.shown:
            return
        while self.listening and self.channel.waits():
            self._take(0)
        self.shown = [kept.count for kept in seen]
        out, err = (kept.so_far(self.channel.secrets) for kept in seen)
        watch(Output(out, err, *self.shown))

    def _own_bound(self) -> float:
        """When the time is over that the work asked for, if it asked for less."""
        if self.channel.within is None or self.overran:
            return float("inf")
        return self.channel.since + self.channel.within

    def end(self) -> None:
        """Have the launcher end, make sure of it, and take what it and the work said."""
        self._close_life()
        while not self.answered and time.monotonic() < self.give_up:
            self._take(self.give_up - time.monotonic())
        with contextlib.suppress(ValueError):  # cut short: the launcher did not live to finish it
            self.report = json.loads(self.answer)
        if "status" not in self.report:
            self._kill_all()
        with contextlib.suppress(ChildProcessError):  # somebody who reaps every child was quicker
            os.waitpid(self.pid, 0)
        while self.channel.waits() and self.channel.receive(may_spawn=False):
            pass
        self._close()

    def _close(self) -> None:
        os.close(self.answers)
        self.channel.close()
        self.glimpse.close()

    def launched(self) -> Launched:
        out, err = (Kept.from_json(kept) for kept in self.report.get("streams", [Kept().as_json()] * 2))
        hidden = self.channel.secrets
        status = self.report.get("status")
        exit_code = None if status is None else os.waitstatus_to_exitcode(status)
        said = self._result(exit_code)
        result = _clean(Result(said.ok, said.message, {**self.channel.notes, **said.data}), hidden)
        return Launched(
            result=result,
            exit_code=exit_code,
            timed_out=self._timed_out(),
            cancelled=self.cancelled,
            stdout=out.text(hidden),
            stderr=err.text(hidden),
            stdout_bytes=out.count,
            stderr_bytes=err.count,
            message=result.message,
            left=tuple(self.report.get("left", ())),
        )

    def _timed_out(self) -> bool:
        if self.report:
            return self.report.get("why") == "timed_out" or (self.overran and self.channel.result is None)
        return not self.answered and not self.cancelled

    def _result(self, exit_code: int | None) -> Result:
        said = self.channel.result
        if self.report.get("left"):
            return Result(False, f"processes {self.report['left']} do not end, not even by SIGKILL")
        if self._timed_out():
            bound = self.channel.within if self.overran else self.bound_seconds
            return Result(False, f"did not end within {bound:g} s and was ended")
        if self.cancelled and not (said and said.ok and exit_code == 0):
            why = f"was ended: {self.cancelled}"
            return Result(False, f"{why}; {said.message}", said.data) if said and exit_code == 0 else Result(False, why)
        if said:
            return said
        if exit_code is None:
            return Result(False, f"the launcher failed: {self.report.get('error', 'it was killed')}")
        return Result(exit_code == 0, _exit_words(exit_code), {"exit_code": exit_code})

    def _take(self, seconds: float) -> None:
        ready = [number for number, _ in self.poll.poll(max(0, min(seconds, WAKE_SECONDS) * 1000))]
        if self.channel.fileno() in ready and not self.channel.receive(may_spawn=self.life >= 0):
            self.poll.unregister(self.channel)
            self.listening = False
        if self.answers in ready:
            chunk = os.read(self.answers, 65536)
            self.answer += chunk
            self.answered = not chunk or len(self.answer) > MAX_ANSWER

    def _cancel(self, reason: str) -> None:
        if reason and not self.cancelled:
            self.cancelled = reason
            self._close_life()

    def _close_life(self) -> None:
        if self.life >= 0:
            os.close(self.life)
            self.life = -1
            self.give_up = min(self.give_up, time.monotonic() + LAUNCHER_SECONDS)

    def _kill_all(self) -> None:
        """The launcher gave no answer: kill it, its session, and whatever carries the marker."""
        for _ in range(3):  # what is forked meanwhile
            for process in psutil.process_iter():
                if _belongs(process, self.pid, self.marker):
                    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                        process.kill()


def _pipe(theirs: contextlib.ExitStack, end: int) -> tuple[int, int]:
    """A pipe whose `end` (0 reads, 1 writes) belongs to the launcher: here it is closed with `theirs`."""
    ends = os.pipe()
    theirs.callback(os.close, ends[end])
    return ends


def _belongs(process: psutil.Process, launcher: int, marker: str) -> bool:
    try:
        return process.pid == launcher or os.getsid(process.pid) == launcher or process.environ().get(MARKER) == marker
    except (psutil.Error, OSError):
        return False  # gone, or another user's


def _exit_words(exit_code: int) -> str:
    if exit_code >= 0:
        return f"exit code {exit_code}"
    return f"killed by {signal.Signals(-exit_code).name}"


def _clean(result: Result, hidden: list[str]) -> Result:
    """The result without secrets, and without NUL, which no database keeps."""
    return Result(result.ok, _scrub(result.message, hidden), _scrub(dict(result.data), hidden))


def _scrub(value: Any, hidden: list[str]) -> Any:
    if isinstance(value, str):
        return mask(value, hidden).replace("\0", "\ufffd")
    if isinstance(value, dict):
        return {_scrub(key, hidden): _scrub(item, hidden) for key, item in value.items()}
    if isinstance(value, list):
        return [_scrub(item, hidden) for item in value]
    return value
