"""The scoring of the Numenta Anomaly Benchmark (Lavin and Ahmad 2015, arXiv:1510.03336), standard profile.

The first alarm in a window earns up to 1, by a sigmoid of how early it comes; a window without an alarm costs 1; each alarm
outside the windows costs 0.11, less just behind one. The first 15 % of a series, 750 points at most, are not judged. An alarm is
a score at or above one threshold, the one that is best over all series. A detector that never alarms has 0, one that alarms at
the first point of each window and nowhere else has 100.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from selfheal.anomaly import Scorer

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "data" / "nab"
GOAL, FAST = 65.0, 20_000
PUBLISHED = {"HTM": 70, "kNN-CAD": 58, "RCF": 52, "windowed Gaussian": 40}
HIT, FALSE_ALARM, MISS = 1.0, 0.11, 1.0
PROBATION, PROBATION_MOST = 0.15, 750


@dataclass(frozen=True)
class Series:
    """`windows`: (first, last) index of each labelled anomaly, both inside."""

    name: str
    points: Sequence[tuple[float, float]]
    windows: Sequence[tuple[int, int]]

    @property
    def held_back(self) -> bool:
        """Half of the names, by their SHA-256: the advisers are tuned on the others."""
        return hashlib.sha256(self.name.encode()).digest()[0] % 2 == 1


def read(folder: Path) -> list[Series]:
    labels = json.loads((folder / "windows.json").read_text())
    return [_series(folder / "data" / f"{name}.gz", name, windows) for name, windows in sorted(labels.items())]


def _series(path: Path, name: str, windows: Sequence[Sequence[str]]) -> Series:
    with gzip.open(path, "rt", newline="") as lines:
        rows = list(csv.DictReader(lines))
    times = [_seconds(row["timestamp"]) for row in rows]
    points = [(at, float(row["value"])) for at, row in zip(times, rows, strict=True)]
    return Series(name, points, [(times.index(_seconds(first)), times.index(_seconds(last))) for first, last in windows])


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def probation(length: int) -> int:
    return min(math.floor(PROBATION * length), PROBATION_MOST)


def sigmoid(position: float) -> float:
    """1 well before, 0 at position 0, -1 well behind."""
    return -1.0 if position > 3 else 2 / (1 + math.exp(5 * position)) - 1


def worth(series: Series) -> list[tuple[float, int | None]]:
    """What an alarm at each point is worth, and the window that it hits (None: none)."""
    found: list[tuple[float, int | None]] = []
    windows = list(enumerate(series.windows))
    inside: tuple[int, tuple[int, int]] | None = None
    before: tuple[int, int] | None = None
    for index in range(len(series.points)):
        if windows and index == windows[0][1][0]:
            inside = windows.pop(0)
        if inside:
            number, (first, last) = inside
            earned = sigmoid(-(last - index + 1) / (last - first + 1)) / sigmoid(-1) * HIT
            found.append((earned, number))
            if index == last:
                before, inside = inside[1], None
        elif before is None:
            found.append((-FALSE_ALARM, None))
        else:
            found.append((FALSE_ALARM * sigmoid((index - before[1]) / (before[1] - before[0])), None))
    return found


def score(corpus: Iterable[Series], scores: Mapping[str, Sequence[float]], threshold: float | None = None) -> tuple[float, float]:
    """The normalised score and the threshold: the one given, or the best one. Infinite: no alarm at all."""
    alarms: list[tuple[float, float, tuple[str, int] | None]] = []
    windows = 0
    for series in corpus:
        start = probation(len(series.points))
        given = scores[series.name]
        if len(given) != len(series.points):
            raise ValueError(f"{series.name}: {len(given)} scores for {len(series.points)} points")
        windows += len(series.windows)
        for index, (earned, number) in enumerate(worth(series)):
            if index >= start:
                alarms.append((given[index], earned, None if number is None else (series.name, number)))
    alarms.sort(key=lambda alarm: -alarm[0])
    return _best(alarms, windows, threshold)


def _best(
    alarms: Sequence[tuple[float, float, tuple[str, int] | None]], windows: int, threshold: float | None
) -> tuple[float, float]:
    total, hits = -MISS * windows, dict[tuple[str, int], float]()
    best, best_at = total, math.inf
    for index, (given, earned, window) in enumerate(alarms):
        if threshold is not None and given < threshold:
            break
        if window is None:
            total += earned
        elif earned > hits.get(window, -MISS):
            total += earned - hits.get(window, -MISS)
            hits[window] = earned
        last_of_its_kind = index + 1 == len(alarms) or alarms[index + 1][0] != given
        if threshold is not None or (last_of_its_kind and total > best):
            best, best_at = total, given
    null, perfect = -MISS * windows, HIT * windows
    return (best - null) / (perfect - null) * 100, threshold if threshold is not None else best_at


def figures() -> Iterator[tuple[str, str, str]]:
    """What, how good, and what it is to be: a line each for people."""
    corpus = read(FOLDER)
    began = time.process_time()
    scores = {series.name: _scored(series) for series in corpus}
    seconds = time.process_time() - began
    halves = {held: [series for series in corpus if series.held_back is held] for held in (False, True)}
    tuned, threshold = score(halves[False], scores)
    held, _ = score(halves[True], scores, threshold)
    yield f"anomalies, the whole benchmark ({len(corpus)} series)", f"{score(corpus, scores)[0]:.1f}", f">= {GOAL:g}"
    yield f"anomalies, the half that was tuned on ({len(halves[False])} series)", f"{tuned:.1f}", ""
    yield f"anomalies, the half that was kept, at the threshold of the other ({len(halves[True])} series)", f"{held:.1f}", ""
    count = sum(len(series.points) for series in corpus)
    yield "anomalies, points a second of processor time", f"{count / seconds:,.0f}", f">= {FAST:,}"
    for name, published in PUBLISHED.items():
        yield f"anomalies, published for the whole benchmark: {name}", str(published), ""


def _scored(series: Series) -> list[float]:
    scorer = Scorer()
    return [scorer.score(*point) for point in series.points]
