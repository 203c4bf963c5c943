"""Reads the log from a cursor and keeps what it teaches.

Rules that this module keeps:
1. Entries, tables and cursor move in one transaction: a follower that dies has read nothing twice and nothing too little.
2. Only what the log says is kept, so that reading again from entry 0 makes the same tables.
3. A lesson counts in its own hour, a run in the hour in which it started: a rate is of the runs of that time, whenever they end.
4. What speaks for or against those behind a run is handed to `healing.trust`, which lets each entry count once: reading again
   changes nobody's trust.
"""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from healing import trust
from healing.models import LedgerEntry
from learning import ranker
from learning.broker import outcomes
from learning.models import Course, Cursor, Hour, Lesson, Repair, Shadow, Weight
from learning.shadow import Watching
from selfheal import lessons, scores
from selfheal.ranking import Trial

NAME = "lessons"
BATCH = 500
REMEMBERED = (
    "run",
    "incident",
    "domain",
    "service",
    "target",
    "diagnosis",
    "playbook",
    "impact",
)  # of a course, with its outcome
PLACE = ("hour", "playbook", "service", "diagnosis")
HourKey = tuple[datetime, str, str, str]  # hour, playbook, service, diagnosis


def follow(at: datetime | None = None) -> int:
    """Read at most 500 entries further; how many there were. `at`: now, if it is not said."""
    with transaction.atomic():
        Cursor.objects.get_or_create(name=NAME)
        cursor = Cursor.objects.select_for_update().get(name=NAME)
        rows = LedgerEntry.objects.filter(index__gte=cursor.next_index).order_by("index")[:BATCH]
        entries = list(rows.values_list("index", "leaf"))
        if entries:
            _Batch(at or timezone.now()).read((index, json.loads(bytes(leaf))) for index, leaf in entries)
            cursor.next_index = entries[-1][0] + 1
            cursor.save(update_fields=["next_index"])
    return len(entries)


def again() -> None:
    """Forget what was learnt, and read the log from entry 0."""
    with transaction.atomic():
        for model in (Lesson, Course, Hour, Repair, Weight, Shadow):
            model._default_manager.all().delete()
        outcomes.forget()
        Cursor.objects.filter(name=NAME).update(next_index=0)
    while follow():
        continue


class _Batch:
    """The entries of one transaction: rows that are inserted together, and counts that are added up first."""

    def __init__(self, at: datetime) -> None:
        self.at = at
        self.courses: dict[uuid.UUID, Course] = {}
        self.lessons: list[Lesson] = []
        self.counts: dict[HourKey, Counter[str]] = {}
        self.repairs: Counter[tuple[HourKey, int]] = Counter()
        self.memory = outcomes.Remembering()
        self.shadows = Watching()
        self.trials: list[Trial] = []
        self.evidence: list[scores.Evidence] = []

    def read(self, entries: Iterable[tuple[int, dict[str, Any]]]) -> None:
        found = [(index, leaf, lessons.lesson_of(leaf)) for index, leaf in entries]
        self.courses |= Course.objects.in_bulk({uuid.UUID(lesson.run) for _, _, lesson in found if lesson})
        for index, leaf, lesson in found:
            if lesson:
                self._take(index, lesson, leaf)
            else:
                self.memory.entry(leaf)
                self.shadows.entry(leaf)
        Lesson.objects.bulk_create(self.lessons)
        fields = [f.name for f in Course._meta.fields if not f.primary_key]
        Course.objects.bulk_create(self.courses.values(), update_conflicts=True, unique_fields=["run"], update_fields=fields)
        _add(Hour, self.counts)
        _add(Repair, {(*key, bucket): {"count": count} for (key, bucket), count in self.repairs.items()})
        self.memory.save()
        self.shadows.save()
        ranker.remember(self.trials)
        trust.learn(self.evidence, self.at)

    def _take(self, index: int, lesson: lessons.Lesson, leaf: dict[str, Any]) -> None:
        course = self._course(lesson, leaf)
        if course is None:
            return  # its proposal is older than the log
        self._judge(index, lesson, leaf, course)
        self.shadows.proposed(course, lesson, leaf)
        if lesson.judged:
            self.shadows.said(course, leaf)
        if lesson.began:
            course.started_at = lesson.at
            self._count(course, lesson.at, runs=1)
        if lesson.held is not None:
            course.held = lesson.held
            self.memory.run_held(course.run, lesson.held)
            self._count(course, course.started_at, **{"held" if lesson.held else "not_held": 1})
        if lesson.status:
            self._learn(index, lesson, lesson.status, course)

    def _learn(self, index: int, lesson: lessons.Lesson, status: lessons.Status, course: Course) -> None:
        self._count(course, lesson.at, **{status: 1})
        duration = repair = None
        if lesson.ended and course.started_at:
            course.ended_at = lesson.at
            duration = (lesson.at - course.started_at).total_seconds()
            self._count(
                course, course.started_at, **{f"runs_{status}": 1, "runs_ended": 1, "milliseconds": round(duration * 1000)}
            )
        if status is lessons.Status.SUCCEEDED and course.started_at:
            repair = (lesson.at - course.since).total_seconds()
            self.repairs[_key(course, course.started_at), lessons.bucket(repair)] += 1
        if lesson.result:
            about = {name: getattr(course, name) for name in REMEMBERED}
            began = course.started_at is not None
            self.memory.outcome(
                outcomes.Outcome(**about, result=lesson.result, reason=lesson.reason, at=lesson.at, began=began,
                                 duration_seconds=duration, repair_seconds=repair)
            )  # fmt: skip
        self.lessons.append(
            Lesson(
                index=index, at=lesson.at, run=course.run, playbook=course.playbook, service=course.service,
                diagnosis=course.diagnosis, target=course.target, impact=course.impact, status=status,
                result=lesson.result or "", reason=lesson.reason, duration_seconds=duration, repair_seconds=repair,
            )
        )  # fmt: skip

    def _judge(self, index: int, lesson: lessons.Lesson, leaf: dict[str, Any], course: Course) -> None:
        """What an entry says for or against the playbook and those behind the run."""
        good = scores.verdict_on(leaf)
        if good is None:
            return
        about = {name: getattr(course, name) for name in ("playbook", "domain", "trigger", "requested_by", "token")}
        reason = f"{course}: {lesson.reason or leaf['payload'].get('reason') or leaf['action']}"
        for actor in scores.blamed(scores.behind(about), leaf):
            self.evidence.append(scores.Evidence(actor, index, lesson.at, good, reason))
        if lesson.status is not lessons.Status.REJECTED:  # it never ran
            self.trials.append(Trial(lesson.at, course.playbook, course.diagnosis, course.service, good))

    def _course(self, lesson: lessons.Lesson, leaf: dict[str, Any]) -> Course | None:
        run, payload = uuid.UUID(lesson.run), leaf["payload"]
        if lesson.status is lessons.Status.PROPOSED and run not in self.courses:
            about = {name: payload[name] for name in ("playbook", "service", "diagnosis", "target", "impact")}
            since = datetime.fromisoformat(payload["since"]) if payload.get("since") else lesson.at
            incident = payload.get("incident")
            self.courses[run] = Course(
                run=run, since=since, incident=None if incident in (None, "None") else uuid.UUID(incident),
                domain=payload.get("domain") or "host", trigger=payload.get("trigger") or "",
                requested_by=leaf["actor"], token=payload.get("token") or "", **about,
            )  # fmt: skip
        return self.courses.get(run)

    def _count(self, course: Course, at: datetime | None, **counts: int) -> None:
        if at:
            self.counts.setdefault(_key(course, at), Counter()).update(counts)


def _key(course: Course, at: datetime) -> HourKey:
    return at.replace(minute=0, second=0, microsecond=0), course.playbook, course.service, course.diagnosis


def _add(model: Any, counts: Mapping[tuple[Any, ...], Mapping[str, int]]) -> None:
    """Add to the rows of these places, of Hour or Repair. Whoever calls has the cursor's row, so nobody else adds meanwhile."""
    names = PLACE if model is Hour else (*PLACE, "bucket")
    rows = model._default_manager.filter(hour__in={key[0] for key in counts})
    known = {tuple(getattr(row, name) for name in names): row for row in rows}
    fresh = {key: model(**dict(zip(names, key, strict=True))) for key in counts.keys() - known.keys()}
    for key, added in counts.items():
        row = known.get(key) or fresh[key]
        for name, count in added.items():
            setattr(row, name, getattr(row, name) + count)
    changed = sorted({name for added in counts.values() for name in added})
    model._default_manager.bulk_create([fresh[key] for key in counts if key in fresh])
    old = [known[key] for key in counts if key in known]
    if old:
        model._default_manager.bulk_update(old, changed, batch_size=50)
