"""Random questions by random askers over random memories: nothing comes back without the right to it. Some in `make test`,
ten thousand in `make soak`.

What may come back is counted by hand here: a memory of the own domain; with the flag and trust, or with an approval that names
its domain, one of another domain that is not sensitive; what is sensitive only to who operates and is trusted, in its domain.
"""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from learning.broker import grants, pipeline, search, storing
from learning.broker.callers import Caller, Denied, OverQuota
from learning.broker.models import Asked, Memory
from selfheal.memory.rights import AccessLevel, MemoryType
from tests.factories import make_user

from .conftest import logged

DOMAINS = ("web", "host", "shop", "pay")
WORDS = ("disk", "full", "restart", "slow", "queue", "certificate", "deploy", "night")
TAGS = ("disk-full", "runbook", "vault")
SERVICES = ("web-1", "web-2", "db")
MEMORIES = 400


def remember(chance: random.Random) -> None:
    at = timezone.now()
    made = []
    for number in range(MEMORIES):
        new = storing.New(
            chance.choice(DOMAINS),
            chance.choice(list(MemoryType)),
            f"{' '.join(chance.sample(WORDS, 3))} {number}",
            chance.sample(TAGS, chance.randrange(3)),
            {"service": chance.choice(SERVICES)},
            sensitive=chance.random() < 0.3,
        )
        made.append(storing.make(new, "test", at - timedelta(hours=chance.uniform(0, 200))))
    search.add(made)


def asked_by(chance: random.Random) -> pipeline.Ask:
    return pipeline.Ask(
        chance.choice(DOMAINS),
        chance.choice(["", *MemoryType]),
        " ".join(chance.sample(WORDS, chance.randrange(4))),
        chance.sample(TAGS, chance.randrange(2)),
        {"service": chance.choice(SERVICES)} if chance.random() < 0.5 else {},
        chance.choice([1, 5, 20, 100]),
        chance.random() < 0.5,
    )


def may_see(memory: Memory, asked: pipeline.Ask, caller: Caller, trust: float, granted: frozenset[str]) -> bool:
    if caller.domains is not None and asked.domain not in caller.domains:
        return False
    if memory.expires_at and memory.expires_at <= timezone.now():
        return False
    if memory.domain != asked.domain:
        return asked.cross and not memory.sensitive and (trust >= 0.8 or memory.domain in granted) and trust >= 0.2
    return not memory.sensitive or (trust >= 0.5 and caller.user.has_perm("healing.operate"))


def questions(many: int, seed: int, trusted: Any, monkeypatch: pytest.MonkeyPatch) -> set[AccessLevel]:
    """Ask; the levels that were met. Fails at the first memory that must not be seen."""
    chance = random.Random(seed)
    remember(chance)
    monkeypatch.setattr(pipeline, "over_quota", lambda asked, limit: False)  # the quota has tests of its own
    known = {str(memory.public_id): memory for memory in Memory.objects.all()}
    users = [make_user("vera"), make_user("olga", role="operator")]
    met: set[AccessLevel] = set()
    for _ in range(many):
        domains = chance.choice([None, frozenset(chance.sample(DOMAINS, chance.randrange(3)))])
        caller, asked = Caller(chance.choice(users), "t", domains), asked_by(chance)
        trust, granted = chance.choice([0.1, 0.3, 0.5, 0.7, 0.8, 1.0]), frozenset(chance.sample(DOMAINS, chance.randrange(2)))
        trusted(trust)
        monkeypatch.setattr(grants, "granted", lambda domain, at, granted=granted: granted)
        try:
            answer = pipeline.ask(asked, caller, timezone.now())
        except Denied:
            met.add(AccessLevel.DENIED)
            assert Asked.objects.latest("at").returned == []
            continue
        met.add(answer.access_level)
        for row in answer.memories:
            assert may_see(known[row["id"]], asked, caller, trust, granted), (asked, trust, granted, row)
    return met


def test_random_questions_return_nothing_without_the_right(trusted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert questions(150, 1, trusted, monkeypatch) == set(AccessLevel)
    assert len(logged("memory.query")) > 20


@pytest.mark.soak
def test_ten_thousand_random_questions_return_nothing_without_the_right(trusted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert questions(10_000, 2, trusted, monkeypatch) == set(AccessLevel)


def test_the_quota_holds_for_who_asks_at_the_same_moment(trusted: Any) -> None:
    remember(random.Random(3))
    caller, at = Caller(make_user("olga", role="operator"), "t", None), timezone.now()
    for _ in range(50):
        pipeline.ask(pipeline.Ask("web"), caller, at)
    with pytest.raises(OverQuota):
        pipeline.ask(pipeline.Ask("web"), caller, at)
    pipeline.ask(pipeline.Ask("host"), caller, at)
