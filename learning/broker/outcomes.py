"""What the log tells, remembered: each outcome of a run, patterns of many, what was used, what is asked often.

Rules that this module keeps:
1. All of it comes from the log, in the transaction of the follower that reads it, so that reading again makes the same rows.
2. One run is one memory, named by its run. That it held, or did not, is added when the log says so.
3. From its third run on a pattern is a memory of its own, which does not expire: it outlives what it was learnt from.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import F

from learning.broker import search
from learning.broker.models import Memory, Pattern, Question, Source
from learning.broker.pipeline import LITTLE, question_key
from learning.broker.storing import BATCH, NAMESPACE, New, make
from selfheal.lessons import Result
from selfheal.memory.rights import MemoryType

FREQUENT = 3  # runs that are a pattern
BY = "log"
Key = tuple[str, str, str, str]  # domain, service, diagnosis, playbook


@dataclass(frozen=True)
class Outcome:
    """How a run ended. `began` False: it never started."""

    run: uuid.UUID
    incident: uuid.UUID | None
    domain: str
    service: str
    target: str
    diagnosis: str
    playbook: str
    impact: str
    result: Result
    reason: str
    at: datetime
    began: bool
    duration_seconds: float | None = None
    repair_seconds: float | None = None


@dataclass
class Remembering:
    """What one batch of the log adds; `save` writes it, in the transaction of the follower."""

    memories: dict[uuid.UUID, Memory] = field(default_factory=dict)
    held: dict[uuid.UUID, bool] = field(default_factory=dict)
    patterns: dict[Key, list[Outcome]] = field(default_factory=dict)
    uses: Counter[uuid.UUID] = field(default_factory=Counter)
    questions: dict[tuple[str, str], list[tuple[datetime, bool]]] = field(default_factory=dict)

    def outcome(self, ended: Outcome) -> None:
        memory = _memory_of(ended)
        self.memories[memory.public_id] = memory
        if ended.began:
            key = (ended.domain, ended.service, ended.diagnosis, ended.playbook)
            self.patterns.setdefault(key, []).append(ended)

    def run_held(self, run: uuid.UUID, held: bool) -> None:
        self.held[_name_of(run)] = held

    def entry(self, leaf: Mapping[str, Any]) -> None:
        """An entry of the broker itself; others are passed over."""
        if leaf["action"] == "memory.used":
            self.uses.update(uuid.UUID(each) for each in leaf["payload"]["memories"])
        elif leaf["action"] == "memory.query" and leaf["payload"]["terms"]:
            key = (leaf["resource"].removeprefix("memory:"), question_key(leaf["payload"]["terms"]))
            self.questions.setdefault(key, []).append((datetime.fromisoformat(leaf["at"]), leaf["payload"]["found"] < LITTLE))

    def save(self) -> None:
        search.add(list(self.memories.values()))
        for memory in Memory.objects.filter(public_id__in=self.held).select_for_update():
            Memory.objects.filter(pk=memory.pk).update(content={**memory.content, "held": self.held[memory.public_id]})
        for key, ended in self.patterns.items():
            _add_to_pattern(key, ended)
        for public_id, times in self.uses.items():
            Memory.objects.filter(public_id=public_id).update(uses=F("uses") + times)
        for (domain, terms), asked in self.questions.items():
            row, _ = Question.objects.get_or_create(domain=domain, terms=terms, defaults={"last_at": asked[-1][0]})
            little = sum(few for _, few in asked)
            Question.objects.filter(pk=row.pk).update(
                asked=F("asked") + len(asked), little=F("little") + little, last_at=asked[-1][0]
            )


def forget() -> None:
    """Forget all that came from the log; what programs stored stays, as if nobody had used it."""
    while search.remove(Memory.objects.exclude(source=Source.STORED).values_list("pk", flat=True)[:BATCH]):
        continue
    Memory.objects.exclude(uses=0).update(uses=0)
    Pattern.objects.all().delete()
    Question.objects.all().delete()


def _name_of(run: uuid.UUID) -> uuid.UUID:
    return uuid.uuid5(NAMESPACE, f"run:{run}")


def _memory_of(ended: Outcome) -> Memory:
    about = {name: getattr(ended, name) for name in ("service", "target", "diagnosis", "playbook")}
    content = {
        **about,
        "run": str(ended.run),
        "incident": str(ended.incident) if ended.incident else None,
        "impact": ended.impact,
        "result": str(ended.result),
        "reason": ended.reason,
        "duration_seconds": ended.duration_seconds,
        "repair_seconds": ended.repair_seconds,
        "held": None,
    }
    tags = [ended.diagnosis, ended.playbook, str(ended.result)]
    new = New(ended.domain, MemoryType.EPISODIC, content, tags, about)
    return make(new, BY, ended.at, Source.OUTCOME, f"run:{ended.run}")


def _add_to_pattern(key: Key, ended: list[Outcome]) -> None:
    domain, service, diagnosis, playbook = key
    row = Pattern.objects.filter(domain=domain, service=service, diagnosis=diagnosis, playbook=playbook).first() or Pattern(
        domain=domain, service=service, diagnosis=diagnosis, playbook=playbook, first_at=ended[0].at
    )
    results = Counter(row.results)
    results.update(str(each.result) for each in ended)
    row.results, row.last_at, row.last_result = dict(results), ended[-1].at, str(ended[-1].result)
    row.save()
    if sum(results.values()) >= FREQUENT:
        _remember_pattern(row)


def _remember_pattern(row: Pattern) -> None:
    about = {"service": row.service, "diagnosis": row.diagnosis, "playbook": row.playbook}
    made = make(
        New(row.domain, MemoryType.SEMANTIC, about, [row.diagnosis, row.playbook, "pattern"], about),
        BY,
        row.last_at,
        Source.PATTERN,
        f"pattern:{row.domain}:{row.service}:{row.diagnosis}:{row.playbook}",
    )
    tried, helped = sum(row.results.values()), row.results.get(Result.OK, 0)
    made.content = {
        **about,
        "said": f"{row.playbook} helped {helped} of {tried} times against {row.diagnosis} of {row.service}",
        "tried": tried,
        "results": row.results,
        "last_result": row.last_result,
    }
    known = Memory.objects.filter(public_id=made.public_id)
    if not known.update(content=made.content, at=made.at):
        search.add([made])
