"""Remembering what a program says, and forgetting what has expired.

Rules that this module keeps:
1. What is stored stands here alone. Its entry in the log has its digest, not its text: the log forgets nothing.
2. Whether it is sensitive is said by its tags, its fields or the look of it, and cannot be denied.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any

from django.db import transaction

from healing import ledger
from learning.broker import search
from learning.broker.callers import Caller, Denied
from learning.broker.models import Asked, Memory, Source
from learning.broker.pipeline import REMEMBERED, used, violation
from selfheal.errors import Invalid, TooLarge
from selfheal.memory.policies import expires_at
from selfheal.memory.rights import AccessLevel, MemoryType, right_of
from selfheal.memory.words import is_sensitive, kept_tokens

MOST_BYTES = 32_768
BATCH = 500
NAMESPACE = uuid.UUID("5e1f4ea1-0000-4000-8000-6d656d6f7279")


@dataclass(frozen=True)
class New:
    domain: str
    memory_type: MemoryType
    content: Any
    tags: list[str] = field(default_factory=list)
    context: dict[str, Any] = field(default_factory=dict)
    sensitive: bool = False
    used: list[uuid.UUID] = field(default_factory=list)


def store(new: New, caller: Caller, at: datetime) -> Memory:
    """Raises Denied for a domain that is not the caller's or is not trusted, TooLarge, Invalid."""
    size = len(_plain(new.content).encode())
    if size > MOST_BYTES:
        raise TooLarge(f"content has {size:,} bytes, the limit is {MOST_BYTES:,}: keep it elsewhere, and store where")
    right = right_of(caller.asker(new.domain, at), cross=False)
    with transaction.atomic():
        if right.level is AccessLevel.DENIED:
            violation(new.domain, caller, right, at)
        else:
            memory = make(new, caller.name, at)
            search.add([memory])
            payload = {
                "token": caller.token,
                "memory": str(memory.public_id),
                "memory_type": new.memory_type,
                "sha256": sha256(_plain(new.content).encode()).hexdigest(),
                "sensitive": memory.sensitive,
                "expires_at": memory.expires_at.isoformat() if memory.expires_at else None,
            }
            ledger.append(
                actor=caller.name, action="memory.stored", resource=f"memory:{new.domain}", payload=payload, at=at,
                subsystem="learning",
            )  # fmt: skip
            used(new.used, caller, new.domain, at)
            return memory
    raise Denied("; ".join(right.reasons))


def make(new: New, stored_by: str, at: datetime, source: Source = Source.STORED, key: str = "") -> Memory:
    """A memory that is not saved. `key` names it for ever: made again from the log it is the same."""
    sensitive = new.sensitive or is_sensitive([new.content, new.context], new.tags)
    tokens = kept_tokens(new.content, new.tags, new.context, sensitive)
    return Memory(
        public_id=uuid.uuid5(NAMESPACE, key) if key else uuid.uuid4(),
        domain=new.domain,
        memory_type=new.memory_type,
        content=new.content,
        tags=new.tags,
        context=new.context,
        words=f" {' '.join(tokens)} " if tokens else "",
        sensitive=sensitive,
        source=source,
        stored_by=stored_by,
        at=at,
        expires_at=expires_at(new.memory_type, at),
    )


def prune(at: datetime) -> int:
    """Delete what has expired and which questions are over a week old, at most 500 of each; how many memories."""
    old = Asked.objects.filter(at__lte=at - REMEMBERED).order_by("at").values_list("pk", flat=True)[:BATCH]
    with transaction.atomic():
        Asked.objects.filter(pk__in=list(old)).delete()
        late = Memory.objects.filter(expires_at__lte=at).order_by("expires_at").values_list("pk", flat=True)[:BATCH]
        return search.remove(late)


def _plain(content: Any) -> str:
    """As text of which there is one form, floats too."""
    try:
        return json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise Invalid(f"is no JSON: {error}", field="content") from error
