"""A lease on a job that one process may do, with a fencing token that rises with each new holder.

Each call is one conditional UPDATE; whoever updates no row does not hold the lease. Who does its work in the transaction of a
`renew` can be late, but never beside a later holder: then the renewal fails and the work is rolled back.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, QuerySet

from healing.models import Lease
from selfheal.errors import Conflict


@dataclass(frozen=True)
class Held:
    name: str
    holder: str
    token: int


def acquire(name: str, holder: str, at: datetime, length: timedelta) -> Held | None:
    """The lease, if nobody holds it at `at`."""
    with transaction.atomic():
        Lease.objects.get_or_create(name=name, defaults={"holder": "", "expires_at": at})
        free = Lease.objects.filter(name=name, expires_at__lte=at)
        if free.update(holder=holder, token=F("token") + 1, expires_at=at + length) != 1:
            return None
        return Held(name, holder, Lease.objects.values_list("token", flat=True).get(name=name))


def renew(held: Held, at: datetime, length: timedelta) -> None:
    """Hold it `length` longer. Raises Conflict if somebody else has it since."""
    if _row(held).update(expires_at=at + length) != 1:
        raise Conflict(f"{held.holder} no longer holds the lease {held.name!r}: somebody else took it")


def release(held: Held, at: datetime) -> None:
    """Let the next one in at once. Nothing happens if somebody else has it since."""
    _row(held).update(expires_at=at)


def _row(held: Held) -> QuerySet[Lease]:
    return Lease.objects.filter(name=held.name, holder=held.holder, token=held.token)
