"""What an incident's page says was seen before: patterns of this service and diagnosis, and earlier runs, those alike first.

It reads only what came from the log, for people who may look at runs: all of it stands on the pages of runs and in the log
already. So it is no question to memory, and no access that is logged.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from healing.models import Incident
from learning.broker import search
from learning.broker.models import Memory, Pattern, Source
from selfheal.lessons import Result
from selfheal.memory.ranking import Numbers
from selfheal.memory.rights import MemoryType
from selfheal.memory.words import pair_token

SHOWN = 5
STATUS = {Result.OK: "succeeded", Result.FAILED: "failed", Result.ROLLED_BACK: "rolled_back", Result.REJECTED: "rejected"}
ALIKE = Numbers(recency=0.2, frequency=0.0, tags=0.4, context=0.4)


@dataclass(frozen=True)
class Before:
    """`patterns`: {playbook, tried, helped, last_at}; `earlier`: the contents of memories of outcomes, with `at` and `status`."""

    patterns: list[dict[str, Any]]
    earlier: list[dict[str, Any]]


def seen_before(incident: Incident, at: datetime) -> Before:
    """Of this service and diagnosis all that is known; of other services what was alike."""
    service = incident.service
    rows = Pattern.objects.filter(service=service.name, diagnosis=incident.diagnosis).order_by("-last_at")
    patterns = [
        {"playbook": row.playbook, "tried": sum(row.results.values()), "helped": row.results.get("ok", 0), "last_at": row.last_at}
        for row in rows[:SHOWN]
    ]
    wanted = search.Search(
        service.domain,
        None,
        at,
        MemoryType.EPISODIC,
        [pair_token("diagnosis", incident.diagnosis)],
        [pair_token("service", service.name), pair_token("target", incident.target)],
        sensitive=False,
        weights=ALIKE,
    )
    found = search.find(wanted, SHOWN * 4).memories
    others = [each for each in found if each.source == Source.OUTCOME and each.content.get("incident") != str(incident.pk)]
    return Before(patterns, [_shown(each) for each in others[:SHOWN]])


def _shown(memory: Memory) -> dict[str, Any]:
    content = memory.content
    return {
        **content,
        "at": memory.at,
        "incident": _uuid(content["incident"]),
        "status": STATUS.get(content["result"], "aborted"),
    }


def _uuid(text: str | None) -> UUID | None:
    return UUID(text) if text else None
