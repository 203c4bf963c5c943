"""Small worlds whose faults are known: each node answers after its own time and that of all it calls, one call each."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping
from dataclasses import replace

from selfheal.graph import Graph
from selfheal.rootcause import Metrics, Suspect, Target, rank

STEP = 300.0
BEGAN = 1_700_000_000.0
CHAIN = {"a": ["b"], "b": ["c"], "c": []}
DIAMOND = {"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": []}
CYCLE = {"a": ["b"], "b": ["c"], "c": ["b"]}


def latency(at: float = BEGAN) -> Target:
    return Target("a", "latency", "Average", at)


def availability(at: float = BEGAN) -> Target:
    return Target("a", "availability", "Average", at)


def metrics(
    graph: Graph,
    rows: int,
    begin: float,
    slow: Mapping[str, float] | None = None,
    failing: Mapping[str, float] | None = None,
    since: float = BEGAN,
    requests: float = 100.0,
    seed: int = 1,
) -> Metrics:
    """`slow`: seconds more, `failing`: the part of calls that fail, of a node's own, from `since` on."""
    noise = random.Random(seed)
    times = [begin + STEP * index for index in range(rows)]
    columns: dict[tuple[str, str, str], list[float]] = {}
    for at in times:
        own = {node: 0.1 * noise.uniform(0.95, 1.05) + (slow or {}).get(node, 0.0) * (at >= since) for node in graph}
        good = {node: 1 - (failing or {}).get(node, 0.0) * (at >= since) for node in graph}
        for node in graph:
            seconds, passed = _total(graph, node, own, good, frozenset())
            columns.setdefault((node, "latency", "Average"), []).append(seconds)
            columns.setdefault((node, "availability", "Average"), []).append(100 * passed)
            columns.setdefault((node, "requests", "Sum"), []).append(requests)
    return Metrics(times, columns)


def _total(
    graph: Graph, node: str, own: Mapping[str, float], good: Mapping[str, float], above: frozenset[str]
) -> tuple[float, float]:
    seconds, passed = own[node], good[node]
    for lower in graph[node]:
        if lower not in above | {node}:
            more, part = _total(graph, lower, own, good, above | {node})
            seconds, passed = seconds + more, passed * part
    return seconds, passed


def without(found: Metrics, *nodes: str, metric: str = "") -> Metrics:
    """Those nodes not measured, or not in that metric."""
    return replace(
        found, columns={key: values for key, values in found.columns.items() if key[0] not in nodes or metric not in key[1]}
    )


def normal(graph: Graph, rows: int = 40) -> Metrics:
    return metrics(graph, rows, BEGAN - 86400, seed=2)


def incident(graph: Graph, slow: Mapping[str, float] | None = None, failing: Mapping[str, float] | None = None) -> Metrics:
    return metrics(graph, 5, BEGAN - 2 * STEP, slow, failing)


def ranking(graph: Graph, slow: Mapping[str, float], hidden: Collection[str] = ()) -> tuple[Suspect, ...]:
    return rank(graph, without(normal(graph), *hidden), without(incident(graph, slow), *hidden), latency())
