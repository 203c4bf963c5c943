"""`command`: a program, by the rules of `command.run`, exits with 0."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from healing.actions import command
from healing.result import Result
from selfheal.places import Place

from .base import Context


class Command:
    """A program, by the rules of `command.run`, exits with 0."""

    name = "command"
    Parameters = command.Parameters

    def freeze(self, given: Mapping[str, Any], place: Place) -> dict[str, Any]:
        return command.freeze(given, place)

    def targets(self, arguments: Mapping[str, Any]) -> tuple[str, ...]:
        return command.targets(arguments)

    def dry_run(self, arguments: Mapping[str, Any]) -> str:
        return f"{command.described(arguments)} exits with 0"

    def run(self, arguments: Mapping[str, Any], context: Context) -> Result:
        return command.become(arguments, context)
