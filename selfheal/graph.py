"""The service graph: who is hurt when a service is touched. Edges go from a service to what it depends on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

UNKNOWN_BLAST_RADIUS = 5

Graph = Mapping[str, Iterable[str]]  # service → the services that it depends on


def blast_radius(graph: Graph, service: str) -> int:
    """The number of transitive dependents; 5 for a service that nobody declared."""
    return len(dependents(graph, service)) if service in graph else UNKNOWN_BLAST_RADIUS


def dependents(graph: Graph, service: str) -> set[str]:
    """Every service that depends on `service`, directly or not; never `service` itself."""
    return _reach(_turned(graph), service)


def dependents_of(graph: Graph, services: Iterable[str]) -> dict[str, set[str]]:
    """The same for several services; the graph is turned round once for all of them."""
    reverse = _turned(graph)
    return {service: _reach(reverse, service) for service in services}


def needs(graph: Graph, service: str) -> set[str]:
    """Every service that `service` depends on, directly or not; never `service` itself."""
    return _reach(graph, service)


def chain(graph: Graph, service: str) -> set[str]:
    """The dependency chain of `service`: itself, what it needs and what needs it, directly or not."""
    return {service} | _reach(graph, service) | dependents(graph, service)


def _turned(graph: Graph) -> dict[str, list[str]]:
    reverse: dict[str, list[str]] = {}
    for name, needs in graph.items():
        for need in needs:
            reverse.setdefault(need, []).append(name)
    return reverse


def _reach(edges: Mapping[str, Iterable[str]], start: str) -> set[str]:
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        for name in edges.get(waiting.pop(), ()):
            if name not in seen:
                seen.add(name)
                waiting.append(name)
    return seen - {start}
