"""The diagnosis of alerts against that of an engineer, in tests/data/alert-diagnoses.csv (docs/explanation/diagnosis.md)."""

from __future__ import annotations

import csv
import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from selfheal.diagnosis import diagnose

LABELLED = Path(__file__).resolve().parents[1] / "data" / "alert-diagnoses.csv"
GENERAL = "general_degradation"
RIGHT = 0.8  # the goal
HALVES = {
    ("rules", "tuned"): "published rules, tuned on",
    ("rules", "held"): "published rules, held back",
    ("field", "tuned"): "well-known names, tuned on",
    ("field", "held"): "well-known names, held back",
}
Pair = tuple[str, str]


@functools.cache
def judged() -> Mapping[Pair, Sequence[Pair]]:
    """Of each half of the labelled alerts: the diagnosis of the engineer beside that of the tables."""
    halves: dict[Pair, list[Pair]] = {half: [] for half in HALVES}
    with LABELLED.open(newline="") as lines:
        for row in csv.DictReader(lines):
            said = diagnose({"alertname": row["alert"], "severity": "warning"}).name
            halves[row["from"], row["half"]].append((row["diagnosis"], said))
    return halves


def specific(pairs: Sequence[Pair]) -> list[Pair]:
    """Those that were not left at the general diagnosis."""
    return [pair for pair in pairs if pair[1] != GENERAL]


def right(pairs: Sequence[Pair]) -> float:
    return sum(label == said for label, said in pairs) / len(pairs)


def figures() -> Iterator[tuple[str, str, str]]:
    """What, how good, and what it is to be: a line each for people."""
    for half, name in HALVES.items():
        pairs = judged()[half]
        sure = specific(pairs)
        told = f"{right(pairs):.1%} right; {right(sure):.1%} of the {len(sure)} that are not general"
        yield f"diagnosis, {name} ({len(pairs)} alerts)", told, f">= {RIGHT:.0%}"
