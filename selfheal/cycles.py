"""A cycle of the meta loop: what follows from what was seen, and the same again from its entry in the log.

Rules that this module keeps:
1. An entry holds everything that its decision follows from. `replay` decides again from the entry alone.
2. Numbers that are no whole ones stand in it as decimal strings.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from selfheal.focus import Distress, Focus, Seen, distress, focus, from_document
from selfheal.guardrails import SHOWN, Grounds, next_level
from selfheal.replay import Difference
from selfheal.states import FocusArea, Level

SHORT = 20  # things of one kind in an entry
WRONG = frozenset(("failed", "timed_out", "unknown", "error", "refused"))  # as a result, or as what an action ends with
REFUSED = frozenset(("blocked", "denied", "locked", "playbook_run_blocked"))
PROBED_SECONDS = 300
LONGEST_BUDGET = 20  # seconds

# Which diagnoses an area is about, and which metrics show it.
DIAGNOSES: dict[FocusArea, tuple[str, ...]] = {
    FocusArea.ERROR_SPIKE: ("elevated_errors", "service_down"),
    FocusArea.LATENCY_DRIFT: ("latency_spike",),
    FocusArea.CAPACITY_STRAIN: ("capacity_strain",),
    FocusArea.DEPENDENCY_HEALTH: ("service_down", "elevated_errors"),
}
METRICS: dict[FocusArea, tuple[str, ...]] = {
    FocusArea.ERROR_SPIKE: ("error_rate",),
    FocusArea.LATENCY_DRIFT: ("latency_ms",),
    FocusArea.DEPENDENCY_HEALTH: ("up", "error_rate"),
}


@dataclass(frozen=True)
class Decided:
    """`level` is what the guardrail is to be, `why` in words."""

    focus: Focus
    level: Level
    why: str
    distress: Distress
    unforecast: str = ""

    @property
    def reasoning(self) -> list[str]:
        """Everything that it follows from, a sentence each."""
        left = [self.unforecast] if self.unforecast else []
        return [*self.focus.reasons, *left, f"guardrail {SHOWN[self.level]}: {self.why}", self.advises]

    @property
    def advises(self) -> str:
        return f"{self.distress.reason}, which recommends {SHOWN[self.distress.recommends]}"

    @property
    def advice(self) -> dict[str, Any]:
        return {"distress": self.distress.score, "recommends": self.distress.recommends.value, "reason": self.distress.reason}


@dataclass(frozen=True)
class Before:
    """The level that was said last, and since when it has been so; none was said: since the cycle itself."""

    level: Level
    since: datetime


def decide(seen: Seen, before: Before, grounds: Grounds, at: datetime) -> Decided:
    """Where to look and how tight to be."""
    level, why = next_level(before.level, before.since, grounds, at)
    because = seen.unforecast_because or "the time budget was over"
    left = f"{seen.unforecast} capacities were not forecast: {because}" if seen.unforecast else ""
    return Decided(focus(seen), level, why, distress(seen), left)


def grounds_document(before: Before, grounds: Grounds) -> dict[str, Any]:
    """As an entry holds it."""
    return {
        "level": before.level.value,
        "since": before.since.isoformat(),
        "outcomes": list(grounds.outcomes),
        "storm": grounds.storm,
        "unrest": grounds.unrest,
        "ceiling": grounds.ceiling.value,
    }


def tally(leaves: Iterable[Mapping[str, Any]]) -> tuple[int, int]:
    """(errors, blocked accesses) among the leaves."""
    ends = [(leaf["result"], leaf["action"].rpartition(".")[2]) for leaf in leaves]
    return sum(not WRONG.isdisjoint(end) for end in ends), sum(not REFUSED.isdisjoint(end) for end in ends)


def budget(area: FocusArea, cycle_seconds: int) -> int:
    """The seconds in which forecasts for the next cycle may begin: a quarter of a cycle, half where capacity is the matter."""
    share = 2 if area is FocusArea.CAPACITY_STRAIN else 4
    return max(1, min(LONGEST_BUDGET, cycle_seconds // share))


def replay(leaf: Mapping[str, Any]) -> list[str]:
    """What is not so in an entry: each part of the decision that does not follow from what it says was seen."""
    payload = leaf["payload"]
    try:
        again = _again(payload, datetime.fromisoformat(leaf["at"]))
    except (KeyError, TypeError, ValueError) as error:
        return [f"the entry cannot be decided again: {type(error).__name__}: {error}"]
    follows = {
        "focus_area": again.focus.area.value,
        "confidence": f"{again.focus.confidence:.2f}",
        "guardrail_adjustment": again.level.value,
        "advice": again.advice,
        "reasoning": again.reasoning,
    }
    return [
        f"{name}: {value!r} follows from what was seen, the entry says {payload.get(name)!r}"
        for name, value in follows.items()
        if payload.get(name) != value
    ]


def differences(log: Mapping[str, Any], table: Mapping[str, Any]) -> list[Difference]:
    """Every part of which entry and row say different things."""
    keys = [*dict.fromkeys((*log, *table))]
    return [Difference("cycle", key, log.get(key), table.get(key)) for key in keys if log.get(key) != table.get(key)]


def _again(payload: Mapping[str, Any], at: datetime) -> Decided:
    said = payload["grounds"]
    before = Before(Level(said["level"]), datetime.fromisoformat(said["since"]))
    grounds = Grounds(tuple(said["outcomes"]), said["storm"], said["unrest"], Level(said["ceiling"]))
    return decide(from_document(payload["seen"]), before, grounds, at)


def probes(area: FocusArea, seen: Seen, pulled: Sequence[str]) -> list[str]:
    """The metrics that are to be sampled more often: those that show the area, as far as they can be asked for."""
    strained = tuple(dict.fromkeys(each.metric for each in seen.strains)) if area is FocusArea.CAPACITY_STRAIN else ()
    return [metric for metric in METRICS.get(area, strained) if metric in pulled]
