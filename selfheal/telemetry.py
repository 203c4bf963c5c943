"""What an adapter of a domain says: what it measures, and how its parts are. Values in, values out.

Rules that this module keeps:
1. A metric that judges health is one that everybody knows (`up`, `latency_ms`), or its name begins with the domain's: what others
   send under a name of their own never gets a threshold from us.
2. What is measured fits what was declared, or nothing of it is taken.
3. A part whose health nobody knows is unknown, never healthy.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from selfheal.errors import Invalid
from selfheal.signals import BUILT_IN, Threshold
from selfheal.states import Health

DOMAINS = ("host", "http", "platform")  # that we have an adapter for
UNWELL = (Health.DEGRADED, Health.CRITICAL)


@dataclass(frozen=True)
class Metric:
    """One number that a domain measures. Without `threshold` it is for people, checks and forecasts, and judges nothing."""

    name: str
    unit: str
    meaning: str
    threshold: Threshold | None = None


@dataclass(frozen=True)
class Node:
    """A part of a domain. `why` says what makes its health so; `depends_on` names other parts, or services of other domains."""

    name: str
    health: Health
    why: str
    depends_on: tuple[str, ...] = ()


def known(name: str, meaning: str, unit: str = "") -> Metric:
    """A metric that everybody knows, with the threshold that it has everywhere."""
    return Metric(name, unit, meaning, BUILT_IN[name])


def thresholds(telemetry: Iterable[Metric]) -> dict[str, Threshold]:
    return {metric.name: metric.threshold for metric in telemetry if metric.threshold}


def check_values(telemetry: Iterable[Metric], values: Mapping[str, float]) -> None:
    """Raises Invalid for a value that was not declared, or is no finite number."""
    names = {metric.name for metric in telemetry}
    for name, value in values.items():
        if name not in names:
            raise Invalid(f"{name} is not in the telemetry of its adapter", field=name)
        if not math.isfinite(value):
            raise Invalid(f"{name} is {value}, which is no finite number", field=name)


def first_ill(nodes: Sequence[Node]) -> tuple[str, ...]:
    """The parts that are unwell, and that nothing unwell explains: those to look at first. The worst stand first."""
    unwell = {node.name for node in nodes if node.health in UNWELL}
    found = [node for node in nodes if node.name in unwell and not unwell & set(node.depends_on)]
    return tuple(node.name for node in sorted(found, key=lambda node: node.health is not Health.CRITICAL))
