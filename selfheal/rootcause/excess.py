"""How much a node suffers beyond the usual, and how far that lies outside the usual spread."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from selfheal.rootcause.tables import Column, Metrics, Target

DOUBTFUL = 3.0  # so many usual spreads count half
LEAST = 0.02  # of the usual value: a spread below is taken for this;
FEW = 100  # and for twice as much where there are only so many values, as few tell little of a spread
MOST = 1e200  # an amount; so that those of all nodes can be added up
MAD = 1.4826  # from the median deviation to the standard deviation, and
TAIL = 2.33  # from the 99th percentile to it, of a normal distribution
REQUESTS = "requests"
MEANS = ("average", "avg", "mean")


@dataclass(frozen=True)
class Kind:
    """`sign`: 1 where more is worse, -1 where less is. `per_call`: a mean over calls, so that times the requests it adds up.
    `calls`: a share of calls, of which less than one call is nothing."""

    sign: int
    per_call: bool
    calls: bool = False


@dataclass(frozen=True)
class Excess:
    """Weighted over the rows of the incident. `amount` beyond the usual, 0 where there is none; `spreads` that it is outside.
    `value` and `usual` are as measured; both NaN, and `measured` false, where there is nothing to compare."""

    amount: float
    spreads: float
    value: float
    usual: float
    measured: bool


NOTHING = Excess(0.0, 0.0, math.nan, math.nan, measured=False)


def kind(metric: str, unknown: int = 1) -> Kind:
    """By the words in its name; `unknown` is the sign of a metric whose words say nothing."""
    name = metric.lower()
    if any(word in name for word in ("latency", "duration", "response", "delay")):
        return Kind(1, per_call=True)
    if any(word in name for word in ("availab", "success")):
        return Kind(-1, per_call=True, calls=True)
    if any(word in name for word in ("error", "fault", "fail")):
        return Kind(1, per_call=False)
    return Kind(unknown, per_call=False)


class Evidence:
    """The metrics of an incident beside those of the days when nothing was wrong, seen from a target."""

    def __init__(self, normal: Metrics, incident: Metrics, target: Target) -> None:
        self.normal, self.incident, self.target = normal, incident, target
        began = target.timestamp - (step_of(incident.times) or step_of(normal.times)) / 2
        rows = range(len(incident.times))
        self.during = [index for index in rows if incident.times[index] >= began] or [rows[-1]]
        self.before = [index for index in rows if index < self.during[0]]
        self.statistics: dict[tuple[str, str], list[str]] = {}
        for node, metric, statistic in sorted(incident.columns):
            self.statistics.setdefault((node, metric), []).append(statistic)
        counted = [values for (_, *what), values in incident.columns.items() if what == [REQUESTS, "Sum"]]
        counts = zip(*counted, strict=True) if counted else [()] * len(incident.times)
        self.usual_requests = [statistics.median([count for count in row if count > 0] or [1.0]) for row in counts]
        self.kind = kind(target.metric, self._moved())
        self.weights = {index: 1 / len(self.during) for index in self.during}
        suffered = {index: self._weighed(target.node, {index: 1.0}).amount for index in self.during}
        if whole := sum(suffered.values()):
            self.weights = {index: amount / whole for index, amount in suffered.items() if amount}

    def of(self, node: str) -> Excess:
        """In the target's metric."""
        return self._weighed(node, self.weights)

    def otherwise(self, node: str) -> tuple[str, Excess] | None:
        """The other metric whose direction is known that is furthest out of order, in the target's statistic."""
        metrics = [metric for name, metric in self.statistics if name == node and metric not in (self.target.metric, REQUESTS)]
        known = [(metric, of) for metric in metrics if (of := kind(metric, 0)).sign]
        found = [(metric, self._weighed(node, self.weights, metric, of)) for metric, of in known]
        return max(found, key=lambda pair: pair[1].spreads) if found else None

    def fell_silent(self, node: str) -> bool:
        """It was measured in most of the normal rows and before the target's time, and is not in any row since."""
        column = self._column(node, self.target.metric)
        usually = [value for value in self.normal.columns.get(column, ()) if not math.isnan(value)]
        values = self.incident.columns.get(column, ())
        before = not self.before or (bool(values) and any(not math.isnan(values[index]) for index in self.before))
        now = bool(values) and any(not math.isnan(values[index]) for index in self.weights)
        return before and not now and 2 * len(usually) > len(self.normal.times)

    def requests(self, node: str, index: int) -> float:
        """Where they are not measured, as many as half of those have that are called; 1 where none are."""
        values = self.incident.columns.get((node, REQUESTS, "Sum"), ())
        return max(0.0, values[index]) if values and not math.isnan(values[index]) else self.usual_requests[index]

    def requests_against_most(self, node: str) -> float:
        """The most of the incident as a multiple of the most that was usual; 0 where that is not known."""
        usual = _known(self.normal.columns.get((node, REQUESTS, "Sum"), ()))
        now = max((self.requests(node, index) for index in self.weights), default=0.0)
        return now / usual[-1] if usual and usual[-1] > 0 else 0.0

    def _weighed(self, node: str, weights: dict[int, float], metric: str = "", of: Kind | None = None) -> Excess:
        metric, of = metric or self.target.metric, of or self.kind
        column = self._column(node, metric)
        values = self.incident.columns.get(column, ())
        rows = [index for index in weights if values and not math.isnan(values[index])]
        normal = _known(self.normal.columns.get(column, ()), of.sign)
        earlier = _known((values[index] for index in self.before if values), of.sign)
        if not rows or not (normal or earlier):
            return NOTHING
        usual = max(([statistics.median(normal)] if normal else []) + earlier[:1])
        spread = _spread(normal, usual) if normal else earlier[-1] - earlier[0]
        little = LEAST * abs(usual) * (1 + FEW / len(normal or earlier))
        whole = _hundred(normal or earlier, of)
        amount = spreads = value = 0.0
        for index in rows:
            beyond = max(0.0, of.sign * values[index] - usual)
            requests = self.requests(node, index)
            least = whole / max(requests, 1.0) if of.calls else little
            out = beyond / (spread + least or 1.0)
            doubt = DOUBTFUL / out if out else math.inf
            amount += weights[index] / (1 + doubt * doubt) * (beyond * requests if of.per_call else out)
            spreads = max(spreads, out)
            value += weights[index] * values[index]
        return Excess(min(amount, MOST), spreads, value / sum(weights[index] for index in rows), of.sign * usual, measured=True)

    def _column(self, node: str, metric: str) -> Column:
        """Its mean where calls are counted, as means add up and percentiles do not; else the target's statistic; else any."""
        names = self.statistics.get((node, metric), [])
        mean = [name for name in names if name.lower() in MEANS and kind(metric).per_call]
        same = [name for name in names if name == self.target.agg]
        return node, metric, next(iter(mean + same + names), self.target.agg)

    def _moved(self) -> int:
        """1 if the target's metric went up, -1 if it went down."""
        column = (self.target.node, self.target.metric, self.target.agg)
        values = self.incident.columns.get(column, ())
        now = [values[index] for index in self.during if values and not math.isnan(values[index])]
        usual = _known(self.normal.columns.get(column, ())) or _known(values[index] for index in self.before if values)
        return -1 if now and usual and statistics.mean(now) < statistics.median(usual) else 1


def _known(values: Iterable[float], sign: int = 1) -> list[float]:
    return sorted(sign * value for value in values if not math.isnan(value))


def _spread(values: Sequence[float], usual: float) -> float:
    """A standard deviation that neither outliers shrink nor a heavy tail escapes. `values` are sorted."""
    middle = statistics.median(values)
    tail = values[min(len(values) - 1, int(0.99 * len(values)))] - middle
    return max(MAD * statistics.median(abs(value - middle) for value in values), tail / TAIL)


def _hundred(values: Sequence[float], of: Kind) -> float:
    """What all calls are: 100 where the share is in percent, else 1."""
    return 100.0 if of.calls and max(abs(value) for value in values) > 1 else 1.0


def step_of(times: Sequence[float]) -> float:
    """The usual time between rows; 0 for a single row."""
    return statistics.median(later - earlier for earlier, later in pairwise(times)) if len(times) > 1 else 0.0
