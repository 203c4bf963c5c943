"""Runner pools: the workers beside what they heal. A service names its pool; its runs go to that pool's queue and to no other.

A pool is a queue of the broker and the workers that take from it (`selfheal worker --pool NAME`); nothing declares it but the
services that name it. Without one, runs go to the workers `runs`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from healing import heartbeats
from healing.models import Heartbeat, Service

RUNS = "runs"


def queue(pool: str) -> str:
    """The queue of the runs of services that name `pool`."""
    return f"{RUNS}.{pool}" if pool else RUNS


def role(pool: str) -> str:
    """What a worker of `pool` calls itself in its heartbeat."""
    return f"worker:{queue(pool)}"


def named() -> list[str]:
    """The pools that active services name."""
    return list(Service.objects.filter(active=True).exclude(pool="").order_by("pool").values_list("pool", flat=True).distinct())


def unmanned(pools: Iterable[str], at: datetime) -> list[str]:
    """Those of `pools` of which no worker has shown itself lately."""
    wanted = {role(pool): pool for pool in pools}
    fresh = Heartbeat.objects.filter(role__in=wanted, at__range=(at - heartbeats.STALE, at + heartbeats.STALE))
    there = set(fresh.values_list("role", flat=True))
    return [pool for name, pool in wanted.items() if name not in there]
