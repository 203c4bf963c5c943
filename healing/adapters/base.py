"""What an adapter is: it knows one domain, what is measured there, how its parts are, and what heals them.

A service says by `domain` to which it belongs. SELF_HEAL_SENSE says which domains are sensed; what is sensed goes the way of
every other sample (`healing.signals`): threshold, health, incident, scheduler, policy. An adapter decides and changes nothing.

An adapter MUST
1. be named in `ADAPTERS`: one of ours there, another's by an entry point `selfheal.adapters` of its own name
   (`healing.plugins`), which is the name of the domain: letters, digits and _, at most 30;
2. declare by `telemetry` every metric that it measures, with unit and meaning; one with a threshold is `up` or `latency_ms` with
   the threshold that it has everywhere, or its name begins with the domain's and a dot;
3. sense without changing anything, by `around.until` at the latest, and say something of every place that it is given;
4. say by `Seen.why` what could not be seen: a look that failed is no value, least of all a good one. It raises nothing on
   purpose;
5. measure only what it declares, as finite numbers;
6. reach nothing over a network but by `healing.http`, with `around.guard`;
7. tell by `nodes` of parts that differ in name, depend on nothing in a circle, and are unknown where nobody knows;
8. name by `actions`, `checks` and `playbooks` how its domain acts, verifies and heals: each playbook is for a diagnosis that its
   telemetry raises, uses these actions and checks and no others, and verifies.

It MAY read labels of a `Place`, which only an administrator can set. It MAY look at several places at once (`each`). It MAY have
parts that are no services. A playbook of its domain MAY be missing in an installation that replaces the playbooks.

`healing.adapters.conformance` checks what of this can be checked; every adapter of ours passes it, and so should yours.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from healing.http import Guard
from selfheal.places import Place
from selfheal.states import Health
from selfheal.telemetry import Metric, Node

__all__ = ["PARTS", "Adapter", "Around", "Metric", "Node", "Place", "Placed", "Seen", "Standing", "each"]

AT_ONCE = 8
NO_TIME = "there was no time left to look: the places before it took it all"
HANGS = "the look before this one has not come back yet"


@dataclass(frozen=True)
class Around:
    """What an adapter may use while it looks. `until`: on the monotonic clock."""

    at: datetime
    until: float
    home: Path
    guard: Guard = field(default_factory=Guard)

    @property
    def left(self) -> float:
        return self.until - time.monotonic()


@dataclass(frozen=True)
class Seen:
    """What was measured at a place. `why`, for the person on call: what could not be seen of it, or why it is not well."""

    place: Place
    values: Mapping[str, float] = field(default_factory=dict)
    why: str = ""


@dataclass(frozen=True)
class Standing:
    """A service of the domain as its signals tell: the health of the worst of its targets, and why."""

    service: str
    health: Health
    why: str
    needs: tuple[str, ...] = ()


class Adapter(Protocol):
    """One domain; the rules stand at the top of this module."""

    @property
    def name(self) -> str: ...
    @property
    def telemetry(self) -> tuple[Metric, ...]: ...
    @property
    def actions(self) -> tuple[str, ...]: ...
    @property
    def checks(self) -> tuple[str, ...]: ...
    @property
    def playbooks(self) -> tuple[str, ...]: ...

    def sense(self, places: Sequence[Place], around: Around) -> list[Seen]:
        """Look at each place once."""
        ...

    def nodes(self, services: Sequence[Standing], at: datetime) -> tuple[Node, ...]:
        """The parts of the domain: its services, or parts of its own."""
        ...


# Looks of this process that were left behind: whoever hangs (a file system that is gone) is not looked at again meanwhile.
_left: dict[tuple[str, str], Future[Seen]] = {}
PARTS = ("name", "telemetry", "actions", "checks", "playbooks", "sense", "nodes")


class Placed:
    """An adapter whose parts are its services: the beginning of most."""

    def nodes(self, services: Sequence[Standing], at: datetime) -> tuple[Node, ...]:
        return tuple(Node(each.service, each.health, each.why, each.needs) for each in services)


def each(places: Sequence[Place], look: Callable[[Place], Seen], until: float) -> list[Seen]:
    """`look` at each place, several at once. Whose turn does not come, or whose look fails or lasts too long, is not seen."""
    for key in [key for key, done in _left.items() if done.done()]:
        del _left[key]
    hanging = [place for place in places if _key(place) in _left]
    free = [place for place in places if _key(place) not in _left]
    pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="sense")
    looks = [pool.submit(_in_time, look, place, until) for place in free]
    wait(looks, timeout=max(0.0, until - time.monotonic()))
    pool.shutdown(wait=False, cancel_futures=True)
    _left.update({_key(place): done for place, done in zip(free, looks, strict=True) if not done.done()})
    return [*(_of(place, done) for place, done in zip(free, looks, strict=True)), *(Seen(each, why=HANGS) for each in hanging)]


def _key(place: Place) -> tuple[str, str]:
    return place.service, place.target


def _in_time(look: Callable[[Place], Seen], place: Place, until: float) -> Seen:
    return look(place) if time.monotonic() < until else Seen(place, why=NO_TIME)


def _of(place: Place, done: Future[Seen]) -> Seen:
    if done.cancelled() or not done.done():
        return Seen(place, why=NO_TIME if done.cancelled() else HANGS)
    error = done.exception()
    return Seen(place, why=f"looking failed: {type(error).__name__}: {error}") if error else done.result()
