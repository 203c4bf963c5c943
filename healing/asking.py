"""Asking people about something that is no run: whoever asks says what, and looks at the answer when it needs it.

Rules that this module keeps:
1. What is asked for stands in the request as a whole (`content`), and the digest is of that: an answer is for nothing else.
2. The queue, the roles, four eyes, escalation and expiry are those of every request (`healing.approvals`).
3. An answer moves nothing here: nobody below knows what it is for.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction

from healing.approvals import ABOUT_RUNS, ESCALATE_AFTER, approvers_of
from healing.models import ApprovalRequest, User
from healing.transitions import move, record
from selfheal.canonical import digest
from selfheal.errors import Conflict
from selfheal.states import ApprovalStatus, Impact

BATCH = 50


def ask(
    kind: str, subject: uuid.UUID, content: Mapping[str, Any], *, title: str, why: str, impact: Impact, domain: str, user: User,
    at: datetime,
) -> ApprovalRequest:  # fmt: skip
    """A request about the thing `kind`:`subject`, asked by `user`. `content` takes what a ledger payload takes.

    Raises Conflict while one about the same thing is pending.
    """
    try:
        with transaction.atomic():
            request = ApprovalRequest.objects.create(
                subject_type=kind,
                subject_id=subject,
                content=dict(content),
                digest=digest(dict(content)),
                title=title[:300],
                impact=impact,
                domain=domain,
                needed=2 if impact is Impact.CRITICAL else 1,
                why=why[:500],
                requested_by=user.username,
                requester=user,
                created_at=at,
                expires_at=at + timedelta(minutes=settings.SELF_HEAL_APPROVAL_TTL_MIN),
                escalate_at=at + ESCALATE_AFTER[0],
            )
            payload = {
                "content": request.content,
                "digest": request.digest,
                "impact": request.impact,
                "needed": request.needed,
                "approvers": approvers_of(domain),
                "requested_by": user.username,
                "expires_at": request.expires_at.isoformat(),
            }
            record(request, "approval.requested", actor=user.username, at=at, reason=request.why, payload=payload)
    except IntegrityError as error:
        raise Conflict(f"{title} is asked already, and waits for its answer") from error
    return request


def expire(at: datetime) -> int:
    """End what nobody answered in time, at most `BATCH`; how many. Requests about runs end with their runs."""
    late = ApprovalRequest.objects.filter(status=ApprovalStatus.PENDING, expires_at__lte=at).exclude(subject_type__in=ABOUT_RUNS)
    changes = {"decided_at": at, "escalate_at": None}
    return sum(
        move(request, ApprovalStatus.EXPIRED, actor="scheduler", reason="nobody answered in time", at=at, changes=changes)
        for request in late.order_by("expires_at")[:BATCH]
    )
