"""`command.run`: a program by its argument list, never a shell.

`{command: NAME, args}` takes an argument list of commands.yaml and puts typed, bounded values into its slots `${args.NAME}`;
`{argv}` takes one as it is, if its program stands in SELF_HEAL_COMMAND_ALLOW. What is frozen is the whole list, and the host that
runs it if the target is reached by ssh; that host has an allow-list of its own.
Secrets stand in the environment only, by name, and are read in the moment of the start.

It runs with a clean environment, under limits on processor time, memory, files and processes, and in the sandbox
(`healing.sandbox`) where there is one, unless its entry in commands.yaml says otherwise.
"""

from __future__ import annotations

import math
import os
import resource
import shlex
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from healing.forking import execute
from healing.parameters import Strict, Text, frozen, one_line, validated
from healing.processes import Absolute
from healing.remote import Remote, client, remote_of
from healing.result import Result
from selfheal.commands import Limits
from selfheal.errors import Invalid
from selfheal.places import Place
from selfheal.states import Impact

from .base import Context, Lasting

MIB = 1024 * 1024
CPU_MARGIN = 10  # seconds

Argv = Annotated[list[Text], Field(min_length=1, max_length=256)]


class Parameters(Strict):
    command: Annotated[str, Field(max_length=100)] | None = None
    args: dict[str, Any] = {}
    argv: Argv | None = None

    @model_validator(mode="after")
    def one_of_two(self) -> Self:
        if (self.command is None) == (self.argv is None):
            raise ValueError("must hold `command` (a name of commands.yaml) or `argv`, and not both")
        if self.argv is not None and self.args:
            raise ValueError("`args` are for a `command`; with `argv` the list is complete")
        return self


class Frozen(Strict):
    argv: Argv
    env: dict[str, Text] = {}
    command: str | None = None
    idempotent: bool = False
    timeout_ms: int | None = None
    sandbox: bool = True
    limits: Limits = Limits()
    remote: Remote | None = None


class _Path(Strict):
    path: Absolute


def freeze(given: Mapping[str, Any], place: Place) -> dict[str, Any]:
    """The whole argument list. Raises Invalid for an unknown command, a value out of its bounds, or a program not allowed."""
    asked = validated(Parameters, given)
    plan = _allowed(asked.argv, place) if asked.argv else _filled(asked.command or "", asked.args, place)
    remote = remote_of(place)
    plan = plan.model_copy(update={"remote": remote, "sandbox": plan.sandbox and not remote})  # the sandbox is of this machine
    try:
        validated(_Path, {"path": plan.argv[0]})
    except Invalid as error:
        raise Invalid(f"the program {plan.argv[0]!r} {error.message}", field="argv.0") from error
    return frozen(plan)


def _allowed(argv: list[str], place: Place) -> Frozen:
    if argv[0] not in place.command_allow:
        raise Invalid(f"{argv[0]!r} is not in SELF_HEAL_COMMAND_ALLOW: add its absolute path there", field="argv.0")
    return Frozen(argv=argv)


def _filled(name: str, args: Mapping[str, Any], place: Place) -> Frozen:
    command = place.commands.get(name)
    if command is None:
        raise Invalid(f"{name!r} is no command of commands.yaml", field="command")
    return Frozen(
        argv=command.fill(args),
        env=command.env,
        command=name,
        idempotent=command.idempotent,
        timeout_ms=command.timeout,
        sandbox=command.sandbox,
        limits=command.limits,
    )


def become(arguments: Mapping[str, Any], context: Context) -> Result:
    """Become the program, which returns only if that failed; or have the plan's host run it."""
    plan = validated(Frozen, arguments)
    if plan.timeout_ms:
        context.within(plan.timeout_ms / 1000)
    env = {name: context.reveal(text) for name, text in plan.env.items()}
    if plan.remote:
        bound = min(context.bound_seconds, (plan.timeout_ms or float("inf")) / 1000)
        return client.run(plan.remote, context.ssh, plan.argv, bound, env=env, limits=plan.limits.model_dump())
    there = os.access(plan.argv[0], os.X_OK)  # else let it fail outside, where the reason is told
    error = execute([*(context.sandbox if plan.sandbox and there else ()), *plan.argv], env, _limits(plan, context))
    return Result(False, f"{plan.argv[0]} cannot be started: {error.strerror}")


def _limits(plan: Frozen, context: Context) -> dict[int, int]:
    """Memory and file size as declared; no more processor time than all cores have within the bound."""
    return {
        resource.RLIMIT_CPU: math.ceil(context.bound_seconds) * (os.cpu_count() or 1) + CPU_MARGIN,
        resource.RLIMIT_AS: plan.limits.memory_mib * MIB,
        resource.RLIMIT_FSIZE: plan.limits.file_size_mib * MIB,
    }


def targets(arguments: Mapping[str, Any]) -> tuple[str, ...]:
    plan = validated(Frozen, arguments)
    name = f"command {plan.command}" if plan.command else f"program {one_line(plan.argv[0])}"
    return (f"{name} on {plan.remote.host}" if plan.remote else name,)


def described(arguments: Mapping[str, Any]) -> str:
    """The argument list as a person would write it; for reading, never for a shell."""
    plan = validated(Frozen, arguments)
    words = one_line(shlex.join(plan.argv))
    return f"{words} on {plan.remote.host}" if plan.remote else words


class CommandRun(Lasting):
    """A program by its argument list, never a shell: a `command` of commands.yaml, or an `argv` that is allowed."""

    name, impact = "command.run", Impact.LOW
    Parameters = Parameters

    def freeze(self, given: Mapping[str, Any], place: Place) -> dict[str, Any]:
        return freeze(given, place)

    def idempotent(self, arguments: Mapping[str, Any]) -> bool:
        return validated(Frozen, arguments).idempotent

    def targets(self, arguments: Mapping[str, Any]) -> tuple[str, ...]:
        return targets(arguments)

    def dry_run(self, arguments: Mapping[str, Any]) -> str:
        return f"run {described(arguments)}"

    def run(self, arguments: Mapping[str, Any], context: Context) -> Result:
        return become(arguments, context)
