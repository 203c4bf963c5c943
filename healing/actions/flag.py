"""`flag.set`: a feature flag, at the address in the label `flags_url`, or in the JSON file of the label `flags_file`.

The file is an object of flags: `{"new-checkout": true}`. It is replaced as a whole, under a lock beside it, and read back.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, StrictBool, StrictInt, model_validator

from healing.parameters import Strict, Text, frozen, local, one_line, validated
from healing.processes import Absolute
from healing.result import Result
from selfheal.places import Place
from selfheal.states import Impact

from . import control
from .base import Context, Lasting

MAX_FILE = 1024 * 1024

Flag = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}$")]
Whole = Annotated[StrictInt, Field(ge=-(2**53), le=2**53)]
Value = StrictBool | Whole | Text


class Parameters(Strict):
    flag: Flag
    value: Value


class Frozen(Strict):
    flag: Flag
    value: Value | None = None  # there was no such flag, which only a file can be told
    at: control.Control | None = None
    file: Absolute | None = None

    @model_validator(mode="after")
    def one_place(self) -> Self:
        if (self.at is None) == (self.file is None):
            raise ValueError("must hold `at` or `file`")
        return self

    @property
    def where(self) -> str:
        return self.file or (self.at.url if self.at else "")


class FlagSet(Lasting):
    """A feature flag to a value, read back. What it was before is put back by `rollback: undo`."""

    name, impact, undoes = "flag.set", Impact.MEDIUM, True
    Parameters = Parameters

    def freeze(self, given: Mapping[str, Any], place: Place) -> dict[str, Any]:
        asked = validated(Parameters, given)
        if place.labels.get("flags_file") and not place.labels.get("flags_url"):
            local(place, "a flags file")
            where: dict[str, Any] = {"file": place.labels["flags_file"]}
        else:
            where = {"at": control.declared(place, "flags_url", asked.flag)}
        return frozen(validated(Frozen, {**frozen(asked), **where}))

    def idempotent(self, arguments: Mapping[str, Any]) -> bool:
        return False  # a second run would find its own value, and not know what was before

    def targets(self, arguments: Mapping[str, Any]) -> tuple[str, ...]:
        plan = validated(Frozen, arguments)
        return (f"flag {plan.flag} at {one_line(plan.where)}",)

    def dry_run(self, arguments: Mapping[str, Any]) -> str:
        plan = validated(Frozen, arguments)
        return f"set flag {plan.flag} to {_shown(plan.value)} at {one_line(plan.where)}"

    def undo(self, arguments: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any] | None:
        return {**arguments, "value": data["before"]} if "before" in data else None

    def run(self, arguments: Mapping[str, Any], context: Context) -> Result:
        plan = validated(Frozen, arguments)
        try:
            before, after = _in_file(plan, context) if plan.file else _at_url(plan, context)
        except control.ControlError as error:
            return control.failed(error)
        words = f"{plan.flag} is {_shown(after)}, it was {_shown(before)}"
        same = after == plan.value and type(after) is type(plan.value)
        return Result(same, words if same else f"{words}, and should be {_shown(plan.value)}", {"before": before, "after": after})


def _shown(value: Any) -> str:
    return "not set" if value is None else one_line(json.dumps(value, ensure_ascii=False))


def _at_url(plan: Frozen, context: Context) -> tuple[Any, Any]:
    assert plan.at is not None
    if plan.value is None:
        raise control.ControlError(f"{plan.where} cannot be told that a flag is not set")
    before = context.earlier.get("before", _value(control.read(plan.at, context)))
    context.note({"before": before})
    control.write("PUT", plan.at, context, {"value": plan.value})
    return before, _value(control.read(plan.at, context))


def _value(answer: Mapping[str, Any]) -> Any:
    if not isinstance(answer.get("value"), (bool, int, str)):
        raise control.ControlError('a flag is answered as {"value": true}, a whole number or text in place of true')
    return answer["value"]


def _in_file(plan: Frozen, context: Context) -> tuple[Any, Any]:
    path = Path(os.path.realpath(plan.file or ""))  # a link stays one
    try:
        with _locked(path):
            flags = _read(path)
            before = context.earlier.get("before", flags.get(plan.flag))
            context.note({"before": before})
            changed = {name: value for name, value in flags.items() if name != plan.flag}
            _replace(path, changed if plan.value is None else {**changed, plan.flag: plan.value})
            return before, _read(path).get(plan.flag)
    except OSError as error:
        raise control.ControlError(f"{path}: {error.strerror or error}") from error


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Two of us never write at once; whoever else writes the file has to know of the lock as well."""
    with path.with_name(f".{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _read(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        text = file.read(MAX_FILE + 1)
    try:
        flags = json.loads(text) if len(text) <= MAX_FILE else None
    except ValueError:
        flags = None
    if not isinstance(flags, dict):
        raise control.ControlError(f"{path} is no JSON object of at most {MAX_FILE:,} bytes")
    return flags


def _replace(path: Path, flags: Mapping[str, Any]) -> None:
    """The new file in one move, with the old one's owner and mode."""
    was = path.stat()
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with fresh.open("w") as file:
            json.dump(flags, file, indent=2, ensure_ascii=False)
            file.write("\n")
            file.flush()
            os.fchmod(file.fileno(), was.st_mode & 0o7777)
            if (was.st_uid, was.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(file.fileno(), was.st_uid, was.st_gid)
            os.fsync(file.fileno())
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
