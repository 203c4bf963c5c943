"""A run in the hands of its worker: why it has to stop, its steps and looks, its moves. `undoing` and `runner` stand on it.

Rules that this module keeps:
1. Every write is fenced by the lease's token. A worker that lost it stops at once and writes nothing.
2. While anything runs, `_wake` looks each second at lease, kill switch, deadline and a person's abort. No step is begun, and
   nothing undone, while the kill switch is on or nothing is executed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, NoReturn

from django.db import InterfaceError, OperationalError, connection
from django.utils import timezone

from healing.governance import kill_state, stop_file_is_there
from healing.half_done import undo_of, was_started
from healing.launcher import Launched
from healing.mode import global_mode
from healing.models import Run, Step
from healing.result import Result
from healing.runs import steps
from healing.runs.ending import finish
from healing.runs.intent import is_strict, wait_until_signed
from healing.runs.starting import LEASE, Lease
from healing.runs.steps import LeaseLost, Work
from healing.transitions import move
from selfheal.states import AbortReason, GlobalMode, KillState, RunStatus, StepStatus

logger = logging.getLogger(__name__)

UNDO_AFTER_DEADLINE = timedelta(seconds=15)
CHECK_BOUND_SECONDS = 20.0
TOUCHED = (StepStatus.SUCCEEDED, StepStatus.FAILED, StepStatus.TIMED_OUT, StepStatus.UNKNOWN)
STOPS = {
    "kill_switch": (AbortReason.KILL_SWITCH, "the kill switch was pulled"),
    "operator": (AbortReason.OPERATOR, "a person aborted it"),
    "deadline": (AbortReason.TIMEOUT, "the run passed its deadline"),
    "mode": (AbortReason.POLICY, "the installation does not execute any more"),
}


class Over(Exception):
    """The run has its outcome: there is nothing more to do."""


class Held:
    def __init__(self, run: Run, lease: Lease) -> None:
        self.run, self.lease = run, lease
        self.stopped = ""  # why everything has to end: a key of STOPS
        self.undoing = False
        self.renewed = timezone.now()

    # -- doing and looking

    def _planned(self) -> list[tuple[Step, Mapping[str, Any]]]:
        """Every step of the plan with its row, in order."""
        rows = self.run.steps.filter(phase="step").order_by("position")
        return list(zip(rows, self.run.plan["steps"], strict=True))

    def _act(self, row: Step) -> Launched:
        if is_strict(self.run.impact) and not wait_until_signed(row.log_id, self._wake):  # type: ignore[attr-defined]
            return steps.refused(row, "not started: no signed head covered its intent")
        return steps.perform(self.run, row, self._wake)

    def _look(self, check: Mapping[str, Any], phase: str, position: int, within: timedelta, name: str = "") -> bool:
        """Look at one check until it passes or `within` is over; at least once. One row tells of all looks."""
        name = name or check["check"]
        work = Work(phase, position, name, check["check"], check["target"], check["with"], CHECK_BOUND_SECONDS)
        row = steps.write_down(self.run, work)
        if row.status == StepStatus.PENDING:
            steps.begin(row, self.lease, timezone.now())
            steps.end(row, self._watch(row, within.total_seconds(), check["every_ms"] / 1000), self.lease)
        return row.status == StepStatus.SUCCEEDED

    def _watch(self, row: Step, within: float, every: float, *, steady: float = 0.0, bound: float = float("inf")) -> Launched:
        """Look until it is so, at most `within` seconds and once at least; then look whether it stays so for `steady`."""
        began, since = time.monotonic(), None  # since when it has been so
        while True:
            left = began + within - time.monotonic() + 1.0 if within and since is None else CHECK_BOUND_SECONDS
            left = min(left, CHECK_BOUND_SECONDS, began + bound - time.monotonic())
            launched = steps.perform(self.run, row, self._wake, max(left, 0.1))
            now = time.monotonic()
            if steps.judge(launched)[0] is StepStatus.SUCCEEDED:
                since = now if since is None else since
                over = now >= since + steady
            else:
                over = since is not None or now >= began + within
            if over or self.stopped:
                return launched
            if now >= began + bound:
                said = f"did not come to an end within its bound of {bound:g} s: {launched.message}"
                return replace(launched, result=Result(False, said), timed_out=True, message=said)
            self._pause(every)

    # -- stopping

    def _wake(self) -> str:
        """Renew the lease; say why everything has to end now, or nothing. Raises LeaseLost."""
        at = timezone.now()
        try:
            steps.renew(self.lease, at)
            self.stopped, self.renewed = self._why_stop(hard=True), at
        except (OperationalError, InterfaceError) as error:  # a database that is away costs nothing while the lease lasts
            connection.close()
            self.stopped = "kill_switch" if stop_file_is_there() else self.stopped
            if at > self.renewed + LEASE - timedelta(seconds=3):
                raise LeaseLost(f"run {self.run.pk}: the database was away until the lease ran out: {error}") from error
            logger.warning("run %s: the database is away: %s", self.run.pk, error)
        return self.stopped

    def _stop_asked(self) -> bool:
        """Between steps: an installation that is paused, or only observes, starts nothing further either."""
        self.stopped = self._why_stop(hard=False)
        return bool(self.stopped)

    def _why_stop(self, *, hard: bool) -> str:
        switch = kill_state()
        if switch is KillState.KILL or (switch is KillState.PAUSE and not hard):
            return "kill_switch"
        if not hard and global_mode() is not GlobalMode.EXECUTE:  # taken over after a restart with other settings
            return "mode"
        deadline = self.run.deadline_at
        if deadline and timezone.now() >= deadline + (UNDO_AFTER_DEADLINE if self.undoing else timedelta(0)):
            return "deadline"
        if not self.undoing and Run.objects.filter(pk=self.run.pk, decision__has_key="abort_asked").exists():
            return "operator"
        return ""

    @staticmethod
    def _is_touched(row: Step) -> bool:
        """Whether the step may have changed something that nobody has undone."""
        return row.status in TOUCHED and was_started(row)

    def _half_done(self) -> str:
        rows = [row for row, planned in self._planned() if self._is_touched(row) and "check" not in planned]
        done = [f"{row.name} (undone by {undo_of(self.run, row).get('action', 'nothing')})" for row in rows]
        return f"; half-done: {', '.join(done)}" if done else "; nothing was done"

    # -- moving

    def _to(self, status: RunStatus, reason: str) -> None:
        fence = {"lease_token": self.lease.token}
        if not move(self.run, status, actor=self.lease.holder, at=timezone.now(), reason=reason, where=fence):
            raise LeaseLost(f"run {self.run.pk} was moved by somebody else")

    def _finish(self, status: RunStatus, reason: str, why: AbortReason | None = None) -> NoReturn:
        fence, reason = {"lease_token": self.lease.token}, reason + self._tally()
        done = finish(self.run, status, actor=self.lease.holder, reason=reason, at=timezone.now(), abort_reason=why, where=fence)
        if not done:
            raise LeaseLost(f"run {self.run.pk} was ended by somebody else")
        raise Over

    def _tally(self) -> str:
        """What every outcome of the run says further."""
        return ""

    def _pause(self, seconds: float) -> None:
        """Wait between looks or tries, waking each second as always."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self._wake():
            time.sleep(min(left, 1.0))


def said_of(row: Step) -> str:
    """What became of a step, in words."""
    return f"step {row.name} {row.status.replace('_', ' ')}: {row.message}".rstrip(": ")
