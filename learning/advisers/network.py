"""A small neural network that forecasts one series: the part of `deep` that needs the extra.

Rules that this module keeps:
1. It is trained on the points that it was given and on nothing else, from a fixed seed and in one thread: the same points, the
   same forecast.
2. One network for all distances ahead: the distance is one of the things that it is told, beside the last values, those of a day
   and a week before the target, and the time of the day. It says how far the target is from the last value.
3. The intervals come from the last part of the points, which it is not trained on (split conformal prediction), by the same
   tracking of quantiles as those of `selfheal.forecast`.
"""

from __future__ import annotations

import math
import os
import warnings

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Ridge
from sklearn.neural_network import MLPRegressor

from selfheal.errors import Invalid
from selfheal.forecast import Ahead, around, between, knots
from selfheal.forecast.bands import Band

Numbers = NDArray[np.float64]
DAY, WEEK = 86_400, 604_800  # seconds
LEAST, MOST = 60, 4_000  # points
LAST, LATELY = 8, 32  # values that it sees, and of which it sees the mean
TRAINED = 0.7  # of the points
PAIRS = 4_000  # of an origin and a distance, to train on
FAR = 6.0  # spreads from the median, beyond which a value counts as so far
AGAIN = 1.2  # times as many points, and it is trained again
LAYERS, EPOCHS, BATCH, SEED = (32, 16), 30, 128, 1
ALPHA = 0.01


class Network:
    """Points in, in order of time; forecasts up to `steps` of `step` seconds ahead out."""

    def __init__(self, step: float, steps: int) -> None:
        self._knots = knots(step, steps)
        self.step, self.steps = step, steps
        self._ago = [max(1, round(period / step)) for period in (DAY, WEEK)]
        self._values: list[float] = []
        self._origin = math.nan
        self._count = self._trained_on = 0

    def add(self, at: float, value: float) -> None:
        if math.isnan(value):
            return
        if not self._values:
            self._origin = at
        index = round((at - self._origin) / self.step)
        if index < len(self._values):
            return
        self._values.extend([math.nan] * (index - len(self._values)))
        self._values.append(value)
        self._count += 1

    def ahead(self) -> list[Ahead]:
        """The forecasts for 1 to `steps` steps after the newest point. Raises Invalid where too few points are known."""
        if self._count < LEAST:
            raise Invalid(f"{self._count} points are known, a neural forecast needs {LEAST}", field="points")
        if self._count >= AGAIN * self._trained_on:
            self._train()
        distances = np.arange(1, self.steps + 1)
        scaled = self._scaled()
        last = len(scaled) - 1
        found = self._said(scaled, np.full_like(distances, last), distances)
        quantiles = {knot: self._band(scaled, knot).quantiles() for knot in self._knots}
        rows = []
        for distance, value in zip(range(1, self.steps + 1), found, strict=True):
            before, after, part = between(self._knots, distance)
            at = self._origin + (len(self._values) - 1 + distance) * self.step
            pair = quantiles[before], quantiles[after]
            rows.append(around(at, self._middle + self._spread * float(value), self._spread, pair, part))
        return rows

    # -- training

    def _train(self) -> None:
        self._trained_on = self._count
        known = np.array(self._values[-MOST:])
        low, self._middle, high = (float(each) for each in np.nanquantile(known, (0.25, 0.5, 0.75)))
        self._spread = (high - low) / 1.35 or float(np.nanstd(known)) or 1.0
        scaled, there = self._scaled(), ~np.isnan(self._values)
        first = max(0, len(scaled) - MOST)
        split = first + int(TRAINED * (len(scaled) - first))
        origins, distances = self._pairs(there, first, split)
        if not len(origins):
            raise Invalid(f"{self._count} points are too few to look {self.steps} steps ahead", field="points")
        seen = self._features(scaled, origins, distances)
        targets = scaled[origins + distances] - scaled[origins]
        self._line = Ridge(alpha=1.0).fit(seen, targets)
        left = targets - self._line.predict(seen)
        self._rest = float(np.std(left)) or 1.0
        self._network = MLPRegressor(
            hidden_layer_sizes=LAYERS, max_iter=EPOCHS, batch_size=min(BATCH, len(origins)), random_state=SEED, alpha=ALPHA
        )
        with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
            self._network.fit(seen, np.clip(left / self._rest, -FAR, FAR))
        self._bands = {knot: Band() for knot in self._knots}
        self._judged = dict.fromkeys(self._knots, split)

    def _pairs(self, there: NDArray[np.bool_], first: int, split: int) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
        """Origins and distances whose target lies before `split`, of each knot as many."""
        each = PAIRS // len(self._knots)
        origins, distances = [], []
        for knot in self._knots:
            at = np.arange(first, split - knot)
            at = at[there[at] & there[at + knot]]
            at = at[np.linspace(0, len(at) - 1, min(each, len(at))).astype(int)] if len(at) else at
            origins.append(at)
            distances.append(np.full_like(at, knot))
        return np.concatenate(origins), np.concatenate(distances)

    def _band(self, scaled: Numbers, knot: int) -> Band:
        """The errors of all that it was not trained on, in the order in which they came."""
        band = self._bands[knot]
        values = np.array(self._values)
        there = ~np.isnan(values)
        at = np.arange(self._judged[knot], len(scaled) - knot)
        self._judged[knot] = max(self._judged[knot], len(scaled) - knot)
        at = at[there[at] & there[at + knot]]
        if len(at):
            said = self._said(scaled, at, np.full_like(at, knot))
            true = (values[at + knot] - self._middle) / self._spread
            for error in true - said:
                band.add(float(error))
        return band

    def _said(self, scaled: Numbers, origins: NDArray[np.int_], distances: NDArray[np.int_]) -> Numbers:
        seen = self._features(scaled, origins, distances)
        found: Numbers = scaled[origins] + self._line.predict(seen) + self._rest * self._network.predict(seen)
        return found

    # -- what it sees

    def _scaled(self) -> Numbers:
        """The values in spreads from the median; what is missing is as the one before it."""
        values = np.array(self._values)
        seen = np.where(np.isnan(values), 0, np.arange(len(values)))
        filled = values[np.maximum.accumulate(seen)]
        return np.clip((filled - self._middle) / self._spread, -FAR, FAR)

    def _features(self, scaled: Numbers, origins: NDArray[np.int_], distances: NDArray[np.int_]) -> Numbers:
        """A row for each pair: everything is known at its origin."""
        last = scaled[origins]
        sums = np.concatenate(([0.0], np.cumsum(scaled)))
        begin = np.maximum(origins + 1 - LATELY, 0)
        lately = (sums[origins + 1] - sums[begin]) / (origins + 1 - begin)
        columns: list[Numbers] = [last, lately - last]
        columns += [scaled[np.maximum(origins - back, 0)] - last for back in range(1, LAST)]
        for period in self._ago:
            target = origins + distances - period * -(-distances // period)
            known = target >= 0
            columns.append(np.where(known, scaled[np.maximum(target, 0)], lately) - last)
            before = origins - period
            columns.append(np.where(before >= 0, scaled[np.maximum(before, 0)], last) - last)
            columns.append(known.astype(float))
        turn = 2 * np.pi * ((self._origin + (origins + distances) * self.step) % DAY) / DAY
        columns += [np.sin(turn), np.cos(turn)]
        far = np.log1p(distances) / math.log1p(self.steps)
        return np.column_stack([*columns, *(far * column for column in columns), far])
