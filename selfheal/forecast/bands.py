"""Intervals that keep what they promise: quantiles of the own past errors, corrected after each by whether it was inside.

Quantile tracking, the core of conformal prediction over time (Gibbs and Candès 2021; Angelopoulos, Candès and Tibshirani 2023): a
quantile that was passed too often moves out, one that is passed too seldom moves in, so in the long run the share is right,
whatever the series does. Errors are in units of how greatly the series lately surprised.
"""

from __future__ import annotations

import math

SHARES = (0.025, 0.1, 0.5, 0.9, 0.975)
FIRST = 30  # errors after which the quantiles are taken from them, then tracked
RATE = 0.03
WIDE = 2.0  # a quantile before anything is known, in units of the scale, for 0.1 and 0.9


class Band:
    """The quantiles SHARES of the errors at one distance ahead."""

    __slots__ = ("_errors", "_quantiles", "_size")

    def __init__(self) -> None:
        self._errors: list[float] = []
        self._quantiles: list[float] = []
        self._size = 1.0

    def add(self, error: float) -> None:
        if not self._quantiles:
            self._errors.append(error)
            if len(self._errors) >= FIRST:
                self._quantiles = self._of(self._errors)
                self._size = sum(map(abs, self._errors)) / len(self._errors)
                self._errors = []
            return
        self._size += 0.02 * (abs(error) - self._size)
        for place, share in enumerate(SHARES):
            passed = error < self._quantiles[place]
            self._quantiles[place] += RATE * self._size * (share - passed) / max(math.sqrt(share * (1 - share)), 0.15)

    def quantiles(self) -> list[float]:
        """In order; before `FIRST` errors, wide ones."""
        if self._quantiles:
            return sorted(self._quantiles)
        known = self._of(self._errors) if len(self._errors) >= 10 else [0.0] * len(SHARES)
        moved = [min(found, wide) if wide < 0 else max(found, wide) for found, wide in zip(known, self._wide(), strict=True)]
        moved[2] = known[2]
        return sorted(moved)

    @staticmethod
    def _wide() -> list[float]:
        return [-2 * WIDE, -WIDE, 0.0, WIDE, 2 * WIDE]

    @staticmethod
    def _of(errors: list[float]) -> list[float]:
        """Empirical, with a margin for there being few, as split conformal prediction has it."""
        ordered = sorted(errors)
        count = len(ordered)
        found = []
        for share in SHARES:
            place = math.floor(share * (count + 1)) - 1 if share < 0.5 else math.ceil(share * (count + 1)) - 1
            found.append(ordered[min(max(place, 0), count - 1)])
        return found
