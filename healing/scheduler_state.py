"""How the scheduler stands, for programs: what /api/self_heal/scheduler_counters and scheduler_health say.

Every part is read by an index and bounded by what waits now or was proposed within the last hour; nothing counts the history.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Count, OuterRef, QuerySet, Subquery

from healing import counters
from healing.jobs import last_run
from healing.mode import global_mode
from healing.models import Backoff, Counter, JobRun, Run
from selfheal import backoff
from selfheal.states import GlobalMode, RunStatus

LATE = 3  # poll intervals without a tick, after which the scheduler counts as stopped
MOST = 1_000  # places that are listed


def scheduler_counters(at: datetime) -> dict[str, Any]:
    """As the contract has it; see the schema of the API."""
    by_service = counters.read(counters.SHOWN)
    waiting, rates = backoff_active(at), proposals_of_the_hour(at)
    busiest: dict[str, int] = {}
    for row in rates:
        busiest[row["service__name"]] = max(busiest.get(row["service__name"], 0), row["number"])
    return {
        "scheduler_state": state(at),
        "global": _numbers(by_service.pop("")),
        "per_service": {name: _numbers(rows) for name, rows in sorted(by_service.items())},
        "backoff": {"active_count": waiting.count(), "services": [_waits(row) for row in _with_last(waiting)[:MOST]]},
        "rate_limiting": {
            "active_count": len(busiest),
            "services": [
                {"service": name, "proposals_last_hour": number, "limit": settings.SELF_HEAL_PROPOSALS_PER_HOUR}
                for name, number in sorted(busiest.items())[:MOST]
            ],
        },
        "statistics": {"total_backoff_entries": Backoff.objects.count(), "total_rate_tracked_services": len(busiest)},
        "metadata": {
            "timestamp": at,
            "observe_only": global_mode() is GlobalMode.OBSERVE,
            "execute_enabled": global_mode() is GlobalMode.EXECUTE,
        },
    }


def scheduler_health(at: datetime) -> dict[str, Any]:
    """`error`: the last tick failed; `stopped`: there was none for three poll intervals, or everything is switched off."""
    last = last_run("tick")
    status = "stopped" if not running(last, at) else "error" if last and last.error else "running"
    return {
        "status": status,
        "poll_interval_seconds": settings.SELF_HEAL_POLL_SECONDS,
        "backoff_entries": backoff_active(at).count(),
        "rate_tracked_services": len({row["service__name"] for row in proposals_of_the_hour(at)}),
        "healthy": status == "running",
    }


def state(at: datetime) -> dict[str, Any]:
    last = last_run("tick")
    return {
        "poll_interval_seconds": settings.SELF_HEAL_POLL_SECONDS,
        "running": running(last, at),
        "last_tick_at": last.started_at if last else None,
        "last_tick_seconds": last.seconds if last else None,
    }


def running(last: JobRun | None, at: datetime) -> bool:
    """Whether a tick was done lately. One from the future counts as little as an old one: that clock was wrong."""
    late = LATE * timedelta(seconds=settings.SELF_HEAL_POLL_SECONDS)
    return global_mode() is not GlobalMode.OFF and last is not None and abs(at - last.started_at) <= late


def backoff_active(at: datetime) -> QuerySet[Backoff]:
    """The places that wait for their next proposal."""
    return Backoff.objects.filter(next_allowed_at__gt=at)


def proposals_of_the_hour(at: datetime) -> list[dict[str, Any]]:
    """How much was proposed in the last hour, by service and target: [{service__name, target, number}]."""
    every = list(RunStatus)  # named, since the index begins with the status
    lately = Run.objects.filter(status__in=every, created_at__gt=at - backoff.HOUR).order_by()
    rows: Any = lately.values("service__name", "target").annotate(number=Count("pk"))
    return [dict(row) for row in rows]


def _with_last(rows: QuerySet[Backoff]) -> QuerySet[Backoff]:
    same = Run.objects.filter(service=OuterRef("service"), target=OuterRef("target"), diagnosis=OuterRef("diagnosis"))
    last = Subquery(same.order_by("-created_at").values("created_at")[:1])
    return rows.select_related("service").annotate(last=last).order_by("-next_allowed_at", "pk")


def _waits(row: Any) -> dict[str, Any]:
    """`suppressed_until`: when the last of the waits for the place is over, that for duplicates among them."""
    window = timedelta(minutes=settings.SELF_HEAL_DUPLICATE_WINDOW_MIN)
    return {
        "service": row.service.name,
        "target": row.target,
        "diagnosis": row.diagnosis,
        "backoff_factor": backoff.factor(row.proposals + 1),
        "next_allowed_at": row.next_allowed_at,
        "suppressed_until": max(row.next_allowed_at, row.last + window) if row.last else row.next_allowed_at,
    }


def _numbers(rows: dict[str, Counter]) -> dict[str, Any]:
    return {
        **{name: rows[name].value if name in rows else 0 for name in counters.SHOWN},
        "last_updated": max((row.updated_at for row in rows.values()), default=None),
    }
