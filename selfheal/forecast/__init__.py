"""What a metric will be, with intervals: `forecast` of the points of a file, `Forecaster` for a stream.

Rules that this module keeps:
1. A forecast depends on what came before it.
2. Points lie on a grid of equal steps; what is missing is left out, never made up. Of two points in one step the first counts,
   and what comes after its time is left out.
3. A point costs the same however many came before it.
4. An interval is judged by how often it held in this very series, at this distance ahead.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from selfheal.errors import Invalid, TooLarge
from selfheal.forecast.bands import Band
from selfheal.forecast.experts import Experts
from selfheal.series import Point

MOST_STEPS = 2_016
LEAST_POINTS = 10
SCALE_RATE = 0.02
MOST_SURPRISE = 50.0  # scales that an error counts as, at most: after a quiet stretch anything is beyond all measure
OFTEN = 16  # a distance is judged so many times while it passes


@dataclass(frozen=True)
class Ahead:
    """`at` in seconds since 1970; `value` is the median; the intervals hold with 80 % and 95 %."""

    at: float
    value: float
    low80: float
    high80: float
    low95: float
    high95: float


class Forecaster:
    """Points in, in order of time; forecasts up to `steps` of `step` seconds ahead out, at any time."""

    def __init__(self, step: float, steps: int) -> None:
        self._knots = knots(step, steps)
        self.step, self.steps = step, steps
        self.left_out = self.count = 0
        self._experts = Experts(step)
        self._bands = {knot: Band() for knot in self._knots}
        self._issued: dict[int, deque[tuple[int, float, float, list[float]]]] = {knot: deque() for knot in self._knots}
        self._origin = self._scale = math.nan
        self._index = -1

    def add(self, at: float, value: float) -> None:
        if math.isnan(value):
            return
        if not self.count:
            self._origin = at
        index = round((at - self._origin) / self.step)
        if index <= self._index:
            self.left_out += 1
            return
        for knot in self._knots:
            self._judge(knot, index, value)
        self._experts.add(index, value)
        self.count += 1
        self._index = index
        for knot in self._knots:
            if self.count % max(1, knot // OFTEN) == 0:
                said = self._experts.each(knot)
                self._issued[knot].append((index + knot, self._experts.mixed(said, knot), self._scale, said))

    def _judge(self, knot: int, index: int, value: float) -> None:
        issued = self._issued[knot]
        while issued and issued[0][0] <= index:
            due, foreseen, scale, said = issued.popleft()
            if due == index:
                error = value - foreseen
                if knot == 1:
                    size = abs(error)
                    self._scale = size if math.isnan(self._scale) else self._scale + SCALE_RATE * (size - self._scale)
                if scale > 0:
                    self._bands[knot].add(max(-MOST_SURPRISE, min(MOST_SURPRISE, error / scale)))
                self._experts.judge(said, value, knot)

    def ahead(self) -> list[Ahead]:
        """The forecasts for 1 to `steps` steps after the newest point. Raises Invalid where too few points are known."""
        if self.count < LEAST_POINTS:
            raise Invalid(f"{self.count} points are known, a forecast needs {LEAST_POINTS}", field="points")
        scale = self._scale if self._scale > 0 else 0.0
        return [self._ahead(distance, scale) for distance in range(1, self.steps + 1)]

    def _ahead(self, distance: int, scale: float) -> Ahead:
        before, knot, part = between(self._knots, distance)
        value = self._experts.mixed(self._experts.each(distance), knot if part >= 0.5 else before)
        pair = self._bands[before].quantiles(), self._bands[knot].quantiles()
        return around(self._origin + (self._index + distance) * self.step, value, scale, pair, part)


def knots(step: float, steps: int) -> list[int]:
    """The distances that are judged; what lies between two follows from them. Raises Invalid for what is no distance."""
    if not step > 0:
        raise Invalid("must be greater than 0", field="step")
    if steps < 1:
        raise Invalid("must be at least 1", field="steps")
    if steps > MOST_STEPS:
        raise TooLarge(f"must be at most {MOST_STEPS}", field="steps")
    return [*(2**power for power in range(12) if 2**power < steps), steps]


def between(knots: Sequence[int], distance: int) -> tuple[int, int, float]:
    """The knots before and after a distance, and how far it is on the way, from 0 to 1."""
    after = next(place for place, knot in enumerate(knots) if knot >= distance)
    knot, before = knots[after], knots[max(after - 1, 0)]
    return before, knot, (distance - before) / (knot - before) if knot > before else 1.0


def around(at: float, value: float, scale: float, quantiles: tuple[Sequence[float], Sequence[float]], part: float) -> Ahead:
    """The forecast `value` with the quantiles of its error, in units of `scale`, at the knots before and after."""
    pairs = zip(*quantiles, strict=True)
    # each distance has its quantiles in order; between two distances rounding may turn two that are nearly the same
    low95, low80, middle, high80, high95 = sorted(value + scale * (one + part * (other - one)) for one, other in pairs)
    return Ahead(at, middle, low80, high80, low95, high95)


def forecast(points: Iterable[Point], steps: int) -> list[Ahead]:
    """The `steps` steps after the last of the points, which may come in any order. A step is their median distance."""
    known = sorted(point for point in points if not math.isnan(point.value))
    forecaster = Forecaster(step_of(known), steps)
    for point in known:
        forecaster.add(*point)
    return forecaster.ahead()


def step_of(points: Sequence[Point]) -> float:
    """The median distance of points in order, in seconds. Raises Invalid where there are too few."""
    distances = [later.at - earlier.at for earlier, later in pairwise(points) if later.at > earlier.at]
    if len(distances) < LEAST_POINTS - 1:
        raise Invalid(
            f"{len(points)} points with a value at {len(distances) + 1} times, a forecast needs {LEAST_POINTS}", field="points"
        )
    return median(distances)
