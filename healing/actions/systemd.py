"""Units of systemd, by systemctl, here or on a host that is reached by ssh.

A verb is only queued (`--no-block`), so that nothing hangs inside systemctl; then the unit is looked at until it has settled.
If the step is ended before that (its bound, an abort, the kill switch, a dead worker), the queued job is cancelled: the launcher
says TERM and waits two seconds, which is long for a call here. A call by ssh may take longer, so a remote step ends itself
before its bound.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from healing.processes import ByUnit
from healing.result import Result

from .base import Context
from .tools import Machine, ToolError

PAUSE, PAUSE_REMOTE, STAYS = 0.2, 1.0, 0.5
WORD = 0.5  # seconds in which the word to end comes, if that is why a tool failed
CANCEL_SECONDS = 5.0  # kept back for it by ssh; of a short bound, a quarter
PROPERTIES = "ActiveState,SubState,Job"
UP = {"active", "reloading", "refreshing"}
MOVING = {"activating", "deactivating", "reloading", "refreshing", "maintenance"}
NO_JOB = ("", "0")


class _Ended(BaseException):
    """This step is being ended. Not an Exception: nobody on the way may take it for a failure of their own."""


def start(unit: ByUnit, context: Context) -> Result:
    return _act("start", unit, context, "active")


def stop(unit: ByUnit, context: Context) -> Result:
    return _act("stop", unit, context, "inactive")


def restart(unit: ByUnit, context: Context) -> Result:
    return _act("restart", unit, context, "active")


def look(unit: ByUnit, context: Context) -> Result:
    """One look at whether the unit is active."""
    machine = Machine(context, unit.remote)
    try:
        state = show(unit.unit, machine)
    except ToolError as error:
        return Result(False, str(error))
    return Result(state["ActiveState"] == "active", _words(unit.unit, machine, state), {"state": state})


def show(unit: str, machine: Machine) -> dict[str, str]:
    return properties(machine.ask("systemctl", "show", "-p", PROPERTIES, "--", unit))


def main_process(unit: str, machine: Machine, seconds: float) -> tuple[bool, int | None]:
    """Whether the unit is up, and its main process, if it has one. Raises ToolError where systemd says neither."""
    wanted = "LoadState,ActiveState,MainPID"
    state = properties(machine.ask("systemctl", "show", "-p", wanted, "--", unit, seconds=seconds), wanted)
    if state["LoadState"] != "loaded":
        raise ToolError(f"{unit}{machine.name} is {state['LoadState'] or 'in no state'}: systemd has no such unit to tell of")
    return state["ActiveState"] in UP, int(state["MainPID"] or 0) or None


def properties(text: str, wanted: str = PROPERTIES) -> dict[str, str]:
    """`Name=value` lines; what systemctl does not print is the empty string."""
    found = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    return {name: found.get(name, "") for name in wanted.split(",")}


def settled(state: dict[str, str]) -> bool:
    """No job is queued, and the unit is in no state between two."""
    return state["Job"] in NO_JOB and state["ActiveState"] not in MOVING


def _act(verb: str, unit: ByUnit, context: Context, wanted: str) -> Result:
    machine = Machine(context, unit.remote)
    try:
        with _told_to_end(machine) as told:
            try:
                state = _brought(verb, unit.unit, machine, wanted, told)
            except ToolError:
                time.sleep(WORD)  # whoever ends us ends the tool too, perhaps a moment before: _Ended rises here
                raise
    except ToolError as error:
        return Result(False, str(error))
    except _Ended:
        return Result(False, f"{unit.unit}{machine.name} had not settled in its time; {_cancelled(unit.unit, machine)}")
    reached = {wanted, "failed"} if wanted == "inactive" else {wanted}
    return Result(state["ActiveState"] in reached, _words(unit.unit, machine, state), {"state": state})


def _brought(verb: str, unit: str, machine: Machine, wanted: str, told: list[int]) -> dict[str, str]:
    """The state in which the unit settled after the verb."""
    machine.ask("systemctl", "--no-ask-password", verb, "--no-block", "--", unit)
    state = _settle(unit, machine, told)
    if wanted == "active" and state["ActiveState"] == wanted:  # a simple service is active as soon as it was forked
        time.sleep(STAYS)
        state = _settle(unit, machine, told)
    return state


def _settle(unit: str, machine: Machine, told: list[int]) -> dict[str, str]:
    while not settled(state := show(unit, machine)):
        if told:
            raise _Ended
        time.sleep(PAUSE_REMOTE if machine.remote else PAUSE)  # for as long as the step has time
    return state


@contextmanager
def _told_to_end(machine: Machine) -> Iterator[list[int]]:
    """Have TERM, and of a remote step the clock as well, raise _Ended; afterwards TERM ends nothing here any more.

    What is started then inherits that, so that the launcher's TERM to all descendants leaves the cancelling alone. Python drops
    what a handler raises where a finalizer runs just then: so whoever goes round a loop looks at the signals that are yielded.
    """
    told: list[int] = []

    def end(number: int, _: object) -> NoReturn:
        told.append(number)
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise _Ended

    bound = machine.context.bound_seconds
    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGALRM, end)
    if machine.remote:
        signal.setitimer(signal.ITIMER_REAL, bound - min(CANCEL_SECONDS, bound / 4))
    try:
        yield told
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _cancelled(unit: str, machine: Machine) -> str:
    """Cancel the job that is queued for the unit, and say so: on standard output too, since the bound may cut the result off."""
    try:
        job = show(unit, machine)["Job"]
        if job in NO_JOB:
            words = "no job of it is queued"
        else:
            machine.ask("systemctl", "--no-ask-password", "cancel", "--", job)
            words = f"its queued job {job} was cancelled"
    except ToolError as error:
        words = f"whether a job of it is queued could not be found out: {error}"
    print(words, flush=True)
    return words


def _words(unit: str, machine: Machine, state: dict[str, str]) -> str:
    return f"{unit}{machine.name} is {state['ActiveState'] or 'in no state'} ({state['SubState'] or 'none'})"
