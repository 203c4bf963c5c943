"""The guardrail levels: how far `auto` may reach at each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

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


def failing(failures: int) -> str:
    """Why a playbook is stopped across the fleet, in words; empty when it is not. `failures`: within `FAILURES_WITHIN`."""
    if failures < FAILURES:
        return ""
    return f"{failures} of its runs went wrong within {FAILURES_WITHIN.total_seconds() / 60:.0f} min"


def storm(*, unhealthy: int, newly_unhealthy: int, services: int, percent: int, least: int) -> str:
    """Why it is a storm, in words; empty when it is none.

    A storm: more than `percent` of the services *and* at least `least` of them unhealthy, or that many newly so in five minutes.
    """
    if unhealthy >= least and unhealthy * 100 > services * percent:
        return f"{unhealthy} of {services} services are unhealthy"
    if newly_unhealthy >= least:
        return f"{newly_unhealthy} of {services} services became unhealthy within 5 minutes"
    return ""
