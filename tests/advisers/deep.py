"""The neural forecaster on the series of the benchmark, at the origins and by the scores of the one that is asked by default.

And as the meta loop asks: of the last 240 points alone, what comes within an hour. There seasonal-naive has no day to look at, so
the two are held against each other.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from statistics import median

from learning.advisers import deep
from selfheal.forecast import Ahead, forecast
from selfheal.series import Point
from tests.advisers.forecasts import judge, told
from tests.advisers.nab import FOLDER, Series, probation, read

POINTS, AHEAD, ORIGINS = 240, 12, 8
IMPORTS = "import time; t = time.process_time(); import learning.advisers.network; print(time.process_time() - t)"


def figures() -> Iterator[tuple[str, str, str]]:
    """What, how good, and what it is to be: a line each for people."""
    from learning.advisers.network import Network

    corpus = read(FOLDER)
    began = time.process_time()
    judged = [(series.held_back, judge(series, Network)) for series in corpus]
    yield from told("deep", judged)
    seconds = time.process_time() - began
    yield (
        "deep: processor time for a point, training among it",
        f"{1e3 * seconds / sum(len(s.points) for s in corpus):.2f} ms",
        "",
    )
    ratio, took = _as_the_meta_loop_asks(corpus)
    yield f"deep: error relative to that of forecast, from {POINTS} points", f"{ratio:.2f}", "< 1"
    yield f"deep: processor time of one question of {POINTS} points (forecast)", f"{took[0]:.2f} s ({took[1]:.2f} s)", ""
    done = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True)
    yield "deep: processor time to load it, once", f"{float(done.stdout):.1f} s", ""


def _as_the_meta_loop_asks(corpus: Sequence[Series]) -> tuple[float, tuple[float, float]]:
    """The median over series of how their errors compare, and what a question takes of each."""
    ratios, count, took = [], 0, [0.0, 0.0]
    for series in corpus:
        errors = [0.0, 0.0]
        points = [Point(*point) for point in series.points]
        start = max(POINTS, probation(len(points)))
        for place in range(start, len(points) - AHEAD, max(1, (len(points) - start) // ORIGINS)):
            count += 1
            for which, ask in enumerate((deep.forecast, forecast)):
                error, seconds = _asked(ask, points[place - POINTS : place], points[place : place + AHEAD])
                errors[which] += error
                took[which] += seconds
        if errors[1]:
            ratios.append(errors[0] / errors[1])
    return median(ratios), (took[0] / count, took[1] / count)


def _asked(
    ask: Callable[[Sequence[Point], int], Sequence[Ahead]], known: Sequence[Point], came: Sequence[Point]
) -> tuple[float, float]:
    began = time.process_time()
    said = ask(known, len(came))
    return sum(abs(each.value - point.value) for each, point in zip(said, came, strict=True)), time.process_time() - began
