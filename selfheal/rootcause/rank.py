"""The nodes that can be the root of what a target suffers, the likeliest first, with reasons in words."""

from __future__ import annotations

from dataclasses import dataclass

from selfheal.errors import Invalid
from selfheal.graph import Graph, needs
from selfheal.rootcause.excess import Evidence, Excess, step_of
from selfheal.rootcause.tables import Metrics, Target
from selfheal.rootcause.traversal import Flow, flow, visible

OUT_OF_ORDER = 6.0  # usual spreads in another metric than the target's: suspect
SURGE = 1.5  # times the most requests that were usual: worth a word


@dataclass(frozen=True)
class Suspect:
    """`score`: the part of what the target suffers that ends here; those of all suspects add up to 1."""

    node: str
    score: float
    reasons: tuple[str, ...]


def rank(graph: Graph, normal: Metrics, incident: Metrics, target: Target) -> tuple[Suspect, ...]:
    """The target and every node that it needs. Raises Invalid for a target that graph or metrics do not know."""
    _check(graph, normal, incident, target)
    evidence = Evidence(normal, incident, target)
    nodes = sorted({target.node} | needs(graph, target.node))
    found = {node: evidence.of(node) for node in nodes}
    silent = {node for node in nodes if evidence.fell_silent(node)}
    other = {
        node: pair
        for node in nodes
        if found[node].amount == 0 and (pair := evidence.otherwise(node)) and pair[1].spreads > OUT_OF_ORDER
    }
    hinted = (silent | other.keys()) - {target.node}
    amount = {node: each.amount for node, each in found.items()}
    result = flow(graph, target.node, amount, lambda node: found[node].measured, hinted)
    order = sorted(nodes, key=lambda node: (-result.kept.get(node, 0.0), -found[node].spreads, node))
    suspects = []
    for node in order:
        below = visible(graph, node, target.node, lambda each: found[each].measured, hinted)
        said = _reasons(node, target, result, found, below)
        if node in silent:
            said[0] = f"its {target.metric} was measured before, and is not since"
        if node in other:
            said.append(_beyond(other[node][0], other[node][1]))
        if found[node].amount and (times := evidence.requests_against_most(node)) > SURGE:
            said.append(f"it has {times:.1f} times the most requests that were usual: perhaps load, not a fault")
        suspects.append(Suspect(node, round(result.kept.get(node, 0.0), 6), tuple(said)))
    return tuple(suspects)


def _check(graph: Graph, normal: Metrics, incident: Metrics, target: Target) -> None:
    if target.node not in graph:
        raise Invalid(f"{target.node!r} is not a node of the graph", field="target.node")
    here = sorted((metric, statistic) for node, metric, statistic in incident.columns if node == target.node)
    if not here:
        raise Invalid(f"the metrics of the incident have none of {target.node!r}", field="target.node")
    if target.metric not in {metric for metric, _ in here}:
        raise Invalid(
            f"is not measured of it; there are: {', '.join(sorted({metric for metric, _ in here}))}", field="target.metric"
        )
    if (target.metric, target.agg) not in here:
        known = ", ".join(statistic for metric, statistic in here if metric == target.metric)
        raise Invalid(f"is not measured of it; there are: {known}", field="target.agg")
    first, last = incident.times[0], incident.times[-1]
    step = step_of(incident.times) or step_of(normal.times)
    if not first - step <= target.timestamp <= last + step:
        raise Invalid(f"is outside the rows of the incident, {first:.0f} to {last:.0f}", field="target.timestamp")


def _reasons(node: str, target: Target, result: Flow, found: dict[str, Excess], below: list[str]) -> list[str]:
    excess = found[node]
    if not excess.measured:
        said = [f"its {target.metric} was not measured"]
    elif excess.amount == 0:
        said = [f"its {target.metric} is as usual"]
    else:
        said = [_beyond(target.metric, excess)]
    through = min(1.0, result.through.get(node, 0.0))  # in a cycle it comes by more than once
    if node == target.node:
        said.append(f"is where it was seen; what it needs explains {1 - result.kept[node]:.0%}")
        return said
    if not through:
        said.append(f"explains nothing of what {target.node} suffers")
        return said
    said.append(f"explains {through:.0%} of what {target.node} suffers, by {' → '.join(_path(node, result))}")
    worst = max((lower for lower in below if found[lower].amount), key=lambda lower: found[lower].amount, default="")
    if worst:
        said.append(f"of that, what it needs explains {max(0.0, 1 - result.kept[node] / through):.0%}, most of it {worst}")
    elif below:
        said.append("what it needs is as usual")
    return said


def _beyond(metric: str, excess: Excess) -> str:
    spreads = f"{excess.spreads:.0f} times its usual spread" if excess.spreads < 1000 else "far beyond its usual spread"
    return f"its {metric} is {excess.value:.4g}, usually {excess.usual:.4g}: {spreads}"


def _path(node: str, result: Flow) -> list[str]:
    path = [node]
    while (upper := result.above.get(path[-1])) and upper not in path:
        path.append(upper)
    return path[::-1]
