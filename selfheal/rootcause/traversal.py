"""What the target suffers flows down the calls; each node keeps what its dependencies do not explain."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from selfheal.graph import Graph

OWN = 0.05  # what a node always keeps: no explanation by another is certain; and what goes round in a cycle comes to rest
REST = 1e-4  # flow below this stays where it is
HINT = 0.2  # of what a node keeps: for dependencies that are suspect although their amounts explain nothing


@dataclass
class Flow:
    """`kept` of the 1 that began at the target, by node; `through`, what came to it; `above`, from which node most of it came."""

    kept: dict[str, float] = field(default_factory=dict)
    through: dict[str, float] = field(default_factory=dict)
    above: dict[str, str] = field(default_factory=dict)


def flow(graph: Graph, target: str, amount: Mapping[str, float], measured: Callable[[str], bool], hinted: set[str]) -> Flow:
    """`amount` of each node that can be reached from the target, 0 where it suffers nothing."""
    result, moving, most = Flow(), {target: 1.0}, dict[str, float]()
    shares: dict[str, list[tuple[str, float]]] = {}
    while moving:
        next_: dict[str, float] = {}
        for node, much in moving.items():
            if node not in shares:
                shares[node] = _shares(visible(graph, node, target, measured, hinted), node, target, amount, hinted)
            result.through[node] = result.through.get(node, 0.0) + much
            passed = 0.0
            for lower, share in shares[node] if much > REST else ():
                next_[lower] = next_.get(lower, 0.0) + much * share
                passed += much * share
                if much * share > most.get(lower, 0.0):
                    most[lower], result.above[lower] = much * share, node
            result.kept[node] = result.kept.get(node, 0.0) + much - passed
        moving = next_
    return result


def visible(graph: Graph, node: str, target: str, measured: Callable[[str], bool], hinted: set[str]) -> list[str]:
    """What `node` calls, seen through those of it that are not measured and not suspect. Never itself nor the target."""
    found: dict[str, None] = {}
    seen, waiting = {node, target}, [node]
    while waiting:
        for lower in graph.get(waiting.pop(), ()):
            if lower in seen:
                continue
            seen.add(lower)
            if measured(lower) or lower in hinted:
                found[lower] = None
            else:
                waiting.append(lower)
    return sorted(found)


def _shares(below: list[str], node: str, target: str, amount: Mapping[str, float], hinted: set[str]) -> list[tuple[str, float]]:
    """Which part of what comes to `node` goes on to each of `below`."""
    explained = {lower: amount[lower] for lower in below if amount[lower] > 0}
    total = sum(explained.values())
    whole = max(total, amount[node])
    shares = {lower: (1 - OWN) * much / whole for lower, much in explained.items()}
    suspects = [lower for lower in below if lower in hinted and lower not in explained]
    left = 1 - sum(shares.values())
    for lower in suspects:
        shares[lower] = HINT * left / len(suspects)
    return sorted(shares.items())
