"""What Celery runs for learning."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from healing.jobs import claim_slot, written_down
from learning import consulting
from learning.broker.storing import prune
from learning.follow import BATCH
from learning.follow import follow as read_on

EVERY = 10  # seconds


@shared_task
def follow() -> None:
    """Read on in the log; what is left over is read by the next message."""
    at = timezone.now()
    if claim_slot("learning", EVERY, at):
        with written_down("learning", at):
            prune(at)
            if read_on(at) == BATCH:
                rest.delay()


@shared_task
def rest() -> None:
    if read_on() == BATCH:
        rest.delay()


@shared_task
def advise() -> None:
    """Answer one question to an adviser. The next is sent for before: whoever ends this process does not keep it waiting."""
    row, more = consulting.take(timezone.now())
    if more:
        consulting.hint()
    if row:
        consulting.answer(row)
