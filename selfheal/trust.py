"""Autonomy by record: what a playbook may do alone for a diagnosis.

Low impact starts alone and loses it by one bad run; medium starts with a person. Either is earned (again) by five held runs in a
row whose one-sided 90 % Wilson bound reaches 0.70, or granted by a person for at most 90 days. Higher impacts never act alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from math import sqrt

from selfheal.states import AbortReason, Impact, Outcome

Z_90 = 1.2815515594  # one-sided 90 %
HELD_NEEDED = 5
BOUND_NEEDED = 0.70
GRANT_DAYS = 90
BAD_OUTCOMES = (Outcome.FAILED, Outcome.ROLLED_BACK)
BAD_ABORTS = (AbortReason.TIMEOUT, AbortReason.LOST_WORKER, AbortReason.BOUNDS)  # of a run that has started
EXCUSED = (AbortReason.OPERATOR, AbortReason.KILL_SWITCH)  # says nothing about the playbook


@dataclass(frozen=True)
class Standing:
    """The part of a record that autonomy looks at."""

    streak: int = 0  # held runs since the last demotion
    demoted_at: datetime | None = None
    granted_until: datetime | None = None


def wilson_lower(successes: float, total: float, z: float = Z_90) -> float | None:
    """Lower bound of the Wilson score interval (Wilson 1927); None over nothing."""
    if total == 0:
        return None
    share = successes / total
    centre = share + z * z / (2 * total)
    spread = z * sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return (centre - spread) / (1 + z * z / total)


def order_of(impact: str, succeeded: int, started: int, name: str) -> tuple[int, float, str]:
    """Which playbook of several is tried first: the least impact, then the best record, then the name."""
    bound = wilson_lower(succeeded, started)
    return Impact(impact).rank, -(bound if bound is not None else 0.5), name


def autonomy(standing: Standing, impact: Impact, at: datetime) -> tuple[bool, str]:
    """Whether it may act alone, and why, in words."""
    if grantable(impact):
        return False, f"{impact} impact always needs a person"
    if standing.granted_until and at < standing.granted_until:
        return True, f"granted by a person until {standing.granted_until:%Y-%m-%d %H:%M} UTC"
    bound = wilson_lower(standing.streak, standing.streak) or 0.0
    if standing.streak >= HELD_NEEDED and bound >= BOUND_NEEDED:
        return True, f"earned by {standing.streak} held runs in a row (lower bound {bound:.2f})"
    if impact is Impact.LOW and standing.demoted_at is None:
        return True, "low impact with a clean record"
    needed = f"{standing.streak} of {HELD_NEEDED} held runs in a row"
    return False, f"lost by a bad run, {needed}" if standing.demoted_at else f"not earned yet, {needed}"


def demotes(outcome: Outcome, abort_reason: str | None) -> bool:
    """Whether a run that started and ended like this takes autonomy away. A success is judged later, when it held or not."""
    if abort_reason in EXCUSED:
        return False
    return outcome in BAD_OUTCOMES or (outcome is Outcome.ABORTED and abort_reason in BAD_ABORTS)


def grantable(impact: Impact) -> str:
    """Why a person cannot let a playbook of this impact act alone, in words; empty: they can."""
    if impact.rank > Impact.MEDIUM.rank:
        return f"{impact} impact always needs a person: there is no grant for it"
    return ""
