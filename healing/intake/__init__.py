"""Alerts in: read, find their place, store what is new, all of a body or nothing.

Rules that this package keeps:
1. A body that was answered is stored: every good alert of it in one transaction, with one log entry (more only when a leaf
   is too small for it).
2. What is known is not written again. An unchanged group costs two indexed queries a batch of 500, and changes no row.
3. Resolved is final for an episode, (fingerprint, starts_at); what fires later is another one.
4. The last firing episode that ends resolves its incident, and takes back what was asked about it.
5. The alert Watchdog is a sign of life, not a trouble: see `healing.notifications.deadman`.
6. Two bodies at the same moment are settled by the constraints of the database: who comes second reads again.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import IntegrityError, OperationalError

from healing.intake.plan import Plan, plan_for
from healing.intake.store import Raced, store
from healing.notifications import deadman
from selfheal.alerts import Received, read_grafana, read_plain, read_webhook
from selfheal.cloudevents import read_events

__all__ = ["is_race", "look", "receive", "receive_events", "receive_grafana", "receive_plain"]

ATTEMPTS = 10
DEADLOCK = "40P01"

logger = logging.getLogger(__name__)


def receive(body: bytes, *, actor: str, at: datetime, token: str = "") -> dict[str, Any]:
    """Take a webhook body of Alertmanager, version 4.

    Returns {accepted, deduplicated, unmatched, rejected: [{index, field, reason}], incidents: [id]}; every alert is counted
    once. `token` is the public id of the token it came with. Raises Invalid for a body that is none, TooLarge.
    """
    return _take(read_webhook(body, at), actor, token, at)


def receive_plain(body: bytes, *, actor: str, at: datetime, token: str = "") -> dict[str, Any]:
    """Take one plain alert or an array of them; as `receive` else."""
    return _take(read_plain(body, at), actor, token, at)


def receive_grafana(body: bytes, *, actor: str, at: datetime, token: str = "") -> dict[str, Any]:
    """Take a body of the webhook contact point of Grafana's unified alerting; as `receive` else."""
    return _take(read_grafana(body, at), actor, token, at)


def receive_events(
    body: bytes, *, content_type: str, headers: Mapping[str, str], actor: str, at: datetime, token: str = ""
) -> dict[str, Any]:
    """Take CloudEvents: one, structured or binary, or a batch; as `receive` else."""
    return _take(read_events(body, content_type, headers, at), actor, token, at)


def _take(received: Received, actor: str, token: str, at: datetime) -> dict[str, Any]:
    watchdogs = deadman.take(received, at)
    for attempt in range(1, ATTEMPTS + 1):
        plan = plan_for(received.alerts, at)
        if not plan.changes:
            break
        try:
            store(plan, head=_head(received, plan, token), actor=actor, at=at, look=look)
            break
        except (IntegrityError, OperationalError, Raced) as error:
            if attempt == ATTEMPTS or not is_race(error):
                raise
    if received.rejected:
        first = received.rejected[0]
        logger.warning(
            "%d alerts of %r refused, the first: alert %d, %r: %r",
            len(received.rejected), actor, first.index, first.field, first.reason,
        )  # fmt: skip
    return _answer(received, plan, watchdogs)


def is_race(error: Exception) -> bool:
    """Whether a second try, which reads what somebody else wrote meanwhile, may succeed."""
    deadlock = getattr(error.__cause__, "sqlstate", "") == DEADLOCK
    return deadlock or isinstance(error, IntegrityError | Raced)


def _head(received: Received, plan: Plan, token: str) -> dict[str, Any]:
    counts = {
        "accepted": plan.accepted,
        "deduplicated": plan.deduplicated,
        "unmatched": plan.unmatched,
        "rejected": len(received.rejected),
        "truncated": received.truncated,
    }
    return {"source": received.source, "token": token, "counts": counts}


def _answer(received: Received, plan: Plan, watchdogs: int) -> dict[str, Any]:
    return {
        "accepted": plan.accepted + watchdogs,
        "deduplicated": plan.deduplicated,
        "unmatched": plan.unmatched,
        "rejected": [{"index": r.index, "field": r.field, "reason": r.reason} for r in received.rejected],
        "incidents": [str(incident) for incident in plan.incidents],
    }


def look() -> None:
    """Ask for triage now. Without a broker the next tick finds the incidents: the database says what is due."""
    from kombu.exceptions import OperationalError as NoBroker

    from healing import tasks

    try:
        tasks.look.apply_async(retry=False)
    except (NoBroker, OSError) as error:
        logger.warning("triage waits for the next tick, the broker cannot be reached: %r", error)
