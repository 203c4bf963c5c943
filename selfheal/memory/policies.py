"""What of the candidates is shown, and how often one may ask: one table of small functions.

A policy of a memory returns why it is not shown, in words; the empty string: it may be. All are asked about every candidate, also
where the search has left out already what they would refuse.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from selfheal.memory.rights import MemoryType, Right

LIVES: dict[MemoryType, timedelta | None] = {
    MemoryType.EPISODIC: timedelta(hours=168),
    MemoryType.SEMANTIC: None,
    MemoryType.PROCEDURAL: None,
    MemoryType.WORKING: timedelta(hours=24),
}
QUOTA = 50  # questions of a domain in any
QUOTA_SECONDS = 60


@dataclass(frozen=True)
class Item:
    """The part of a memory that policies look at."""

    domain: str
    sensitive: bool
    expires_at: datetime | None


def domain_isolation(item: Item, right: Right, at: datetime) -> str:
    """A memory is shown to its own domain, and to another only as far as its right goes."""
    return "" if right.covers(item.domain) else f"it belongs to {item.domain}"


def sensitive_content(item: Item, right: Right, at: datetime) -> str:
    """What is sensitive never leaves its domain, and is shown there only to those who have the right."""
    if not item.sensitive:
        return ""
    if item.domain != right.domain:
        return "it is sensitive, and of another domain"
    return "" if right.sensitive else "it is sensitive"


def expiry(item: Item, right: Right, at: datetime) -> str:
    """What has expired is not shown, whether it was deleted already or not."""
    return "it has expired" if item.expires_at is not None and item.expires_at <= at else ""


ON_MEMORIES: dict[str, Callable[[Item, Right, datetime], str]] = {
    "domain_isolation": domain_isolation,
    "sensitive_content": sensitive_content,
    "expiry": expiry,
}
POLICIES = (*ON_MEMORIES, "quota")


def refused(item: Item, right: Right, at: datetime) -> str:
    """The name of the first policy that refuses it; the empty string: it is shown."""
    return next((name for name, policy in ON_MEMORIES.items() if policy(item, right, at)), "")


def over_quota(asked: int, limit: int) -> bool:
    """Whether one more is too many, after `asked` within the last 60 s."""
    return asked >= limit


def expires_at(memory_type: MemoryType, at: datetime) -> datetime | None:
    """When a memory of this type ends that is made at `at`; None: never."""
    life = LIVES[memory_type]
    return at + life if life else None
