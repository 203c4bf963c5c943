"""What Celery runs. A task fetches, calls one service, returns; a stale delivery is ignored, not failed."""

from __future__ import annotations

import logging
import os
import socket
import uuid

import requests
from celery import shared_task
from django.conf import settings
from django.utils import timezone

from healing import asking, clock, escalation, governance, idempotency, notifications, retention, scheduler
from healing.jobs import claim_slot, last_run, written_down
from healing.ledger import patrol, pushing
from healing.log_context import about
from healing.mode import global_mode
from healing.notifications import deadman, tokens
from healing.runs import runner, starting
from healing.runs.put_back import look as put_back_due
from healing.runs.put_back import perform as perform_put_back
from healing.runs.watchdog import clear_waiting, look_after, take_care
from healing.signals import keeping, pulling, sensing
from selfheal.states import GlobalMode

logger = logging.getLogger(__name__)


@shared_task
def look() -> None:
    """An alert has come in: look at what is due; what is left over is looked at by the next message."""
    if not clock.is_wrong() and scheduler.look(timezone.now()) >= scheduler.BATCH:
        look.delay()


@shared_task
def tick() -> None:
    """The scheduler's beat: whatever is due, whoever forgot it."""
    at = timezone.now()
    if not claim_slot("tick", settings.SELF_HEAL_POLL_SECONDS, at):
        return
    last = last_run("tick")
    if last and last.started_at > at:
        scheduler.clock_went_back(at)
    with written_down("tick", at):
        take_care(at)
        governance.note_storm(at)
        look()
        escalation.escalate(at)
        asking.expire(at)
        deadman.look(at)
        tokens.look(at)
        notifications.send_again(at)
        idempotency.prune(at)
        notifications.prune(at)
        retention.prune(at)
        _tell_outside()


@shared_task
def measure() -> None:
    """The beat of the signals: what Prometheus says, what went quiet, what is too old."""
    at = timezone.now()
    if global_mode() is GlobalMode.OFF or not claim_slot("measure", settings.SELF_HEAL_POLL_SECONDS, at):
        return
    pulling.pull(at)
    keeping.expire(at)
    keeping.prune(at)


@shared_task
def sense() -> None:
    """The beat of the adapters: how the services of the domains are that are looked at from here."""
    at = timezone.now()
    if not settings.SELF_HEAL_SENSE or global_mode() is GlobalMode.OFF:
        return
    if claim_slot("sense", settings.SELF_HEAL_POLL_SECONDS, at):
        with written_down("sense", at):
            sensing.sense(at)


@shared_task
def watchdog() -> None:
    """The watchdog's beat."""
    at = timezone.now()
    if claim_slot("watchdog", 5, at):
        clear_waiting(at)
        look_after(at)
        put_back_due(at)


@shared_task
def execute_run(run_id: str) -> None:
    """Work on one run, if it is to be had."""
    with about(run=run_id):
        lease = None if clock.is_wrong() else starting.claim(uuid.UUID(run_id), holder())
        if lease is not None:
            runner.execute(lease)


@shared_task
def notify() -> None:
    """Something is to be told; what is left over is sent by the next message."""
    if notifications.deliver(timezone.now()):
        notifications.hint()


@shared_task
def push_heads() -> None:
    """The beat of witnesses and outside places: a message for each that is due, so that none waits for another."""
    at = timezone.now()
    if pushing.configured() and claim_slot("push_heads", pushing.EVERY, at):
        for name in pushing.due(at):
            push_head.delay(name)


@shared_task
def push_head(name: str) -> None:
    """One head to one witness or place."""
    pushing.push(name, timezone.now())


@shared_task
def patrol_log() -> None:
    """The beat of the patrol: the next stretch of the log; on to the next at once while somebody waits for the pass."""
    at = timezone.now()
    if (patrol.is_asked() or claim_slot("patrol_log", patrol.EVERY, at)) and patrol.look(at):
        patrol_log.delay()


@shared_task
def put_back(pk: str) -> None:
    """Put back what was changed for a while, if it is due and nobody else does it."""
    perform_put_back(uuid.UUID(pk), timezone.now())


def _tell_outside() -> None:
    """A good tick: a dead man's switch outside hears of it."""
    if settings.SELF_HEAL_HEARTBEAT_URL:
        try:
            with requests.get(settings.SELF_HEAL_HEARTBEAT_URL, timeout=5, allow_redirects=False, stream=True) as answer:
                if not 200 <= answer.status_code < 300:
                    logger.warning("SELF_HEAL_HEARTBEAT_URL answered %d, so nobody outside knows", answer.status_code)
        except requests.RequestException as error:
            logger.warning("SELF_HEAL_HEARTBEAT_URL could not be fetched: %s", type(error).__name__)


def holder() -> str:
    """Who this worker is, in leases and in the log."""
    return f"worker {socket.gethostname()}:{os.getpid()}"
