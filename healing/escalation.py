"""A request that nobody answers: more people are told, 5 and 15 minutes after it was asked.

Rules that this module keeps:
1. What is due is found by an indexed query; each escalation is one conditional UPDATE with its log entry, so that any number of
   ticks escalates once.
2. Whoever slept through both times tells once.
3. Nobody is told while nothing is executed. Telling is `healing.notifications`': the log entry makes the message.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction

from healing.approvals import ESCALATE_AFTER, approvers_of
from healing.mode import global_mode
from healing.models import ApprovalRequest
from healing.transitions import record
from selfheal.states import ApprovalStatus, GlobalMode

BATCH = 50


def escalate(at: datetime) -> list[ApprovalRequest]:
    """Mark what is due, at most `BATCH`; the requests that this caller escalated."""
    if global_mode() is not GlobalMode.EXECUTE:
        return []
    due = ApprovalRequest.objects.filter(escalate_at__lte=at, status=ApprovalStatus.PENDING, expires_at__gt=at)
    return [request for request in due.order_by("escalate_at")[:BATCH] if _escalate(request, at)]


def _escalate(request: ApprovalRequest, at: datetime) -> bool:
    times = [request.created_at + after for after in ESCALATE_AFTER]
    count, following = sum(time <= at for time in times), next((time for time in times if time > at), None)
    with transaction.atomic():
        mine = ApprovalRequest.objects.filter(pk=request.pk, status=ApprovalStatus.PENDING, escalate_at=request.escalate_at)
        if mine.update(escalations=count, escalate_at=following) != 1:
            return False
        waited = f"not decided {_minutes(at - request.created_at)} after it was asked"
        payload = {"escalation": count, "approvers": approvers_of(request.domain), "expires_at": request.expires_at.isoformat()}
        record(request, "approval.escalated", actor="scheduler", at=at, reason=waited, payload=payload)
    return True


def _minutes(span: timedelta) -> str:
    return f"{span.total_seconds() / 60:.0f} min"
