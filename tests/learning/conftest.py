"""Histories of runs as their leaves in the log, made by a seed."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from healing.ledger import instant
from healing.models import LedgerEntry, LedgerOutbox
from learning import consulting
from selfheal.canonical import dumps

BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
PLAYBOOKS, SERVICES, DIAGNOSES = ("restart", "scale", "flush"), ("web", "shop"), ("service_down", "latency_spike")
Leaf = dict[str, Any]


def leaf(run: uuid.UUID, name: str, at: datetime, actor: str = "worker", **payload: Any) -> Leaf:
    about = {"actor": actor, "action": f"run.{name}", "resource": f"run:{run}", "subsystem": "healing", "result": "ok"}
    return {**about, "payload": {"reason": "", **payload}, "at": instant(at)}


def life(chance: random.Random, at: datetime) -> Iterator[Leaf]:
    """One run from its proposal to whatever end it comes to."""
    run = uuid.UUID(int=chance.getrandbits(128))

    def after(seconds: float) -> datetime:
        nonlocal at
        at += timedelta(seconds=chance.uniform(0.001, seconds))
        return at

    about = {"playbook": chance.choice(PLAYBOOKS), "service": chance.choice(SERVICES), "diagnosis": chance.choice(DIAGNOSES)}
    since = instant(at - timedelta(seconds=chance.uniform(0, 900)))
    about["domain"] = {"web": "host", "shop": "shop"}[about["service"]]
    yield leaf(run, "proposed", at, "scheduler", target="web-01", impact="low", since=since, **about)
    end = chance.choice(["blocked", "rejected", "expired", "waits", *["starts"] * 6])
    if end == "blocked":
        yield leaf(run, "aborted", after(1), "policy", **{"from": "proposed", "to": "aborted", "abort_reason": "policy"})
    elif end == "rejected":
        yield leaf(run, "rejected", after(3600), "ann", **{"from": "pending", "to": "rejected"})
    elif end == "expired":
        yield leaf(run, "aborted", after(3600), "scheduler", **{"from": "pending", "to": "aborted", "abort_reason": "expired"})
    elif end == "starts":
        yield leaf(run, "approved", after(3600), chance.choice(["policy", "ann"]), **{"from": "proposed", "to": "approved"})
        yield leaf(run, "running", after(5), **{"from": "queued", "to": "running"})
        to = chance.choice(["succeeded", "succeeded", "failed", "rolled_back", "aborted"])
        yield leaf(run, to, after(600), **{"from": "running", "to": to, "abort_reason": "timeout" if to == "aborted" else None})
        if to == "succeeded":
            yield leaf(run, chance.choice(["held", "not_held"]), after(1000), "scheduler")


def history(seed: int, runs: int) -> list[Leaf]:
    """The leaves of that many runs over three weeks, in the order of their times."""
    chance = random.Random(seed)
    lives = [life(chance, BEGIN + timedelta(seconds=chance.uniform(0, 21 * 86_400))) for _ in range(runs)]
    return sorted((each for one in lives for each in one), key=lambda each: each["at"])


def store(leaves: list[Leaf], first: int = 0) -> None:
    """The leaves as entries of the log, unsigned: a reader does not look at signatures."""
    LedgerEntry.objects.bulk_create(
        LedgerEntry(
            index=index, outbox_id=index + 1, leaf=dumps(each), leaf_hash=b"", signature=b"", key_id="", actor=each["actor"],
            action=each["action"], resource=each["resource"], subsystem="healing", at=each["at"],
        )
        for index, each in enumerate(leaves, first)
    )  # fmt: skip


def store_rest() -> None:
    """Those leaves of the outbox that are no entry yet, as entries."""
    last = LedgerEntry.objects.order_by("-index").values_list("index", "outbox_id").first() or (-1, 0)
    rest = LedgerOutbox.objects.filter(pk__gt=last[1]).order_by("pk")
    leaves = [(row.pk, bytes(row.leaf), json.loads(bytes(row.leaf))) for row in rest]
    LedgerEntry.objects.bulk_create(
        LedgerEntry(
            index=index, outbox_id=key, leaf=text, leaf_hash=b"", signature=b"", key_id="", actor=each["actor"],
            action=each["action"], resource=each["resource"], subsystem=each["subsystem"], at=each["at"],
        )
        for index, (key, text, each) in enumerate(leaves, last[0] + 1)
    )  # fmt: skip


@pytest.fixture
def learnt(db: None) -> Callable[[list[Leaf]], list[Leaf]]:
    """Store the leaves and read them to the end."""
    from learning.follow import follow

    def learn(leaves: list[Leaf]) -> list[Leaf]:
        store(leaves)
        while follow():
            continue
        return leaves

    return learn


def answers(at: datetime) -> int:
    """What a worker for advice does until no question waits; how many that were."""
    count = 0
    with time_machine.travel(at, tick=False):
        while (row := consulting.take(at)[0]) is not None:
            consulting.answer(row)
            count += 1
    return count
