"""Thresholds, hysteresis, and the health that follows from them.

Rules that this module keeps:
1. A metric without a threshold says nothing about health. `BUILT_IN` has those that are known without a file.
2. A worse state counts when `WORSE_AFTER` samples in a row were worse than the present one, a better one after `BETTER_AFTER`.
   Of a row whose samples differ, the one nearest to the present state counts: what all of them say at least.
3. A sample that is not newer than the newest one changes no state. A newest one from the future (the clock was set back) is no
   bar to what is measured now.
4. `unknown` is what nobody has measured lately. It takes as many samples to leave it; only a target that was never measured is
   healthy at its first healthy sample.
5. Of several states the worst counts; `unknown` is worse than `healthy`, since it may hide anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from selfheal.states import Health, Severity

WORSE_AFTER = 2
BETTER_AFTER = 3
FUTURE = timedelta(minutes=1)  # by which two clocks may differ

_RANK = {health: rank for rank, health in enumerate((Health.HEALTHY, Health.UNKNOWN, Health.DEGRADED, Health.CRITICAL))}


@dataclass(frozen=True, slots=True)
class Threshold:
    """From which value on a metric is degraded or critical, and what that is called. `below`: low values are the bad ones."""

    diagnosis: str
    degraded: float | None = None
    critical: float | None = None
    below: bool = False

    def judge(self, value: float) -> Health:
        for limit, health in ((self.critical, Health.CRITICAL), (self.degraded, Health.DEGRADED)):
            if limit is not None and (value <= limit if self.below else value >= limit):
                return health
        return Health.HEALTHY


GENERAL = "general_degradation"
BUILT_IN = {
    "up": Threshold("service_down", critical=0, below=True),
    "latency_ms": Threshold("latency_spike", degraded=1000),
    "error_rate": Threshold("elevated_errors", degraded=0.05),  # a share, from 0 to 1
}


@dataclass(frozen=True, slots=True)
class Condition:
    """What is known of one signal: its state, the newest value, and the state that it may become."""

    health: Health
    since: datetime
    value: float
    seen_at: datetime
    candidate: Health | None = None
    times: int = 0  # how often in a row a sample spoke for the candidate


def begin(judged: Health, value: float, at: datetime) -> Condition:
    """The condition after the first sample that there ever was."""
    if judged is Health.HEALTHY:
        return Condition(Health.HEALTHY, at, value, at)
    return Condition(Health.UNKNOWN, at, value, at, judged, 1)


def step(before: Condition, judged: Health, value: float, at: datetime) -> Condition:
    """The condition after one more sample, which was measured at `at`."""
    if judged is before.health:
        return replace(before, value=value, seen_at=at, candidate=None, times=0)
    worse = _is_worse(judged, before.health)
    in_a_row = before.candidate is not None and _is_worse(before.candidate, before.health) is worse
    candidate = _nearer(judged, before.candidate, worse) if in_a_row and before.candidate else judged
    times = before.times + 1 if in_a_row else 1
    if times >= (WORSE_AFTER if worse else BETTER_AFTER):
        return Condition(candidate, at, value, at)
    return replace(before, value=value, seen_at=at, candidate=candidate, times=times)


def is_news(measured_at: datetime, seen_at: datetime, at: datetime) -> bool:
    """Whether a sample may change a state whose newest sample is of `seen_at`."""
    return measured_at > seen_at or seen_at > at + FUTURE


def is_stale(seen_at: datetime, at: datetime, window: timedelta) -> bool:
    """Whether a newest sample of `seen_at` says nothing about now."""
    return not at - window <= seen_at <= at + FUTURE


def worst(states: Iterable[Health]) -> Health:
    """The health of a whole from that of its parts; nothing at all is unknown."""
    return max(states, key=lambda health: _RANK[health], default=Health.UNKNOWN)


def of_severity(severity: str) -> Health:
    """What an incident that is not over says about its target."""
    return Health.CRITICAL if severity == Severity.CRITICAL else Health.DEGRADED


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def change_over(points: Sequence[tuple[float, float]], seconds: float) -> float:
    """By how much the line through all (second, value) changes in `seconds`; at least two points, of different seconds."""
    middle, average = mean([x for x, _ in points]), mean([y for _, y in points])
    return seconds * sum((x - middle) * (y - average) for x, y in points) / sum((x - middle) ** 2 for x, _ in points)


def _is_worse(one: Health, other: Health) -> bool:
    return _RANK[one] > _RANK[other]


def _nearer(one: Health, other: Health, worse: bool) -> Health:
    """Of two states on the same side of the present one, the one that is nearer to it."""
    return min(one, other, key=lambda health: _RANK[health] if worse else -_RANK[health])
