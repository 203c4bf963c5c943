"""The guardrail levels: how far `auto` may reach at each, and how a level follows from what came of runs.

Rules that the level keeps:
1. Stricter at once, looser one step at a time, and only after the present level has stood for `HOLD`: whatever outcomes do, it is
   loosened at most once in that time, and so tightened at most once more.
2. Few outcomes prove little: fewer than `LEAST` never tighten, and fewer than `JUDGED` never loosen beyond `maintain`.
3. What was not said lately does not count: after `MISSED` cycles without a word the level is `maintain`.
4. Distress never enters here: it only recommends. What a person has pinned stands over all of it (`healing.guardrail`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from selfheal.states import Impact, Level

SHOWN = {Level.TIGHTEN: "strict", Level.MAINTAIN: "normal", Level.LOOSEN: "relaxed"}  # as people read it


@dataclass(frozen=True)
class Limits:
    """Inclusive bounds of what may start without a person."""

    confidence: float
    blast_radius: int
    impact: Impact


LIMITS: dict[Level, Limits] = {
    Level.TIGHTEN: Limits(0.95, 1, Impact.LOW),
    Level.MAINTAIN: Limits(0.80, 2, Impact.MEDIUM),
    Level.LOOSEN: Limits(0.65, 3, Impact.MEDIUM),
}

FAILURES = 3  # of one version of a playbook, anywhere, within this time: it is stopped across the fleet
FAILURES_WITHIN = timedelta(hours=1)

JUDGED = 10  # the last outcomes that count
JUDGED_WITHIN = timedelta(hours=24)
LEAST = 3
TIGHTEN_BELOW, STAY_TIGHT_BELOW, LOOSEN_ABOVE = 0.5, 0.6, 0.85  # shares of outcomes that held
HOLD = timedelta(minutes=30)
MISSED = 3


@dataclass(frozen=True)
class Grounds:
    """What a level follows from. `outcomes`: whether each held, the newest first; `unrest`: why it is not calm; empty: it is."""

    outcomes: Sequence[bool]
    storm: str = ""
    unrest: str = ""
    ceiling: Level = Level.MAINTAIN


def next_level(level: Level, since: datetime, grounds: Grounds, at: datetime) -> tuple[Level, str]:
    """The level that follows on `level`, which has stood since `since`, and why, in words."""
    goal, why = _wanted(level, grounds)
    if stricter(goal, grounds.ceiling) is not goal:
        goal, why = grounds.ceiling, f"{why}; the ceiling is {SHOWN[grounds.ceiling]}"
    if stricter(goal, level) is goal:
        return goal, why
    if since <= at < since + HOLD:
        return level, f"{why}; {SHOWN[level]} is kept until {since + HOLD:%H:%M} UTC, {_minutes(HOLD)} after it was set"
    return list(Level)[list(Level).index(level) + 1], why


def _wanted(level: Level, grounds: Grounds) -> tuple[Level, str]:
    if grounds.storm:
        return Level.TIGHTEN, f"a storm: {grounds.storm}"
    counted = grounds.outcomes[:JUDGED]
    if len(counted) < LEAST:
        return Level.MAINTAIN, f"outcomes in the last 24 h: {len(counted)}, too few to judge by"
    share, said = sum(counted) / len(counted), f"{sum(counted)} of the last {len(counted)} outcomes held"
    least = STAY_TIGHT_BELOW if level is Level.TIGHTEN else TIGHTEN_BELOW
    if share < least:
        return Level.TIGHTEN, f"{said}: fewer than {least:.0%}"
    if len(counted) < JUDGED or share <= LOOSEN_ABOVE:
        return Level.MAINTAIN, said
    if grounds.unrest:
        return Level.MAINTAIN, f"{said}, but it is not calm: {grounds.unrest}"
    return Level.LOOSEN, f"{said}: more than {LOOSEN_ABOVE:.0%}, and it is calm"


def in_force(
    said: Level,
    said_at: datetime | None,
    *,
    reason: str = "",
    ceiling: Level = Level.MAINTAIN,
    cycle: timedelta,
    at: datetime,
) -> tuple[Level, str]:
    """What of the meta loop's word counts at `at`, and why: it `said` so for a `reason` at `said_at`; `cycle` is its period."""
    if said_at is None:
        return stricter(Level.MAINTAIN, ceiling), "no meta loop has said another"
    if is_late(said_at, cycle, at):
        late = f"the meta loop has missed {MISSED} cycles; it spoke last at {said_at:%H:%M:%S} UTC"
        return stricter(Level.MAINTAIN, ceiling), late
    return stricter(said, ceiling), reason


def is_late(said_at: datetime, cycle: timedelta, at: datetime) -> bool:
    """Whether what was said at `said_at` counts no more: three cycles ago, or (the clock was set back) in the future."""
    return not -cycle <= at - said_at <= MISSED * cycle


def stricter(one: Level, other: Level) -> Level:
    """The stricter of two levels."""
    return min(one, other, key=list(Level).index)


def failing(failures: int) -> str:
    """Why a playbook is stopped across the fleet, in words; empty when it is not. `failures`: within `FAILURES_WITHIN`."""
    if failures < FAILURES:
        return ""
    return f"{failures} of its runs went wrong within {_minutes(FAILURES_WITHIN)}"


def storm(*, unhealthy: int, newly_unhealthy: int, services: int, percent: int, least: int) -> str:
    """Why it is a storm, in words; empty when it is none.

    A storm: more than `percent` of the services *and* at least `least` of them unhealthy, or that many newly so in five minutes.
    """
    if unhealthy >= least and unhealthy * 100 > services * percent:
        return f"{unhealthy} of {services} services are unhealthy"
    if newly_unhealthy >= least:
        return f"{newly_unhealthy} of {services} services became unhealthy within 5 minutes"
    return ""


def _minutes(span: timedelta) -> str:
    return f"{span.total_seconds() / 60:.0f} min"
