"""The shadow score of playbooks, from the log: what would have run where services are only observed, and what became of that.

Rules that this module keeps:
1. Only what the log says is kept; what it comes to (`selfheal.shadow`) is worked out when somebody looks, by what is known then.
2. A score is of the newest `SHOWN` incidents, and costs that many rows, whatever was observed.
3. An end counts that comes after the proposal, and the first of them.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Q

from learning.models import Course, Shadow, Weight
from selfheal import shadow
from selfheal.lessons import Lesson, Status
from selfheal.shadow import Judgement, Tally, would_run

SHOWN = 200  # incidents that a score is of
ENDS = ("incident.resolved", "incident.closed")
SCHEDULER = "scheduler"


@dataclass(frozen=True)
class Judged:
    """One incident of a score. `judgement` empty: it goes on."""

    row: Shadow
    judgement: str
    why: str


@dataclass(frozen=True)
class Score:
    """`of`: how many incidents at most."""

    playbook: str
    tally: Tally
    courses: list[Judged]
    of: int = SHOWN


def score(playbook: str) -> Score:
    """Of the newest incidents in which the playbook would have run."""
    rows = list(Shadow.objects.filter(playbook=playbook).order_by("-proposed_at", "-run")[:SHOWN])
    did, known = _did([row.incident for row in rows]), _known(playbook, {row.diagnosis for row in rows})
    found = [shadow.judge(_course(row, did.get(row.incident, frozenset()), known.get(row.diagnosis, (0.0, 0.0)))) for row in rows]
    judged = [Judged(row, *(each or ("", "it goes on"))) for row, each in zip(rows, found, strict=True)]
    return Score(playbook, shadow.tally(found), judged)


def _did(incidents: Iterable[uuid.UUID]) -> dict[uuid.UUID, frozenset[str]]:
    """The playbooks that people asked for in each incident, or that ran after all."""
    meant = ~Q(requested_by__in=("", SCHEDULER)) | Q(started_at__isnull=False)
    found: dict[uuid.UUID, set[str]] = {}
    for incident, playbook in Course.objects.filter(meant, incident__in=list(incidents)).values_list("incident", "playbook"):
        found.setdefault(incident, set()).add(playbook)  # type: ignore[arg-type]  # it is one of those that are asked about
    return {incident: frozenset(names) for incident, names in found.items()}


def _known(playbook: str, diagnoses: Iterable[str]) -> dict[str, tuple[float, float]]:
    rows = Weight.objects.filter(playbook=playbook, diagnosis__in=list(diagnoses), service="")
    return {row.diagnosis: (row.succeeded, row.failed) for row in rows}


def _course(row: Shadow, did: frozenset[str], record: tuple[float, float]) -> shadow.Course:
    about = {name: getattr(row, name) for name in ("playbook", "proposed_at", "over_at", "over_by", "said", "said_by", "note")}
    return shadow.Course(**about, did=did, succeeded=record[0], failed=record[1])


class Watching:
    """The entries of one batch of the follower that are about shadows."""

    def __init__(self) -> None:
        self.fresh: list[Shadow] = []
        self.ends: dict[uuid.UUID, list[tuple[datetime, str]]] = {}
        self.words: list[tuple[uuid.UUID, str, dict[str, Any]]] = []

    def proposed(self, course: Course, lesson: Lesson, leaf: Mapping[str, Any]) -> None:
        """A proposal by the scheduler, if only the mode denied it."""
        verdict = would_run(leaf["payload"])
        if lesson.status is Status.PROPOSED and verdict and course.incident and course.requested_by == SCHEDULER:
            about = {name: getattr(course, name) for name in ("run", "incident", "playbook", "service", "target", "diagnosis")}
            self.fresh.append(Shadow(**about, verdict=verdict, proposed_at=lesson.at))

    def entry(self, leaf: Mapping[str, Any]) -> None:
        """An entry that may end incidents; others are passed over."""
        at = datetime.fromisoformat(leaf["at"])
        if leaf["action"] in ENDS and leaf["resource"].startswith("incident:"):
            self._end(leaf["resource"].removeprefix("incident:"), at, leaf["actor"])
        elif leaf["action"] == "alerts.received":
            for item in leaf["payload"].get("resolved") or ():
                self._end(item["incident"], at, "")

    def said(self, course: Course, leaf: Mapping[str, Any]) -> None:
        """A person's word about a run that was none."""
        word = {"said": leaf["payload"]["judgement"], "said_by": leaf["actor"], "note": leaf["payload"]["reason"]}
        if course.incident:
            self.words.append((course.incident, course.playbook, word))

    def save(self) -> None:
        Shadow.objects.bulk_create(self.fresh, ignore_conflicts=True)
        for row in Shadow.objects.filter(incident__in=list(self.ends), over_at__isnull=True):
            later = [end for end in self.ends[row.incident] if end[0] >= row.proposed_at]
            if later:
                Shadow.objects.filter(pk=row.pk).update(over_at=later[0][0], over_by=later[0][1])
        for incident, playbook, word in self.words:
            Shadow.objects.filter(incident=incident, playbook=playbook).update(**word)

    def _end(self, incident: str, at: datetime, by: str) -> None:
        self.ends.setdefault(uuid.UUID(incident), []).append((at, by))


__all__ = ["Judged", "Judgement", "Score", "Watching", "score"]
