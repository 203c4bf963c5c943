"""From the labels of an alert to its diagnosis, with the confidence of the rule that gave it. Ordered tables, first match wins.

Rules that this module keeps:
1. The label `diagnosis` wins, then what the map entry names, then a name of `TABLE`, then the words of the name (`WORDS`).
2. Words give a confidence below what acting alone needs at the guardrail level `maintain` (0.80): they are a guess, and a person
   decides on a guess. Only `down` is above it: it means one thing in every product.
3. A name that says nothing is general_degradation at 0.5; a wrong diagnosis that sounds sure does more harm.
4. A name with no label beside it is looked up in `TABLE` alone: no monitoring sends such an alert.

What each diagnosis means, and how it was judged: docs/explanation/diagnosis.md.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass

from selfheal.symptoms import WORDS, words_of

DECLARED = 1.0  # the alert itself says it, by its label `diagnosis`
MAPPED = 0.85  # an entry of `map:` names a diagnosis that the table does not know

LONGEST = 200  # characters of a name that words are looked for in

TABLE: tuple[tuple[re.Pattern[str], str, float], ...] = (
    (re.compile("ServiceDown|InstanceDown|TargetDown"), "service_down", 0.95),
    (re.compile("HighErrorRate"), "elevated_errors", 0.85),
    (re.compile("HighLatency"), "latency_spike", 0.85),
    (re.compile("DiskFull|NodeFilesystem.*"), "capacity_strain", 0.85),
    (re.compile(".*", re.DOTALL), "general_degradation", 0.5),
)

_CONFIDENCE = {name: confidence for _, name, confidence in TABLE}
NAMES = tuple(sorted({name for _, name, _ in (*TABLE, *WORDS)}))
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,59}")


@dataclass(frozen=True)
class Diagnosis:
    """What is probably wrong; `confidence` from 0 to 1."""

    name: str
    confidence: float


def diagnose(labels: Mapping[str, str], mapped: str = "") -> Diagnosis:
    """The label `diagnosis` wins, then what the map entry names (`mapped`), then the tables by `alertname`."""
    if labels.get("diagnosis"):
        return Diagnosis(labels["diagnosis"], DECLARED)
    if mapped:
        return Diagnosis(mapped, _CONFIDENCE.get(mapped, MAPPED))
    return by_name(labels.get("alertname", ""), alone=len(labels) < 2)


@functools.lru_cache(4096)
def by_name(alertname: str, *, alone: bool = False) -> Diagnosis:
    """By `TABLE`, and unless it is `alone` by the words of it."""
    found = next(Diagnosis(name, confidence) for pattern, name, confidence in TABLE if pattern.fullmatch(alertname))
    if alone or found.confidence > TABLE[-1][2]:
        return found
    words = words_of(alertname[:LONGEST])
    return next((Diagnosis(name, confidence) for pattern, name, confidence in WORDS if pattern.search(words)), found)


def is_name(text: str) -> bool:
    """Whether `text` can be the name of a diagnosis: at most 60 letters, digits, `_.-`, a letter first."""
    return bool(_NAME.fullmatch(text))
