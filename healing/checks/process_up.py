"""`process_up`: the process of the incident's own service and target lives, as whoever keeps it sees it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from healing import processes
from healing.actions import process
from healing.result import Result
from selfheal.places import Place

from .base import Context


class ProcessUp:
    """The process lives, as whoever keeps it sees it."""

    name = "process_up"
    Parameters = process.Parameters

    def freeze(self, given: Mapping[str, Any], place: Place) -> dict[str, Any]:
        return process.freeze(given, place)

    def targets(self, arguments: Mapping[str, Any]) -> tuple[str, ...]:
        return (processes.described(arguments),)

    def dry_run(self, arguments: Mapping[str, Any]) -> str:
        return f"{processes.described(arguments)} lives"

    def run(self, arguments: Mapping[str, Any], context: Context) -> Result:
        known = processes.thaw(arguments)
        return process.KEEPERS[known.by].look(known, context)
