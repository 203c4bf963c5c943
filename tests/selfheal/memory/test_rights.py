from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from selfheal.memory.policies import ON_MEMORIES, Item, expires_at, over_quota, refused
from selfheal.memory.rights import AccessLevel, Asker, MemoryType, Right, right_of

AT = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
FULL, CROSS, RESTRICTED, DENIED = AccessLevel.FULL, AccessLevel.CROSS_DOMAIN, AccessLevel.RESTRICTED, AccessLevel.DENIED


@pytest.mark.parametrize(
    ("trust", "cross", "granted", "level", "domains", "violation"),
    [
        (0.5, False, (), FULL, {"web"}, ""),
        (0.49, False, (), RESTRICTED, {"web"}, ""),
        (0.19, False, (), DENIED, set(), "trust"),
        (0.8, True, (), CROSS, None, ""),
        (0.79, True, (), RESTRICTED, {"web"}, "domain_isolation"),
        (0.5, True, ("host",), CROSS, {"web", "host"}, ""),
        (0.19, True, ("host",), DENIED, set(), "trust"),
        (1.0, False, ("host",), FULL, {"web"}, ""),
    ],
)
def test_how_far_one_may_look(
    trust: float, cross: bool, granted: tuple[str, ...], level: AccessLevel, domains: set[str] | None, violation: str
) -> None:
    right = right_of(Asker("web", {"web"}, trust, granted=granted), cross)
    assert (right.level, right.violation) == (level, violation)
    assert right.domains == (None if domains is None else frozenset(domains))


@pytest.mark.parametrize("trust", [0.0, 0.5, 1.0])
def test_whose_domain_it_is_not_sees_nothing_whatever_the_trust(trust: float) -> None:
    assert right_of(Asker("host", {"web"}, trust, operates=True, granted=("web",)), True).level is DENIED


@pytest.mark.parametrize(
    ("trust", "operates", "cross", "sensitive"),
    [
        (0.5, True, False, True),
        (0.49, True, False, False),
        (0.9, False, False, False),
        (0.9, True, True, True),
        (0.6, True, True, False),
    ],
)
def test_who_may_see_what_is_sensitive(trust: float, operates: bool, cross: bool, sensitive: bool) -> None:
    assert right_of(Asker("web", None, trust, operates), cross).sensitive is sensitive


OWN = Right(FULL, "web", frozenset({"web"}), sensitive=True)
PLAIN = Right(FULL, "web", frozenset({"web"}))
EVERY = Right(CROSS, "web", None, sensitive=True)


@pytest.mark.parametrize(
    ("item", "right", "policy"),
    [
        (Item("web", False, None), PLAIN, ""),
        (Item("host", False, None), OWN, "domain_isolation"),
        (Item("host", False, None), EVERY, ""),
        (Item("host", True, None), EVERY, "sensitive_content"),
        (Item("web", True, None), PLAIN, "sensitive_content"),
        (Item("web", True, None), OWN, ""),
        (Item("web", False, AT), OWN, "expiry"),
        (Item("web", False, AT + timedelta(seconds=1)), OWN, ""),
    ],
)
def test_what_a_policy_refuses(item: Item, right: Right, policy: str) -> None:
    assert refused(item, right, AT) == policy


def test_each_policy_says_what_it_is() -> None:
    assert all(policy.__doc__ and policy.__name__ == name for name, policy in ON_MEMORIES.items())


def test_how_long_a_memory_lives() -> None:
    lives = {kind: expires_at(kind, AT) for kind in MemoryType}
    assert lives[MemoryType.EPISODIC] == AT + timedelta(hours=168)
    assert lives[MemoryType.WORKING] == AT + timedelta(hours=24)
    assert lives[MemoryType.SEMANTIC] is lives[MemoryType.PROCEDURAL] is None


def test_the_last_question_of_a_quota_is_answered() -> None:
    assert not over_quota(49, 50)
    assert over_quota(50, 50)
