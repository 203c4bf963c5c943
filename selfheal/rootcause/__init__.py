"""Where an incident comes from: what the target suffers is followed down the calls to the dependency that does not pass it on.

Rules that this package keeps:
1. What a node suffers is an amount that adds up along calls: the seconds beyond its usual latency times its requests, the calls
   that failed beyond the usual number. So a caller's amount can be set against its dependencies' amounts (`excess`).
2. Usual is the worse of two: the median when nothing was wrong, and the best row of the incident's file before the target's
   time. What has drifted since the normal days, or is always so, is no evidence.
3. An amount counts by how far it lies outside the usual spread, so noise of a busy node does not outweigh a fault of a quiet one.
4. The whole of the target's suffering starts at the target and flows down. A node passes on as much as its dependencies'
   amounts explain of its own, and keeps the rest: that is its score. The scores of all nodes add up to 1 (`traversal`).
   A percentile of the target is followed by the means, as percentiles do not add up.
5. A node that is not measured is looked through. One that fell silent, or is out of order in another metric, gets a part of
   what its caller keeps.
6. Names of nodes mean nothing; names of metrics only give the direction (`Kind`).

After the idea of anomaly traversal and of accounting latency along a call graph: Sigelman et al., Dapper (2010); Chen et al.,
CauseInfer (2014); Hardt et al., The PetShop Dataset (2023).
"""

from __future__ import annotations

from selfheal.rootcause.rank import Suspect, rank
from selfheal.rootcause.tables import (
    Metrics,
    Target,
    graph_from_csv,
    metrics_from,
    metrics_from_csv,
    target_from,
    target_from_json,
)

__all__ = [
    "Metrics",
    "Suspect",
    "Target",
    "graph_from_csv",
    "metrics_from",
    "metrics_from_csv",
    "rank",
    "target_from",
    "target_from_json",
]
