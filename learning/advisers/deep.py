"""Will a metric pass a limit soon? As `forecast`, by a small neural network, which needs the extra `deep`. Off by default:
docs/explanation/advisers.md compares the two.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import isnan

from learning.advisers import forecast as plain
from selfheal.advice import Advice, Facts
from selfheal.errors import Invalid
from selfheal.forecast import Ahead, step_of
from selfheal.series import Point


def advise(facts: Facts) -> Advice:
    """The facts of `forecast`, and an answer of the same kind."""
    return plain.advise(facts, forecast)


def forecast(points: Iterable[Point], steps: int) -> list[Ahead]:
    """The `steps` steps after the last of the points, which may come in any order. A step is their median distance."""
    known = sorted(point for point in points if not isnan(point.value))
    step = step_of(known)
    try:
        from learning.advisers.network import Network
    except ImportError as error:
        raise Invalid(f"needs the extra: pip install 'selfheal[deep]' ({error})", field="deep") from None
    network = Network(step, steps)
    for point in known:
        network.add(*point)
    return network.ahead()
