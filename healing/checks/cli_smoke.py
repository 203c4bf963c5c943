"""`cli_smoke`: a command line says that all is well, where ENABLE_CLI_VERIFY lets it.

Without `command` it is selfheal's own `smoke`, with the worker's environment; with it, a command by the rules of `command.run`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from healing.actions import command
from healing.parameters import Duration, Strict, frozen, validated
from healing.result import Result
from selfheal.places import Place

from .base import Context

SMOKE = ("-m", "config.cli", "smoke", "--json")


class Parameters(Strict):
    command: Annotated[str, Field(max_length=100)] | None = None
    args: dict[str, Any] = {}
    timeout: Annotated[Duration, Field(ge=100, le=300_000)] = 30_000

    @model_validator(mode="after")
    def args_of_a_command(self) -> Self:
        if self.args and self.command is None:
            raise ValueError("`args` are for a `command`")
        return self


class Frozen(Strict):
    timeout_ms: int
    run: dict[str, Any] | None = None  # what command.run froze; none: selfheal's own smoke test


class CliSmoke:
    """A command of commands.yaml, or without one `selfheal smoke`, finds nothing wrong. Off unless ENABLE_CLI_VERIFY is true."""

    name = "cli_smoke"
    Parameters = Parameters

    def freeze(self, given: Mapping[str, Any], place: Place) -> dict[str, Any]:
        asked = validated(Parameters, given)
        run = command.freeze({"command": asked.command, "args": asked.args}, place) if asked.command else None
        return frozen(Frozen(timeout_ms=asked.timeout, run=run))

    def targets(self, arguments: Mapping[str, Any]) -> tuple[str, ...]:
        run = validated(Frozen, arguments).run
        return command.targets(run) if run else ("selfheal itself",)

    def dry_run(self, arguments: Mapping[str, Any]) -> str:
        run = validated(Frozen, arguments).run
        return f"{command.described(run) if run else 'selfheal smoke'} finds nothing wrong"

    def run(self, arguments: Mapping[str, Any], context: Context) -> Result:
        plan = validated(Frozen, arguments)
        if not context.cli_verify:
            return Result(False, "not looked at: ENABLE_CLI_VERIFY is false, and only where it is true may a cli_smoke check run")
        if plan.run is None:
            return _smoke(plan.timeout_ms / 1000, context)
        context.within(min(plan.timeout_ms, plan.run.get("timeout_ms", plan.timeout_ms)) / 1000)
        return command.become({**plan.run, "timeout_ms": None}, context)


def _smoke(seconds: float, context: Context) -> Result:
    environment = {**os.environ, "SELF_HEAL_HOME": str(context.home)}
    try:
        done = subprocess.run(
            [sys.executable, *SMOKE], stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            timeout=seconds, env=environment, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Result(False, f"selfheal smoke gave no answer in {seconds:g} s")
    print(done.stdout)
    print(done.stderr, file=sys.stderr)
    if done.returncode == 0:
        return Result(True, "selfheal smoke finds nothing wrong")
    return Result(False, f"selfheal smoke: {_wrong(done.stdout) or f'exit code {done.returncode}'}")


def _wrong(output: str) -> str:
    """What it found wrong, by its own words."""
    try:
        findings = json.loads(output)
        return "; ".join(f"{each['what']}: {each['found']}" for each in findings if not each["ok"])[:500]
    except (ValueError, TypeError, KeyError):
        return ""
