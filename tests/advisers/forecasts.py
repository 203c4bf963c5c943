"""How forecasts are judged: rolling origins over the series of the benchmark, coverage, and the error against seasonal-naive.

From the end of the first 15 % on, at about `ORIGINS` points of each series, forecasts for a range of distances up to a day are
made from what came before and compared with what then came. Seasonal-naive says what was a day before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from selfheal.forecast import Ahead, Forecaster, step_of
from selfheal.series import Point
from tests.advisers.nab import FOLDER, Series, probation, read

COVERED = {"coverage80": (0.78, 0.84), "coverage95": (0.93, 0.97)}
ORIGINS = 100
DISTANCES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 36, 48, 72, 96, 144, 192, 288)
DAY = 86_400
SHARES = {"low95": 0.025, "low80": 0.1, "value": 0.5, "high80": 0.9, "high95": 0.975}


@dataclass
class Judged:
    """Of one series: how many forecasts were judged, how many held, absolute errors of ours and of seasonal-naive."""

    name: str
    count: int = 0
    inside80: int = 0
    inside95: int = 0
    error: float = 0.0
    naive: float = 0.0
    pinball: float = 0.0
    distances: dict[int, list[float]] = field(default_factory=dict)

    @property
    def skill(self) -> float:
        """Mean absolute error relative to that of seasonal-naive: below 1 is better."""
        return self.error / self.naive if self.naive else math.nan

    def add(self, distance: int, ahead: Ahead, value: float, naive: float) -> None:
        self.count += 1
        self.inside80 += ahead.low80 <= value <= ahead.high80
        self.inside95 += ahead.low95 <= value <= ahead.high95
        self.error += abs(ahead.value - value)
        self.naive += abs(naive - value)
        for name, share in SHARES.items():
            off = value - getattr(ahead, name)
            self.pinball += max(share * off, (share - 1) * off) / len(SHARES)


def judge(series: Series, make: Callable[[float, int], Forecaster] = Forecaster) -> Judged:
    points = [Point(*point) for point in series.points]
    start = probation(len(points))
    step = step_of(points[:start])
    day = max(1, round(DAY / step))
    steps = min(max(day, 24), 288)
    forecaster = make(step, steps)
    grid: dict[int, float] = {}
    for at, value in points:
        grid.setdefault(round((at - points[0].at) / step), value)
    found = Judged(series.name)
    every = max(1, (len(points) - start) // ORIGINS)
    for place, (at, value) in enumerate(points):
        forecaster.add(at, value)
        if place >= start and (place - start) % every == 0:
            _compare(found, forecaster.ahead(), grid, round((at - points[0].at) / step), day)
    return found


def _compare(found: Judged, ahead: Sequence[Ahead], grid: dict[int, float], index: int, day: int) -> None:
    for distance in DISTANCES:
        if distance > len(ahead) or index + distance not in grid:
            continue
        ago = -(-distance // day) * day
        naive = grid.get(index + distance - ago)
        if naive is not None:
            found.add(distance, ahead[distance - 1], grid[index + distance], naive)


def summary(judged: Iterable[Judged]) -> dict[str, float]:
    """Means over series, each of the same weight; the skill as geometric mean."""
    all_of = [each for each in judged if each.count]
    skills = [math.log(max(each.skill, 1e-3)) for each in all_of if each.naive]
    return {
        "series": len(all_of),
        "coverage80": sum(each.inside80 / each.count for each in all_of) / len(all_of),
        "coverage95": sum(each.inside95 / each.count for each in all_of) / len(all_of),
        "skill": math.exp(sum(skills) / len(skills)),
        "better": sum(skill < 0 for skill in skills) / len(skills),
    }


def figures() -> Iterator[tuple[str, str, str]]:
    """What, how good, and what it is to be: a line each for people."""
    yield from told("forecasts", [(series.held_back, judge(series)) for series in read(FOLDER)])


def told(what: str, judged: Sequence[tuple[bool, Judged]]) -> Iterator[tuple[str, str, str]]:
    """The same of any forecaster. `judged`: whether its series was kept from tuning, and how it did there."""
    parts = {
        "the whole": [each for _, each in judged],
        "the half that was tuned on": [each for held, each in judged if not held],
        "the half that was kept": [each for held, each in judged if held],
    }
    for part, found in parts.items():
        said = summary(found)
        for name, (low, high) in COVERED.items():
            percent = name.removeprefix("coverage")
            yield f"{what}, {part}: the {percent} % interval holds", f"{said[name]:.1%}", f"{low:.0%} to {high:.0%}"
        yield f"{what}, {part}: error relative to seasonal-naive", f"{said['skill']:.2f}", "< 1"
