"""The detectors below the anomaly score. Each says how far a point is from what it expects of the points before it.

A detector MUST give a number ≥ 0 from `distance`, greater for what is stranger, in whatever unit: only its order counts; or
UNKNOWN where it has nothing to compare with.
It MUST NOT keep more than a bounded number of points. `said` is about the point that `distance` saw last.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Protocol

from selfheal.streams import UNKNOWN, Window

USUAL = 6_000  # points that say what is usual
DAY, WEEK = 86_400, 604_800  # seconds
MOST_KEPT = 21_000  # points, a week of one each 30 s: a finer series is not compared with days ago


class Detector(Protocol):
    def distance(self, at: float, value: float) -> float: ...

    def missed(self, at: float) -> None:
        """At `at` nothing was measured."""
        ...

    def said(self, value: float) -> str: ...


class Level:
    """The mean of a few points against such means of the past."""

    SHORT = 5

    def __init__(self, short: int = SHORT) -> None:
        self._short = short
        self._last: deque[float] = deque()
        self._later: deque[float] = deque()
        self._usual = Window(USUAL)
        self.mean = 0.0

    def distance(self, at: float, value: float) -> float:
        last = self._last
        last.append(value)
        if len(last) > self._short:
            last.popleft()
        self.mean = mean = sum(last) / len(last)
        found = self._usual.distance(mean)
        self._later.append(mean)
        if len(self._later) > self._short:
            self._usual.add(self._later.popleft())
        return found

    def missed(self, at: float) -> None:
        pass

    def said(self, value: float) -> str:
        away = self._usual.distance(self.mean)
        usual = self._usual.mean()
        return f"the last {len(self._last)} values are {self.mean:g} on average, {away:.1f} deviations from the usual {usual:g}"


class Unseen:
    """How few of the past values lie near this one, in steps of the spread of the series."""

    STEPS = 2.5  # in a spread, as a power of two
    AT_LEAST = 30

    def __init__(self) -> None:
        self._usual = Window(USUAL)
        self._counts: dict[int, int] = {}
        self._step = 0.0

    def distance(self, at: float, value: float) -> float:
        usual = self._usual
        total = len(usual.values)
        found = UNKNOWN
        if total >= 2:
            spread = usual.spread()
            if not 0.5 < spread / (self._step * self.STEPS or math.inf) < 4:
                self._count_again(spread)
        if self._step:
            counts = self._counts
            place = self._place(value)
            if total > self.AT_LEAST:
                near = counts.get(place, 0) + 0.5 * (counts.get(place - 1, 0) + counts.get(place + 1, 0))
                found = math.log((total + 1) / (near + 0.5))
            counts[place] = counts.get(place, 0) + 1
            if total >= usual.size:
                self._forget(usual.values[0])
        usual.add(value)
        return found

    def _place(self, value: float) -> int:
        return round(value / self._step)

    def _count_again(self, spread: float) -> None:
        self._step = 2.0 ** math.floor(math.log2(spread)) / self.STEPS
        self._counts = {}
        for value in self._usual.values:
            place = self._place(value)
            self._counts[place] = self._counts.get(place, 0) + 1

    def _forget(self, value: float) -> None:
        place = self._place(value)
        left = self._counts.get(place, 0) - 1
        if left > 0:
            self._counts[place] = left
        else:
            self._counts.pop(place, None)

    def missed(self, at: float) -> None:
        pass

    def said(self, value: float) -> str:
        near = max(self._counts.get(self._place(value), 1) - 1, 0) if self._step else 0
        return f"{near} of the {len(self._usual.values) - 1} values before it were near {value:g}"


class Season:
    """The nearest of the values about a day and a week before; a few such differences together against those of the past."""

    AGO = (DAY, WEEK)
    NEAR = 1  # points to either side
    SHORT = 6

    def __init__(self) -> None:
        self._past: deque[float] = deque(maxlen=MOST_KEPT)
        self._level = Level(self.SHORT)
        self._steps: list[float] = []
        self._lags: tuple[int, ...] = ()
        self._first = self._before = math.nan
        self._nearest = math.nan

    def distance(self, at: float, value: float) -> float:
        if not self._lags:
            self._learn_step(at)
        past = self._past
        count = len(past)
        nearest = math.inf
        for lag in self._lags:
            if lag <= count:
                for other in past[-lag], past[1 - lag], past[-lag - 1] if lag < count else math.nan:
                    nearest = min(nearest, abs(value - other))  # the first argument where the other is NaN
        past.append(value)
        self._nearest = nearest
        return self._level.distance(at, nearest) if nearest < math.inf else UNKNOWN

    def _learn_step(self, at: float) -> None:
        """The points that a day has, from the first day."""
        if not math.isnan(self._before):
            if at > self._before:
                self._steps.append(at - self._before)
        else:
            self._first = at
        self._before = at
        if at - self._first >= DAY and self._steps:
            step = sorted(self._steps)[len(self._steps) // 2]
            self._lags = tuple(max(2, round(ago / step)) for ago in self.AGO if round(ago / step) < MOST_KEPT) or (MOST_KEPT,)
            self._steps = []

    def missed(self, at: float) -> None:
        if not self._lags:
            self._learn_step(at)
        self._past.append(math.nan)

    def said(self, value: float) -> str:
        if not self._nearest < math.inf:
            return "there is no day before to compare with"
        return f"{value:g} is {self._nearest:g} from the nearest value of a day or a week before"


class Jump:
    """The mean of the last points against that of those just before them."""

    SHORT, BEFORE = 12, 150

    def __init__(self) -> None:
        self._short: deque[float] = deque()
        self._long: deque[float] = deque()
        self._short_sum = self._long_sum = 0.0
        self._usual = Window(USUAL)
        self._waiting = 0.0
        self._count = 0
        self._jump = 0.0

    def distance(self, at: float, value: float) -> float:
        short, long = self._short, self._long
        short.append(value)
        self._short_sum += value
        if len(short) > self.SHORT:
            moved = short.popleft()
            self._short_sum -= moved
            long.append(moved)
            self._long_sum += moved
            if len(long) > self.BEFORE:
                self._long_sum -= long.popleft()
        self._jump = jump = self._short_sum / len(short) - self._long_sum / len(long) if long else 0.0
        if self._count % self.BEFORE == 0:  # sums drift
            self._short_sum, self._long_sum = math.fsum(short), math.fsum(long)
        found = self._usual.distance(jump)
        if self._count:
            self._usual.add(self._waiting)
        self._waiting = jump
        self._count += 1
        return found

    def missed(self, at: float) -> None:
        pass

    def said(self, value: float) -> str:
        return f"the last {len(self._short)} values are {self._jump:+g} from the {len(self._long)} before them, on average"
