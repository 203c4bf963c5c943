"""How it stands now, computed when it is asked for: `GET /api/meta/focus` as the contract shapes it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Min

from healing import guardrail
from healing.models import ApprovalRequest, Incident, Run
from metafocus.models import Cycle
from metafocus.observing import Healths, at_a_glance, healths_at
from selfheal.focus import Seen, distress, focus, from_document
from selfheal.guardrails import SHOWN, is_late
from selfheal.states import ACTIVE_RUN, LIVE_INCIDENT, ApprovalStatus, Health, Outcome, RunStatus, Severity

MOST = 10
HOUR = timedelta(hours=1)
INCIDENT = ("id", "service__name", "target", "diagnosis", "severity", "status", "title", "opened_at")


def summary(at: datetime, healths: Healths | None = None) -> dict[str, Any]:
    """The whole answer. It costs what is open, declared and recent. `healths`: where they are known."""
    last, healths = Cycle.objects.first(), healths or healths_at(at)
    seen, rail = seen_now(last, healths, at), guardrail.standing(at)
    looked, bad = focus(seen), distress(seen)
    return {
        "current_cycle": last and last.pk,
        "health_distress": {
            "score": bad.score,
            **{f"{health}_count": count for health, count in healths.counts().items()},
            "open_incidents": seen.open_incidents,
        },
        "critical_services": healths.named(Health.CRITICAL)[:MOST],
        "degraded_services": healths.named(Health.DEGRADED)[:MOST],
        "open_incidents": _open(),
        "incidents": _incidents(at),
        "self_heal": _self_heal(at),
        "recommendations": {
            "focus_area": looked.area,
            "guardrail_adjustment": bad.recommends,
            "reasoning": [*looked.reasons, f"{bad.reason}, which recommends {SHOWN[bad.recommends]}"],
        },
        "metadata": {
            "timestamp": at,
            "guardrail_state": rail.level,
            "guardrail_reason": rail.reason,
            "guardrail_pinned_by": rail.pinned_by or None,
            "total_cycles": last.number if last else 0,
        },
    }


def seen_now(last: Cycle | None, healths: Healths, at: datetime) -> Seen:
    """What is so at this moment, with latencies and forecasts of the last cycle: a request has no time for an hour of samples."""
    seen = at_a_glance(healths, at)
    if last is None or is_late(last.created_at, guardrail.cycle(), at):
        return seen
    measured = from_document(last.seen)
    return replace(seen, drifts=measured.drifts, strains=measured.strains)


def _open() -> list[dict[str, Any]]:
    rows = Incident.objects.filter(status__in=LIVE_INCIDENT).order_by("-opened_at").values(*INCIDENT)[:MOST]
    return [{("service" if name == "service__name" else name): value for name, value in row.items()} for row in rows]


def _incidents(at: datetime) -> dict[str, Any]:
    live = Incident.objects.filter(status__in=LIVE_INCIDENT).order_by()
    counted = dict(live.values_list("severity").annotate(count=Count("pk")))
    oldest = live.aggregate(oldest=Min("opened_at"))["oldest"]
    return {
        "by_severity": {str(severity): counted.get(severity, 0) for severity in Severity},
        "oldest_open_seconds": max(0, round((at - oldest).total_seconds())) if oldest else None,
    }


def _self_heal(at: datetime) -> dict[str, int]:
    """Each by an index: runs have one by status and creation, and one by their end."""
    lately = Run.objects.filter(status__in=list(RunStatus), created_at__gt=at - HOUR)
    ended = Run.objects.filter(started_at__isnull=False, finished_at__gt=at - HOUR)
    return {
        "proposed_last_hour": lately.count(),
        "failed_last_hour": ended.exclude(outcome=Outcome.SUCCESS).count(),
        "pending_approvals": ApprovalRequest.objects.filter(status=ApprovalStatus.PENDING, expires_at__gt=at).count(),
        "active_runs": Run.objects.filter(status__in=ACTIVE_RUN).count(),
    }
