"""A write that is sent twice is done once: the caller names it by a key, and the second call gets the first one's answer.

Rules that this module keeps:
1. A key belongs to one user and one request (method, path, body). The unique row is the lock: the database refuses the second.
2. A row without an answer is being worked on. After `DEAD` its process counts as dead and one caller takes it over, by
   compare-and-set on `created_at`; the old one, should it live after all, can then neither answer nor forget.
3. Only the digest of the body is stored, and the answer, in which the API puts no secret.

The work and its answer are not one transaction: a process that dies between them leaves a write that the retry does again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from healing.models import IdempotentCall, User
from selfheal.errors import Conflict, Invalid

HEADER = "Idempotency-Key"
MAX_KEY = 200
DEAD = timedelta(seconds=60)
KEPT = timedelta(hours=24)
PRUNED_AT_ONCE = 1_000


class Busy(Conflict):
    """The first call with this key has no answer yet."""


class Reused(Conflict):
    """The key was used for another request."""


@dataclass(frozen=True)
class Asked:
    """What a key stands for. `path` has the query."""

    method: str
    path: str
    body: bytes

    def columns(self) -> dict[str, str]:
        return {"method": self.method, "path": self.path, "body_sha256": sha256(self.body).hexdigest()}


def check_key(key: str) -> str:
    """The key. Raises Invalid unless it is 1 to 200 printable characters of ASCII."""
    if not (1 <= len(key) <= MAX_KEY and key.isascii() and key.isprintable()):
        raise Invalid(f"must be 1 to {MAX_KEY} printable ASCII characters", field=HEADER)
    return key


def begin(user: User, key: str, asked: Asked, at: datetime) -> IdempotentCall:
    """The row of this call. With a status it holds the answer to give again; without one the work is the caller's to do.

    Raises Reused, and Busy while somebody else is at it.
    """
    columns = asked.columns()
    try:
        with transaction.atomic():
            return IdempotentCall.objects.create(user=user, key=key, created_at=at, **columns)
    except IntegrityError:
        known = IdempotentCall.objects.filter(user=user, key=key).first()
    if known is None:
        raise Busy("the call with this key has just failed: send it again")
    if any(getattr(known, name) != value for name, value in columns.items()):
        raise Reused("was used for another request: a new request takes a new key")
    return known if known.status is not None else _take_over(known, at)


def answer(call: IdempotentCall, status: int, response: str, content_type: str) -> None:
    """Store the answer, unless the call was taken over: then the answer is another's to store."""
    _mine(call).update(status=status, response=response, content_type=content_type)


def forget(call: IdempotentCall) -> None:
    """The call came to nothing: the same key may try again."""
    _mine(call).delete()


def prune(at: datetime) -> int:
    """Delete some of the rows that are older than `KEPT`, the oldest first; returns how many."""
    old = IdempotentCall.objects.filter(created_at__lt=at - KEPT)
    some = list(old.order_by("created_at").values_list("pk", flat=True)[:PRUNED_AT_ONCE])
    return old.filter(pk__in=some).delete()[0]


def _take_over(known: IdempotentCall, at: datetime) -> IdempotentCall:
    # A row from the future is one of a clock that was set back; it must not block its key until then.
    if abs(at - known.created_at) <= DEAD or _mine(known).update(created_at=at) != 1:
        raise Busy("the first call with this key is still being worked on")
    known.created_at = at
    return known


def _mine(call: IdempotentCall) -> QuerySet[IdempotentCall]:
    return IdempotentCall.objects.filter(pk=call.pk, status=None, created_at=call.created_at)
