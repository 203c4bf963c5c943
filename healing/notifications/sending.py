"""Sending what was written.

Rules that this module keeps:
1. What is due is found by an indexed query and claimed by a conditional UPDATE that moves `due_at` behind a lease: two workers
   never send the same row, and a worker that died leaves it to be sent again. What was sent is never sent again.
2. To people the rows that are due for one channel go as one message; to programs each row goes alone, under its own id.
3. A failure is tried again, later each time, and given up after MAX_ATTEMPTS or when it is too old, with its error kept and an
   entry in the log. What else is due for that channel waits as well: a receiver that hangs must not hold up the others.
4. What has become pointless is not sent: to people a request that was answered, to anybody what the mode forbids by now.
5. A receiver that answers 410 is taken at its word: its channel is switched off, with an entry.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, QuerySet

from healing import ledger
from healing.models import ApprovalRequest, Channel, Notification, Service
from healing.notifications.roads import Outcome, send
from healing.notifications.writing import hint, paged
from selfheal.messages import ON_REQUEST
from selfheal.states import ApprovalStatus, Mode

logger = logging.getLogger(__name__)

SECONDS = 25.0  # for one call of `deliver`
LEASE = timedelta(minutes=2)
TOGETHER = 200  # rows that go to people in one message
AGAIN = timedelta(seconds=30)  # doubled with each attempt
LONGEST = timedelta(hours=4)
TOO_OLD = "given up: too old when its turn came"
MAX_ATTEMPTS = {"apprise": 8, "webhook": 12}  # an hour; half a day
STALE = {"apprise": timedelta(hours=6), "webhook": timedelta(days=1)}  # nobody is woken for what was true so long ago
KEPT = timedelta(days=90)
PRUNED_AT_ONCE = 500


def deliver(at: datetime) -> bool:
    """Send what is due, for `SECONDS` at most; whether something may be left. Safe to run any number of times at once."""
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        first = Notification.objects.filter(due_at__lte=at).select_related("channel").order_by("due_at").first()
        if first is None:
            return False
        rows = _claim(first, at)
        wanted = _still_wanted(rows, at)
        if wanted:
            finish(wanted, send(first.channel, wanted, at), at)
    return True


def send_again(at: datetime) -> None:
    """The tick's part: wake a worker for what a lost hint forgot, and for what waited for the next minute."""
    if Notification.objects.filter(due_at__lte=at).exists():
        hint()


def prune(at: datetime) -> int:
    """Delete some of the rows that are older than `KEPT`, the oldest first; returns how many."""
    old = Notification.objects.filter(created_at__lt=at - KEPT, due_at__isnull=True)
    some = list(old.order_by("created_at").values_list("pk", flat=True)[:PRUNED_AT_ONCE])
    return old.filter(pk__in=some).delete()[0]


def _claim(first: Notification, at: datetime) -> list[Notification]:
    """The rows that this caller sends now: `first`, and to people what else is due for its channel."""
    due = Notification.objects.filter(due_at__lte=at, channel=first.channel_id)
    alone = first.channel is not None and first.channel.kind == "webhook"
    keys = [first.pk] if alone else list(due.order_by("due_at").values_list("pk", flat=True)[:TOGETHER])
    lease = at + LEASE + timedelta(microseconds=random.randrange(1_000_000))  # noqa: S311 — tells two claims apart, keeps no secret
    mine = Notification.objects.filter(pk__in=keys, due_at__lte=at)
    if not mine.update(due_at=lease, attempts=F("attempts") + 1):
        return []
    return list(Notification.objects.filter(pk__in=keys, due_at=lease).select_related("channel").order_by("created_at", "pk"))


def finish(rows: Sequence[Notification], outcome: Outcome, at: datetime) -> None:
    """Write down how it went. A row whose lease ran out meanwhile is left to whoever has it now."""
    with transaction.atomic():
        if outcome.ok:
            for row in rows:
                _mine(row).update(sent_at=at, due_at=None, error="")
            return
        if outcome.gone and rows[0].channel is not None:
            switch_off(rows[0].channel, outcome.error, at)
        over = [row for row in rows if outcome.gone or row.attempts >= MAX_ATTEMPTS[_kind(row)]]
        for row in rows:
            again = None if row in over else at + min(AGAIN * 2 ** (row.attempts - 1), LONGEST)
            _mine(row).update(due_at=again, error=outcome.error)
        Notification.objects.filter(channel=rows[0].channel, due_at__lte=at).update(due_at=at + AGAIN)
        if over:
            _say_given_up(over, outcome.error, at)
    logger.warning("%d notifications to %s: %s", len(rows), rows[0].channel or "SELF_HEAL_NOTIFY_URLS", outcome.error)


def _still_wanted(rows: Sequence[Notification], at: datetime) -> list[Notification]:
    """The rows that are sent; the others are closed, with the reason."""
    reasons = [(row, _pointless(row, at)) for row in rows]
    fresh = [row for row, why in reasons if not why and at - row.created_at <= STALE[_kind(row)]]
    stale = [row for row, why in reasons if not why and row not in fresh]
    with transaction.atomic():
        for row, why in reasons:
            if why:
                _mine(row).update(due_at=None, error=f"not sent: {why}")
        for row in stale:
            _mine(row).update(due_at=None, error=TOO_OLD)
        if stale:
            _say_given_up(stale, TOO_OLD, at)
    return fresh


def _pointless(row: Notification, at: datetime) -> str:
    """Why nobody needs it any more; empty: it is sent."""
    if row.event == ON_REQUEST:
        return ""
    if not paged():
        return "the installation does not execute, so nobody is told"
    if row.channel is not None and not row.channel.active:
        return "the channel is switched off"
    name = row.payload.get("data", {}).get("service", "")
    if name and Service.objects.filter(name=name, mode=Mode.OBSERVE).exists():
        return f"{name} is on observe by now"
    return _answered(row, at) if _kind(row) == "apprise" else ""


def _answered(row: Notification, at: datetime) -> str:
    kind, _, found = row.subject.partition(":")
    if kind != "approval" or row.event == "approval.expired":
        return ""
    status, expires = ApprovalRequest.objects.filter(pk=found).values_list("status", "expires_at").first() or ("gone", at)
    if status != ApprovalStatus.PENDING:
        return "the request is answered"
    return "" if expires > at else "the request has expired"


def switch_off(channel: Channel, why: str, at: datetime) -> None:
    if Channel.objects.filter(pk=channel.pk, active=True).update(active=False):
        payload = {"name": channel.name, "reason": why, "before": {"active": True}, "after": {"active": False}}
        ledger.append(actor="notifications", action="channel.off", resource=f"channel:{channel.pk}", payload=payload, at=at)


def _say_given_up(rows: Sequence[Notification], why: str, at: datetime) -> None:
    channel = rows[0].channel
    payload = {
        "channel": channel.name if channel else "SELF_HEAL_NOTIFY_URLS",
        "error": why,
        "count": len(rows),
        "first": [{"event": row.event, "subject": row.subject} for row in rows[:20]],
    }
    resource = f"channel:{channel.pk}" if channel else "channel:SELF_HEAL_NOTIFY_URLS"
    ledger.append(
        actor="notifications", action="notification.given_up", resource=resource, payload=payload, at=at, result="failed"
    )


def _mine(row: Notification) -> QuerySet[Notification]:
    return Notification.objects.filter(pk=row.pk, due_at=row.due_at)


def _kind(row: Notification) -> str:
    return row.channel.kind if row.channel else "apprise"
