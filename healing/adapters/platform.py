"""`platform`: selfheal itself, its processes, database, broker and log.

Rules that this module keeps:
1. Every part is told of, from signs of life that are there already: seeing selfheal needs no service and no setting.
2. A service of this domain stands for one process, which its label `part` names. It is sensed by how long that is silent, so one
   that hangs is found as well as one that is gone.
3. Only that is healed on which healing does not stand. Who senses (database, broker, beat, worker control) and who acts (worker
   runs) cannot heal themselves: `up`, systemd or a person starts them again. The web process, the sequencer and the workers of a
   pool can be restarted with nothing lost, and that is all that the playbook does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from django.db import DatabaseError
from django.db.models import Max

from healing import findings, health, heartbeats, pools
from healing.ledger.selectors import waiting_since
from healing.models import Heartbeat
from selfheal.findings import Finding
from selfheal.signals import Threshold
from selfheal.states import Health

from .base import Around, Metric, Node, Place, Seen, Standing

SILENT = 30.0  # seconds; /readyz says it after half of that, and nobody restarts a process for one beat that was missed
ROLES = ("web", *heartbeats.ROLES)
NEEDS = {"worker control": ("database", "broker"), "worker runs": ("database", "broker"), "beat": ("database", "broker")}


class Platform:
    """selfheal itself: its processes, its database, its broker and its log."""

    name = "platform"
    telemetry = (
        Metric(
            "platform.alive",
            "",
            f"1: the process that the label `part` names showed itself in the last {SILENT:.0f} s; 0: it did not",
            Threshold("part_silent", critical=0, below=True),
        ),
        Metric("platform.silence_seconds", "s", "since that process last showed itself"),
    )
    actions = ("process.restart",)
    checks = ("metrics_threshold", "process_up", "http_health")
    playbooks = ("restart-selfheal-part",)

    def sense(self, places: Sequence[Place], around: Around) -> list[Seen]:
        parts = {place.labels.get("part", "") for place in places}
        last = dict(Heartbeat.objects.filter(role__in=parts).order_by().values_list("role").annotate(Max("at")))
        return [_seen(place, last.get(place.labels.get("part", "")), around.at) for place in places]

    def nodes(self, services: Sequence[Standing], at: datetime) -> tuple[Node, ...]:
        said = health.database()
        if said:
            return (Node("database", Health.CRITICAL, said), _broker(), *_unseen())
        return (Node("database", Health.HEALTHY, "it answers"), _broker(), *_processes(at), *_pools(at), *_kept(at))


def _seen(place: Place, last: datetime | None, at: datetime) -> Seen:
    part = place.labels.get("part")
    if not part:
        return Seen(place, why=f"it does not say which process it is: give it the label `part`, like {', '.join(ROLES[:2])}")
    if last is None:
        return Seen(place, why=f"{part} has not shown itself for {heartbeats.FORGOTTEN.seconds // 60} min, if ever: start it")
    silent = max(0.0, (at - last).total_seconds())
    return Seen(place, {"platform.alive": float(silent <= SILENT), "platform.silence_seconds": silent})


def _broker() -> Node:
    said = health.broker()
    return Node("broker", Health.CRITICAL if said else Health.HEALTHY, said or "it answers")


def _unseen() -> Iterator[Node]:
    """Without the database nobody can tell."""
    for name in [health.PARTS.get(role, role) for role in ROLES]:
        yield Node(name, Health.UNKNOWN, "its signs of life are in the database", NEEDS.get(name, ("database",)))
    for name in ("clock", "log patrol"):
        yield Node(name, Health.UNKNOWN, "what it is held against is in the database", ("database",))


def _processes(at: datetime) -> Iterator[Node]:
    last = dict(Heartbeat.objects.filter(role__in=ROLES).order_by().values_list("role").annotate(Max("at")))
    for role in ROLES:
        name = health.PARTS.get(role, role)
        state, why = _alive(last.get(role), at)
        if role == "sequencer" and state is Health.HEALTHY and (since := waiting_since()) and at - since > findings.LATE:
            state, why = Health.DEGRADED, f"a leaf waits for its index for {(at - since).total_seconds():.0f} s"
        yield Node(name, state, why, NEEDS.get(name, ("database",)))


def _alive(last: datetime | None, at: datetime) -> tuple[Health, str]:
    if last is None:
        return Health.CRITICAL, "it has not shown itself"
    silent = (at - last).total_seconds()
    if abs(silent) <= heartbeats.STALE.total_seconds():
        return Health.HEALTHY, "it shows itself"
    return Health.CRITICAL, f"it has not shown itself for {silent:.0f} s"


def _pools(at: datetime) -> Iterator[Node]:
    named = pools.named()
    empty = pools.unmanned(named, at)
    for pool in named:
        state, why = (Health.CRITICAL, "no worker of it shows itself") if pool in empty else (Health.HEALTHY, "it shows itself")
        yield Node(f"pool {pool}", state, why, ("database", "broker"))


def _kept(at: datetime) -> Iterator[Node]:
    yield _found("clock", lambda: findings.clocks(at), ("database",))
    yield _found("log patrol", lambda: findings.log_patrol(at), ("database", "sequencer", "worker control"))


def _found(name: str, look: Callable[[], Finding], needs: tuple[str, ...]) -> Node:
    try:
        found = look()
    except DatabaseError as error:
        return Node(name, Health.UNKNOWN, str(error).strip().partition("\n")[0] or "the database failed", needs)
    return Node(name, Health.HEALTHY if found.ok else Health.CRITICAL, found.found, needs)
