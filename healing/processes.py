"""How a process is known, and whether it lives.

A process is known by `labels.unit` (systemd), else by `labels.program` (supervisord; `labels.supervisor_config` may name its
configuration), else by `labels.pidfile` with `labels.start` (its argument list), else by `labels.part`: a part of selfheal itself
that `selfheal up` keeps. `known(place)` freezes that into the plan, with the host if it is reached by ssh; a pidfile and a part
are for this machine only.

A pidfile is stale if its process is gone, is a zombie, or is not that command. It is that command if
1. it is the very process that we started for this pidfile (our record has its pid and its start, so titles do not matter),
2. or its arguments are those of `start`,
3. or they are those of `start`, a script, behind the interpreter that its `#!` line names (and at most two options of it),
4. or they differ only in how the program is written: `python3` for `/usr/bin/python3.11` (same file name but for a version),
5. or they are the last ones of a `start` that begins with a wrapper that becomes its program (env, nice, setsid, …),
6. or it shows one title that ends in the whole of `start` ("nginx: master process /usr/sbin/nginx -g daemon off;").
So a pid that was given to another program never makes that program ours.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import psutil
from pydantic import AfterValidator, Field, StringConstraints, TypeAdapter, ValidationError

from healing.detached import started_of
from healing.parameters import Strict, Text, one_line
from healing.remote import Remote, remote_of
from selfheal.errors import Invalid, NotApplicable
from selfheal.places import Place

WRAPPERS = {"env", "nice", "ionice", "nohup", "setsid", "chrt", "taskset", "stdbuf", "setpriv", "chpst", "exec"}
PIDFILE_LIMIT = 64
RESTARTED = ("web", "sequencer")  # parts of selfheal on which healing does not stand

Unit = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_:][A-Za-z0-9_:.\\@-]{0,254}$")]


def _absolute(path: str) -> str:
    if not os.path.isabs(path) or os.path.normpath(path) != path:
        raise ValueError("must be an absolute path without . and ..")
    return path


def _one(program: str) -> str:
    if program == "all":
        raise ValueError("must be one program, not all of them")
    return program


Program = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.:-]{0,126}$"), AfterValidator(_one)]
Absolute = Annotated[Text, AfterValidator(_absolute)]


class ByUnit(Strict):
    by: Literal["unit"] = "unit"
    unit: Unit
    remote: Remote | None = None


class ByProgram(Strict):
    by: Literal["program"] = "program"
    program: Program
    supervisor_config: Absolute | None = None
    remote: Remote | None = None


class ByPidfile(Strict):
    by: Literal["pidfile"] = "pidfile"
    pidfile: Absolute
    start: Annotated[list[Text], Field(min_length=1, max_length=256)]


class ByPart(Strict):
    """A process of selfheal itself, as `selfheal up` keeps it."""

    by: Literal["part"] = "part"
    part: Literal["web", "sequencer"]


Known = ByUnit | ByProgram | ByPidfile | ByPart
_KNOWN: TypeAdapter[Known] = TypeAdapter(Annotated[Known, Field(discriminator="by")])


def known(place: Place) -> Known:
    """How the process of this place is known, from its labels.

    Raises Invalid naming the label, and NotApplicable for a pidfile on another host.
    """
    labels, remote = place.labels, remote_of(place)
    if labels.get("unit"):
        return _of("labels", {"by": "unit", "unit": labels["unit"], "remote": remote})
    if labels.get("program"):
        config = labels.get("supervisor_config")
        return _of("labels", {"by": "program", "program": labels["program"], "supervisor_config": config, "remote": remote})
    if labels.get("pidfile"):
        if remote:
            raise NotApplicable(
                f"{place.target} is reached by ssh, and a process that is known by a pidfile can be kept on this machine only: "
                "have systemd or supervisord keep it, and give the service the label `unit` or `program`"
            )
        return _of("labels", {"by": "pidfile", "pidfile": labels["pidfile"], "start": _start(labels.get("start"))})
    if labels.get("part"):
        return _part(labels["part"], place)
    raise Invalid(
        f"service {place.service} does not say which process it is: give it the label `unit` (systemd), `program` (supervisord), "
        "or `pidfile` with `start`",
        field="labels",
    )


def _part(part: str, place: Place) -> Known:
    if place.via != "local":
        raise NotApplicable(f"{place.target} is reached by {place.via}, and `selfheal up` keeps what is on this machine")
    if part not in RESTARTED:
        raise Invalid(
            f"{part!r} is no part that can be healed so, only {' and '.join(RESTARTED)} are: healing stands on the others, which "
            "`selfheal up` or systemd starts again; the worker of a pool needs the label `unit` as well",
            field="labels.part",
        )
    return _of("labels", {"by": "part", "part": part})


def thaw(arguments: Mapping[str, Any]) -> Known:
    """What `known` froze."""
    return _of("with", dict(arguments))


def described(arguments: Mapping[str, Any]) -> str:
    """What `known` froze, in words: "unit web.service", "program web", "process of /run/web.pid"."""
    process = thaw(arguments)
    if isinstance(process, ByPidfile):
        return f"process of {one_line(process.pidfile)}"
    if isinstance(process, ByPart):
        return f"{process.part} of selfheal"
    name = f"unit {process.unit}" if isinstance(process, ByUnit) else f"program {process.program}"
    return f"{name} on {process.remote.host}" if process.remote else name


def _of(field: str, value: dict[str, Any]) -> Known:
    try:
        return _KNOWN.validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        path = [field, *map(str, first["loc"][1:])]  # the first is the kind
        raise Invalid(first["msg"].removeprefix("Value error, "), field=".".join(path)) from None


def _start(value: Any) -> Any:
    if value is None:
        raise Invalid("must stand beside `pidfile`: a JSON list of arguments, the program first", field="labels.start")
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise Invalid(f"is no JSON list of arguments: {error}", field="labels.start") from error
    if isinstance(value, list) and (not value or not value[0]):
        raise Invalid("names no program", field="labels.start")
    return value


def running(process: ByPidfile, home: Path) -> int | None:
    """The pid of the live process that is known so, or None."""
    recorded = _recorded(process, home)
    pid = read_pidfile(Path(process.pidfile))
    if pid and alive(pid) and (pid == recorded or is_command(pid, process.start)):
        return pid
    return recorded


def record_path(process: ByPidfile, home: Path) -> Path:
    """Where the start of this process is written down."""
    return home / "started" / f"{hashlib.sha256(process.pidfile.encode()).hexdigest()[:24]}.json"


def _recorded(process: ByPidfile, home: Path) -> int | None:
    """The process that we started for this pidfile, if it is the same one still."""
    try:
        record = json.loads(record_path(process, home).read_text())
    except (FileNotFoundError, ValueError):  # none, or a write cut short before anything was started
        return None
    pid, started = record.get("pid"), record.get("started")
    return pid if isinstance(pid, int) and alive(pid) and started_of(pid) == started else None


def read_pidfile(path: Path) -> int | None:
    """The pid in it; None if there is no such file or no pid in it."""
    try:
        with path.open("rb") as file:
            text = file.read(PIDFILE_LIMIT)
    except FileNotFoundError:
        return None
    found = re.match(rb"\s*([0-9]{1,10})\s", text + b"\n")
    return int(found[1]) or None if found else None


def alive(pid: int) -> bool:
    """There is such a process, and it is no zombie, whoever its parent is."""
    try:
        return psutil.Process(pid).status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False


def is_command(pid: int, start: Sequence[str]) -> bool:
    """Whether process `pid` runs the command `start`, by rules 2 to 6 above."""
    try:
        shown = psutil.Process(pid).cmdline()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False
    return same_command(shown, list(start))


def same_command(shown: list[str], start: list[str]) -> bool:
    if not shown:
        return False
    if _same(shown, start):
        return True
    before, last = shown[: -len(start)], shown[-len(start) :]
    if last == start and 1 <= len(before) <= 3 and _program(before[0]) == _interpreter(start[0]):
        return True
    if os.path.basename(start[0]) in WRAPPERS and any(_same(shown, start[k:]) for k in range(1, len(start))):
        return True
    return len(shown) == 1 and shown[0].rstrip().endswith(" " + " ".join(start))


def _same(shown: Sequence[str], start: Sequence[str]) -> bool:
    """The same arguments of the same program, however it is written."""
    if list(shown[1:]) != list(start[1:]):
        return False
    return shown[0] == start[0] or (len(start) > 1 and _program(shown[0]) == _program(start[0]))


def _program(path: str) -> str:
    """The file name without a version: python3.11 → python."""
    name = os.path.basename(path)
    return re.sub(r"[0-9.]+$", "", name) or name


def _interpreter(script: str) -> str:
    """The program that a `#!` line names, behind `env` too; the empty string: there is no such line."""
    try:
        with open(script, "rb") as file:
            line = file.readline(256).decode("utf-8", "replace")
    except OSError:
        return ""
    words = [word for word in line.removeprefix("#!").split() if not word.startswith("-") and "=" not in word]
    if not line.startswith("#!") or not words:
        return ""
    return _program(words[1] if _program(words[0]) == "env" and len(words) > 1 else words[0])
