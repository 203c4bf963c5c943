"""Which node does what a target suffers come from?"""

from __future__ import annotations

from collections.abc import Mapping

from selfheal.advice import Advice, Facts
from selfheal.errors import Invalid
from selfheal.rootcause import metrics_from, rank, target_from

NAMED = 3  # suspects


def advise(facts: Facts) -> Advice:
    """`graph`: caller → those that it calls. `normal`, `incident`: metrics, as `metrics_from` takes them. `target`: an object of
    node, metric, agg and timestamp.

    The score is the part of what the target suffers that ends at the first suspect.
    """
    graph = facts.get("graph")
    if not isinstance(graph, Mapping):
        raise Invalid("must be an object: caller → the list of those that it calls", field="graph")
    normal, incident = (metrics_from(facts.get(name), name) for name in ("normal", "incident"))
    first, *others = rank(graph, normal, incident, target_from(facts.get("target")))
    rest = tuple(f"or {each.node}, {each.score:.0%}: {each.reasons[0]}" for each in others[: NAMED - 1] if each.score)
    return Advice(min(1.0, first.score), None, (f"the root is probably {first.node}, {first.score:.0%}", *first.reasons, *rest))
