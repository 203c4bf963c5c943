"""The clock of the database, which each host is held to: leases, windows and expiries are judged by the clock of whoever looks.

A host whose clock is off by more than `MOST` does no job, proposes nothing and starts no run: another host does, or what waits
goes on waiting. Signs of life and the sequencer's lease are by the clock of the database, wherever they are written.
Where the database is a file there is one host, and one clock.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

from django.db import connection

MOST = timedelta(seconds=5)  # a third of a lease: two hosts that are off to both sides still leave some of it

logger = logging.getLogger(__name__)


def ahead() -> timedelta:
    """How far this host is ahead of the database; negative: behind it. What may be the way there and back does not count."""
    if connection.vendor != "postgresql":
        return timedelta(0)
    before = _now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (there,) = cursor.fetchone()
    return difference(before, there, _now())


def _now() -> datetime:
    return datetime.now(UTC)


def difference(before: datetime, there: datetime, after: datetime) -> timedelta:
    """How far a clock that showed `before` and `after` around the answer `there` is surely ahead; zero if it may be right."""
    return max(before - there, timedelta(0)) or min(after - there, timedelta(0))


def is_wrong() -> bool:
    """Whether this host may not act by its clock; the process's log says so."""
    off = ahead()
    if abs(off) > MOST:
        logger.error("nothing is started here: %s", said(off))
    return abs(off) > MOST


def said(off: timedelta) -> str:
    return f"the clock is {abs(off).total_seconds():.0f} s {'ahead of' if off > timedelta(0) else 'behind'} the database's"
