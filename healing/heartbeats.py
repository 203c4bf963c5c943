"""Signs of life: each process says in one row that it is there, at most each `EVERY` seconds.

A process that a signal killed leaves its row; it is old soon, and the next process of that role deletes it.
"""

from __future__ import annotations

import os
import socket
from datetime import datetime, timedelta

from django.db.models import QuerySet

from healing import clock
from healing.models import Heartbeat

EVERY = 5.0  # seconds between two beats
STALE = timedelta(seconds=15)  # without one for so long a process counts as gone
FORGOTTEN = timedelta(hours=1)

# Without one of these nothing is healed. A web process shows itself as well, with the role `web`.
ROLES = ("worker:control", "worker:runs", "beat", "sequencer")
ADVICE = "worker:advice"  # without one there is no advice, and everything goes on


def name_of(role: str) -> str:
    """A name for this process that no other has, as long as the column is."""
    return f"{role.removeprefix('worker:')}-{os.getpid()}@{socket.gethostname()}"[:100]


def beat(name: str, role: str, at: datetime) -> None:
    """Say that the process `name` is there. `at` is by its clock, what is written by that of the database."""
    ahead = clock.ahead()
    at -= ahead
    Heartbeat.objects.bulk_create(
        [Heartbeat(name=name, role=role, at=at, clock_ahead=ahead)],
        update_conflicts=True,
        unique_fields=["name"],
        update_fields=["role", "at", "clock_ahead"],
    )
    Heartbeat.objects.filter(role=role, at__lt=at - FORGOTTEN).delete()


def forget(name: str) -> None:
    """The process ends by itself: it takes its row along."""
    Heartbeat.objects.filter(name=name).delete()


def missing(at: datetime) -> list[str]:
    """The roles of which no process has shown itself lately, in the order of `ROLES`."""
    there = set(fresh(at).values_list("role", flat=True))
    return [role for role in ROLES if role not in there]


def is_there(role: str, at: datetime) -> bool:
    return fresh(at).filter(role=role).exists()


def fresh(at: datetime) -> QuerySet[Heartbeat]:
    """Of the processes that have shown themselves lately."""
    return Heartbeat.objects.filter(at__range=(at - STALE, at + STALE))
