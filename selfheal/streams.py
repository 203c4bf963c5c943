"""What is kept of a stream of numbers to judge the next one: bounded memory, and the same cost for each number."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque

TINY = 1e-12
UNKNOWN = -1.0  # less than any distance or rarity


class Window:
    """Mean and spread of the last `size` numbers, from running sums around `origin`, made exact again each `size` numbers."""

    __slots__ = ("_added", "_origin", "_squares", "_sum", "size", "values")

    def __init__(self, size: int) -> None:
        self.size = size
        self.values: deque[float] = deque()
        self._sum = self._squares = self._origin = 0.0
        self._added = 0

    def add(self, value: float) -> None:
        values = self.values
        if not values:
            self._origin = value
        values.append(value)
        value -= self._origin
        self._sum += value
        self._squares += value * value
        if len(values) > self.size:
            oldest = values.popleft() - self._origin
            self._sum -= oldest
            self._squares -= oldest * oldest
            self._added += 1
            if self._added >= self.size:
                self._again()

    def _again(self) -> None:
        self._added = 0
        self._origin = math.fsum(self.values) / len(self.values)
        self._sum = math.fsum(value - self._origin for value in self.values)
        self._squares = math.fsum((value - self._origin) ** 2 for value in self.values)

    def mean(self) -> float:
        return self._origin + self._sum / len(self.values) if self.values else 0.0

    def spread(self) -> float:
        """The standard deviation, never quite 0; infinite before there are two numbers."""
        count = len(self.values)
        if count < 2:
            return math.inf
        mean = self._sum / count
        square = self._squares / count
        least = TINY * (abs(self._origin + mean) + math.sqrt(abs(square))) + TINY * TINY
        return max(math.sqrt(max(square - mean * mean, 0.0)), least)

    def distance(self, value: float) -> float:
        """How many standard deviations `value` is from the mean."""
        return abs(value - self.mean()) / self.spread()


class Rarity:
    """How seldom a number as great as this one came before: -log10 of the share, more for what is greater than all before it."""

    __slots__ = ("_order", "_sorted", "least", "size")

    def __init__(self, size: int, least: int) -> None:
        self.size, self.least = size, least
        self._sorted: list[float] = []
        self._order: deque[float] = deque()

    def of(self, value: float) -> float:
        """Of a number ≥ 0, which is then remembered; UNKNOWN until `least` are known."""
        known = self._sorted
        count = len(known)
        found = UNKNOWN
        place = bisect_left(known, value)
        if count >= self.least:
            found = math.log10((count + 1) / (count - place + 0.5))
            if place == count:
                found += min(3.0, math.log2((value + TINY) / (known[-1] + TINY)))
        known.insert(place, value)
        self._order.append(value)
        if count >= self.size:
            del known[bisect_left(known, self._order.popleft())]
        return found
