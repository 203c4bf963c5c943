"""Which troubles are one: services that need each other, unwell within minutes, have a probable root.

Rules that this module keeps:
1. Two services belong together when one needs the other, directly or not, and they became unwell within `WINDOW`.
2. The probable root is the deepest dependency that is unwell. Of several, the one that explains the most unwell services; then
   the one that was unwell first; then the first by name. So the same troubles in any order have the same root.
3. A service that nobody complains of is the probable root when it explains at least two whose own dependencies are well, and at
   least half of those that need it directly are unwell. It is never looked for behind a dependency that is well.
4. What nothing explains stays by itself, and so does what another trouble of the same service is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from selfheal.graph import Graph, needs

WINDOW = timedelta(minutes=5)
WAIT = timedelta(minutes=15)  # after which a part is looked at by itself, whatever its root does


@dataclass(frozen=True)
class Trouble:
    """One incident."""

    key: str
    service: str
    opened_at: datetime


@dataclass(frozen=True)
class Group:
    """`root` is a service; `root_key` its incident, empty where it has none; `parts` the incidents that it explains."""

    root: str
    root_key: str
    parts: tuple[str, ...]


def correlate(troubles: Iterable[Trouble], graph: Graph) -> tuple[Group, ...]:
    """The groups with at least one part, by the name of their root."""
    ordered = sorted(troubles, key=lambda trouble: (trouble.opened_at, trouble.key))
    first: dict[str, Trouble] = {}
    for trouble in ordered:
        first.setdefault(trouble.service, trouble)
    below = _below(first, graph)
    root = _roots(first, below)
    for silent, explained in _silent(first, root, graph).items():
        root.update({service: silent for service, found in root.items() if found in explained})
    groups: dict[str, list[str]] = {}
    for trouble in ordered:
        if root[trouble.service] != trouble.service:
            groups.setdefault(root[trouble.service], []).append(trouble.key)
    return tuple(Group(name, first[name].key if name in first else "", tuple(groups[name])) for name in sorted(groups))


def _below(first: Mapping[str, Trouble], graph: Graph) -> dict[str, set[str]]:
    """Each unwell service → the unwell ones that it needs. Of two that need each other, the first that was unwell is below."""
    reach = {name: needs(graph, name) for name in first}

    def explains(lower: str, upper: str) -> bool:
        a, b = first[lower], first[upper]
        mutual = upper in reach[lower]
        near = abs(a.opened_at - b.opened_at) <= WINDOW
        return near and (not mutual or (a.opened_at, lower) < (b.opened_at, upper))

    return {name: {other for other in reach[name] & first.keys() if explains(other, name)} for name in first}


def _roots(first: Mapping[str, Trouble], below: Mapping[str, set[str]]) -> dict[str, str]:
    """Each unwell service → its probable root, itself where nothing explains it."""
    deepest = {name: {found for found in (needs(below, name) or {name}) if not below[found]} for name in first}
    weight = {name: sum(name in found for found in deepest.values()) for name in first}
    return {name: min(found, key=lambda each: (-weight[each], first[each].opened_at, each)) for name, found in deepest.items()}


def _silent(first: Mapping[str, Trouble], root: Mapping[str, str], graph: Graph) -> dict[str, set[str]]:
    """Services without a trouble that are a probable root → the roots of above that they explain."""
    users: dict[str, set[str]] = {}
    for name, wanted in graph.items():
        for each in wanted:
            users.setdefault(each, set()).add(name)
    left = {name for name, found in root.items() if name == found}
    chosen: dict[str, set[str]] = {}
    while True:
        found = {
            name: near
            for name in sorted({each for service in left for each in graph.get(service, ())} - first.keys() - chosen.keys())
            if len(near := _near(users[name] & left, first)) > 1 and 2 * len(users[name] & first.keys()) >= len(users[name])
        }
        if not found:
            return chosen
        best = min(found, key=lambda name: (-len(found[name]), len(users[name]), name))
        chosen[best] = found[best]
        left -= found[best]


def _near(services: set[str], first: Mapping[str, Trouble]) -> set[str]:
    """Those that became unwell within the window of the first of them."""
    began = min((first[name].opened_at for name in services), default=None)
    return {name for name in services if began is not None and first[name].opened_at - began <= WINDOW}
