"""Writing notifications: one row for each channel that wants the event."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q
from kombu.exceptions import OperationalError

from healing.mode import global_mode
from healing.models import Channel, Notification, Service
from healing.notifications import secrets
from selfheal import runbooks
from selfheal.errors import LedgerError
from selfheal.messages import EVENTS, ON_REQUEST, Facts, message
from selfheal.states import GlobalMode, Impact, Mode

logger = logging.getLogger(__name__)

FEW = 10  # messages that wait for one channel; what comes further waits for the next full minute and goes with the others
MINUTE = timedelta(minutes=1)


def paged(service: Service | None = None) -> bool:
    """Whether anybody is told anything (about this service)."""
    return global_mode() is GlobalMode.EXECUTE and (service is None or service.mode != Mode.OBSERVE)


def listening() -> bool:
    """Whether there is anybody to tell: worth one look before the facts of a message are gathered."""
    return paged() and (bool(settings.SELF_HEAL_NOTIFY_URLS) or Channel.objects.filter(active=True).exists())


def tell(event: str, facts: Facts, *, subject: str, at: datetime, service: Service | None = None) -> int:
    """Write what is to be told, in the transaction of what it tells of; returns how many rows. `subject` is kind:id.

    Raises LedgerError outside a transaction.
    """
    if not connection.in_atomic_block:
        raise LedgerError(f"{event}: a notification is written in the transaction of what it tells of, and there is none")
    if not paged(service):
        return 0
    channels = wanted_by(event, facts.impact, service)
    if not channels:
        return 0
    page = runbooks.address(event, settings.SELF_HEAL_DOCS_URL)
    said = message(event, replace(facts, page=page), secrets.known())
    rows = [
        Notification(
            channel=channel,
            event=event,
            subject=subject[:100],
            title=said.title,
            body=said.body,
            payload={"type": event, "timestamp": at.isoformat(), "data": {**said.data, "subject": subject[:100]}},
            created_at=at,
            due_at=_due(channel, at),
        )
        for channel in channels
    ]
    Notification.objects.bulk_create(rows)
    if any(row.due_at == at for row in rows):  # what waits for the next minute is the tick's
        transaction.on_commit(hint, robust=True)
    return len(rows)


def addresses(service: str) -> tuple[str, ...]:
    """Whom the step `notify` tells: the people of the channels that want it; SELF_HEAL_NOTIFY_URLS where there is no channel."""
    rows = Channel.objects.filter(Q(services__isnull=True) | Q(services__name=service), active=True, kind="apprise").distinct()
    found = tuple(row.url for row in rows if _fits(row, "playbook.message", ""))
    return found if found or Channel.objects.exists() else tuple(settings.SELF_HEAL_NOTIFY_URLS)


def wanted_by(event: str, impact: str, service: Service | None) -> list[Channel | None]:
    """The channels that want it; None stands for SELF_HEAL_NOTIFY_URLS, where no channel was ever declared.

    A filter holds for what it can judge: what is about no service reaches channels of any, and so for the impact.
    """
    if event == ON_REQUEST:
        return []
    rows = Channel.objects.filter(active=True)
    if service is not None:
        rows = rows.filter(Q(services__isnull=True) | Q(services=service)).distinct()
    found: list[Channel | None] = [row for row in rows if _fits(row, event, impact)]
    if found or EVENTS[event].good or not settings.SELF_HEAL_NOTIFY_URLS or Channel.objects.exists():
        return found
    return [None]


def _fits(channel: Channel, event: str, impact: str) -> bool:
    enough = not impact or Impact(impact).rank >= Impact(channel.least_impact).rank
    return enough and (not channel.events or event in channel.events)


def _due(channel: Channel | None, at: datetime) -> datetime:
    """Now; for people whom many messages wait for, at the next full minute, so that a storm is a few messages."""
    if channel is not None and channel.kind == "webhook":
        return at
    waiting = Notification.objects.filter(channel=channel, due_at__isnull=False)
    if len(waiting.values_list("pk")[:FEW]) < FEW:
        return at
    return at.replace(second=0, microsecond=0) + MINUTE


def hint() -> None:
    """Wake a worker. Without a broker the next tick finds the rows: the database says what is due."""
    from healing import tasks

    try:
        tasks.notify.apply_async(retry=False)
    except (OperationalError, OSError) as error:
        logger.warning("notifications wait for the next tick, the broker cannot be reached: %r", error)
