"""The forecasts of the cycle: each capacity that is likely to pass its limit soon."""

from __future__ import annotations

from datetime import datetime

from metafocus.forecasts import AHEAD, CAPACITY
from metafocus.models import Cycle
from selfheal.focus import CHANCE, from_document
from selfheal.sources import Candidate


def look(cycle: Cycle, at: datetime) -> list[Candidate]:
    """One a place: the likeliest of its metrics, which come first."""
    found: dict[tuple[str, str, str], Candidate] = {}
    for each in from_document(cycle.seen).strains:
        if each.chance >= CHANCE:
            minutes = AHEAD.total_seconds() / 60
            title = f"{each.metric} will pass its limit within {minutes:.0f} min with {each.chance:.0%}"
            candidate = Candidate(each.service, each.target, CAPACITY, round(each.chance, 2), title)
            found.setdefault(candidate.key, candidate)
    return list(found.values())
