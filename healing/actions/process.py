"""`process.start`, `process.stop`, `process.restart`, whoever keeps it: systemd, supervisord, a pidfile, `selfheal up`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from healing import processes
from healing.parameters import Strict, frozen, validated
from healing.remote import remote_of
from healing.result import Result
from selfheal.places import Place
from selfheal.states import Impact

from . import pidfile, supervised, supervisord, systemd
from .base import Context, Lasting


class Keeper(Protocol):
    """Who keeps processes of one kind; each act is bounded by its step."""

    def start(self, process: Any, context: Context) -> Result: ...
    def stop(self, process: Any, context: Context) -> Result: ...
    def restart(self, process: Any, context: Context) -> Result: ...
    def look(self, process: Any, context: Context) -> Result: ...


KEEPERS: dict[str, Keeper] = {"unit": systemd, "program": supervisord, "pidfile": pidfile, "part": supervised}


class Parameters(Strict):
    """Nothing: the incident's own service and target, by its labels. Or a unit of systemd."""

    unit: processes.Unit | None = None


def freeze(given: Mapping[str, Any], place: Place) -> dict[str, Any]:
    """How the process is known: `{by: unit, unit}`, `{by: program, program, …}`, `{by: pidfile, pidfile, start}`, or
    `{by: part, part}`.

    `remote: {host, user}` stands beside it if the target is reached by ssh.
    """
    asked = validated(Parameters, given)
    return frozen(processes.ByUnit(unit=asked.unit, remote=remote_of(place)) if asked.unit else processes.known(place))


class ProcessAction(Lasting):
    """One verb on the process, whoever keeps it: systemd, supervisord, a pidfile or, for parts of selfheal, `selfheal up`."""

    impact = Impact.LOW
    Parameters = Parameters

    def __init__(self, verb: str, *, again: bool) -> None:
        self.name, self._verb, self._again = f"process.{verb}", verb, again

    def freeze(self, given: Mapping[str, Any], place: Place) -> dict[str, Any]:
        return freeze(given, place)

    def idempotent(self, arguments: Mapping[str, Any]) -> bool:
        return self._again

    def targets(self, arguments: Mapping[str, Any]) -> tuple[str, ...]:
        return (processes.described(arguments),)

    def dry_run(self, arguments: Mapping[str, Any]) -> str:
        return f"{self._verb} {processes.described(arguments)}"

    def run(self, arguments: Mapping[str, Any], context: Context) -> Result:
        process = processes.thaw(arguments)
        act: Any = getattr(KEEPERS[process.by], self._verb)
        return act(process, context)
