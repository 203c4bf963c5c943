"""What Celery runs for the meta loop."""

from __future__ import annotations

from datetime import datetime

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from healing.jobs import claim_slot, written_down
from healing.mode import global_mode
from metafocus import loop
from metafocus.sources import judging, running
from selfheal.states import GlobalMode

JOB = "meta_loop"
PROBE_SECONDS = 10.0


@shared_task
def cycle() -> None:
    """The beat of the meta loop: one cycle a slot, however many beats there are."""
    at = timezone.now()
    if global_mode() is not GlobalMode.OFF and claim_slot(JOB, settings.META_LOOP_CYCLE_SECONDS, at):
        with written_down(JOB, at):
            turn(at)


def turn(at: datetime) -> None:
    """One cycle, and what the sources find with what it saw."""
    before = loop.last()
    done = loop.cycle(at)
    if done:
        running.look(done, at)
        judging.judge(before.created_at if before else None, at)


@shared_task
def probe() -> None:
    """The beat of the extra probes, which mostly finds that none are asked for."""
    at = timezone.now()
    if global_mode() is not GlobalMode.OFF and loop.probes(at)[1] and claim_slot("probe", PROBE_SECONDS, at):
        loop.probe(at)
