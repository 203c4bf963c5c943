"""Programs of supervisord, by supervisorctl, which waits itself until a program has started or stopped."""

from __future__ import annotations

import re
import time

from healing.processes import ByProgram
from healing.result import Result

from .base import Context
from .tools import Machine, ToolError

UP = {"RUNNING"}
DOWN = {"STOPPED", "EXITED", "FATAL"}
MOVING = {"STARTING", "BACKOFF", "STOPPING"}
STATES = UP | DOWN | MOVING | {"UNKNOWN"}
PAUSE = 0.2  # seconds between two looks at a program that is between two states
CODES = range(100)  # the state afterwards decides; those above are of a tool that was not run, or was ended
STATUS_CODES = (0, 3)  # 3: at least one program is not running


def start(program: ByProgram, context: Context) -> Result:
    return _act(program, context, "start", UP)


def stop(program: ByProgram, context: Context) -> Result:
    return _act(program, context, "stop", DOWN)


def restart(program: ByProgram, context: Context) -> Result:
    return _act(program, context, "restart", UP)


def look(program: ByProgram, context: Context) -> Result:
    """One look at whether the program runs."""
    try:
        state = status(program, Machine(context, program.remote))
    except ToolError as error:
        return Result(False, str(error))
    return Result(state in UP, f"{program.program} is {state}", {"state": state})


def command(program: ByProgram, verb: str) -> list[str]:
    config = ["-c", program.supervisor_config] if program.supervisor_config else []
    return ["supervisorctl", *config, verb, program.program]


def main_process(program: ByProgram, machine: Machine, seconds: float) -> tuple[bool, int | None]:
    """Whether the program runs, and its process. Raises ToolError as `status` does."""
    text = machine.ask(*command(program, "status"), seconds=seconds, allow=STATUS_CODES)
    pid = re.search(r"\bpid (\d+)", text)
    return state_in(text, program.program) in UP, int(pid[1]) if pid else None


def status(program: ByProgram, machine: Machine) -> str:
    """The state of the program. Raises ToolError if supervisord does not answer, or does not know it."""
    text = machine.ask(*command(program, "status"), allow=STATUS_CODES)
    return state_in(text, program.program)


def state_in(text: str, name: str) -> str:
    """The state in a line like `web   RUNNING   pid 12, uptime 0:00:01`."""
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] in (name, f"{name}:{name}") and words[1] in STATES:
            return words[1]
    raise ToolError(f"supervisorctl does not show {name}: {' '.join(text.split())[:300] or 'it said nothing'}")


def _act(program: ByProgram, context: Context, verb: str, wanted: set[str]) -> Result:
    machine = Machine(context, program.remote)
    try:
        before = status(program, machine)
        if verb != "restart" and before in wanted:
            return Result(True, f"{program.program} is {before} already", {"state": before})
        said = machine.ask(*command(program, "start" if before in DOWN else verb), seconds=600, allow=CODES)
        while (after := status(program, machine)) in MOVING:
            time.sleep(PAUSE)  # for as long as the step has time
    except ToolError as error:
        return Result(False, str(error))
    words = f"{program.program} is {after}"
    return Result(after in wanted, words if after in wanted else f"{words}: {' '.join(said.split())[:300]}", {"state": after})
