"""Simple forecasters of one series on a grid of equal steps, mixed by what each was worth lately, for each distance ahead.

An expert is a profile (the long-run mean, the day, the week) plus what the series lately was above it, fading; or a damped
trend (Gardner and McKenzie 1985). Weights are by discounted absolute error (prediction with expert advice, Cesa-Bianchi and
Lugosi 2006).
"""

from __future__ import annotations

import math
from collections import defaultdict

DAY, WEEK = 86_400, 604_800  # seconds
LONG, DAILY, WEEKLY = 0.005, 0.25, 0.35  # how much of the newest value goes into a profile
SPEEDS = (1.0, 0.2)  # of what the series is above a profile
FORGET = 0.99  # of an expert's error, each time it is judged
SHARPNESS = 5  # 0: all experts count the same; great: only the best
UP, SLOPE, DAMPED = 0.3, 0.05, 0.98


class Profile:
    """What is usual at each slot of a period. Neighbours smooth each other."""

    __slots__ = ("_rate", "_slots", "_values")

    def __init__(self, slots: int, rate: float) -> None:
        self._slots, self._rate = max(slots, 1), rate
        self._values: dict[int, float] = {}

    def at(self, index: int, otherwise: float) -> float:
        values, slots = self._values, self._slots
        slot = index % slots
        here = values.get(slot)
        if here is None:
            return otherwise
        return (values.get((slot - 1) % slots, here) + 2 * here + values.get((slot + 1) % slots, here)) / 4

    def last(self, index: int, otherwise: float) -> float:
        return self._values.get(index % self._slots, otherwise)

    def add(self, index: int, value: float) -> None:
        slot = index % self._slots
        before = self._values.get(slot, value)
        self._values[slot] = before + self._rate * (value - before)


class Experts:
    """Give it (index, value) in order of index; it forecasts any index that is not yet reached."""

    def __init__(self, step: float) -> None:
        day = max(1, round(DAY / step))
        self._profiles = (Profile(day, DAILY), Profile(max(1, round(WEEK / step)), WEEKLY))
        self._last_day = Profile(day, 1.0)
        self._above = [[0.0] * len(SPEEDS) for _ in range(3)]
        self._fades = (0.0, math.exp(-1 / 8), math.exp(-8 / max(day, 8)), 1.0)
        self._mean = self._level = self._slope = math.nan
        self._count = 0
        self._index = 0
        self._errors: dict[int, list[float]] = defaultdict(list)

    def add(self, index: int, value: float) -> None:
        if not self._count:
            self._mean = self._level = value
            self._slope = 0.0
        for above, usual in zip(self._above, self._usual(index), strict=True):
            for place, speed in enumerate(SPEEDS):
                above[place] += speed * (value - usual - above[place])
        self._count += 1
        self._mean += max(LONG, 1 / self._count) * (value - self._mean)
        for profile in (*self._profiles, self._last_day):
            profile.add(index, value)
        ahead = min(index - self._index, 10) if self._count > 1 else 1
        foreseen = self._level + self._slope * ahead
        level = foreseen + UP * (value - foreseen)
        self._slope += SLOPE * ((level - self._level) / max(ahead, 1) - self._slope)
        self._level, self._index = level, index

    def _usual(self, index: int) -> tuple[float, float, float]:
        day = self._profiles[0].at(index, self._mean)
        return self._mean, day, self._profiles[1].at(index, day)

    def each(self, ahead: int) -> list[float]:
        """What each expert says of the index `ahead` after the last."""
        index = self._index + ahead
        faded = [fade**ahead for fade in self._fades]
        found = [self._last_day.last(index, self._mean)]
        for usual, (now, lately) in zip(self._usual(index), self._above, strict=True):
            found.append(usual)
            found.extend(usual + part * now for part in faded[1:])
            found.extend(usual + part * lately for part in faded[2:])
        damped = DAMPED * (1 - DAMPED**ahead) / (1 - DAMPED)
        found.append(self._level + self._slope * damped)
        found.append(self._level + self._slope * ahead)
        return found

    def mixed(self, said: list[float], knot: int) -> float:
        """One forecast of those of `each`, by what the experts were worth at the distance `knot`."""
        errors = self._errors[knot]
        if not errors:
            return sorted(said)[len(said) // 2]
        least = min(errors)
        weights = [((least + 1e-12) / (error + 1e-12)) ** SHARPNESS for error in errors]
        return sum(weight * value for weight, value in zip(weights, said, strict=True)) / sum(weights)

    def judge(self, said: list[float], value: float, knot: int) -> None:
        """`value` came where `each` had said so, at the distance `knot`."""
        errors = self._errors[knot]
        if not errors:
            errors.extend([0.0] * len(said))
        self._errors[knot] = [FORGET * error + abs(each - value) for error, each in zip(errors, said, strict=True)]
