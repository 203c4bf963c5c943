"""How unlike its past a point of a metric is, point by point, without looking ahead.

Rules that this module keeps:
1. The score of a point depends on that point and those before it.
2. A point costs the same however many came before it, and what is remembered is bounded.
3. One setting for every series. Each detector says how far a point is from what it expects; how seldom the series itself was as
   far from it is what counts. The mean over the detectors is judged once more by how seldom it was as high.
4. A disturbance is said once: after an alarm what is not clearly rarer stays low for `REST` points.

The parts are old: conformal p-values over the own past (Laxhammar and Falkman 2014), the mean of short windows against long ones
(Ahmad et al. 2017), a rest after an alarm (Burnaev and Ishimtsev 2016).
"""

from __future__ import annotations

import math
from math import isnan

from selfheal.detectors import Detector, Jump, Level, Season, Unseen
from selfheal.streams import UNKNOWN, Rarity

HISTORY = 10_000  # points that a rarity is judged by
WARM_UP = 60  # points before a detector counts, and again before their mean does
REST = 150  # points for which one disturbance is said once
CLEARLY = 0.5  # so much rarer, in powers of ten, is a disturbance of its own
HALF = 2.9  # a rarity of 1 in 10^2.9, about 800 points, scores 0.5
STEEP = 2.0
SOME = 1.5  # below this rarity a point is nothing that another could follow
RESTING = 0.05


class Scorer:
    """Feed it points in the order in which they come."""

    def __init__(self) -> None:
        detectors: tuple[Detector, ...] = (Level(), Unseen(), Season(), Jump())
        self._pairs = [(detector, Rarity(HISTORY, WARM_UP)) for detector in detectors]
        self._rarity = Rarity(HISTORY, WARM_UP)
        self._found: list[float] = []
        self._seen = self._alarm_at = 0
        self._alarm = self._now = 0.0
        self._value = math.nan

    def score(self, at: float, value: float) -> float:
        """From 0 (as usual) to 1 of a point at `at`, in seconds. A missing value (NaN) scores 0."""
        self._value = value
        if isnan(value):
            for detector, _ in self._pairs:
                detector.missed(at)
            return 0.0
        self._seen += 1
        self._found = found = []
        total, known = 0.0, 0
        for detector, rarity in self._pairs:
            distance = detector.distance(at, value)
            rare = rarity.of(distance) if distance >= 0 else UNKNOWN
            found.append(rare)
            if rare >= 0:
                total += rare
                known += 1
        self._now = now = self._rarity.of(total / known) if known else UNKNOWN
        score = 1 / (1 + math.exp(-STEEP * (now - HALF)))
        if now < SOME:
            return score
        if self._alarm_at and self._seen - self._alarm_at < REST and now <= self._alarm + CLEARLY:
            return score * RESTING
        self._alarm_at, self._alarm = self._seen, now
        return score

    @property
    def why(self) -> str:
        """What was said of the last point, in words."""
        if isnan(self._value):
            return "nothing was measured"
        if self._now < 0:
            return f"{self._seen} points are known, more than {2 * WARM_UP} are needed"
        strongest = max(range(len(self._found)), key=self._found.__getitem__)
        times = 10**self._now
        often = f"nothing like it in {self._seen - 1:,} points" if times >= self._seen else f"about once in {times:,.0f} points"
        resting = self._alarm_at < self._seen and self._seen - self._alarm_at < REST and self._now >= SOME
        again = f", {self._seen - self._alarm_at} points after an alarm" if resting else ""
        return f"{self._pairs[strongest][0].said(self._value)}; {often}{again}"
