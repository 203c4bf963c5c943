"""What Celery runs for the meta loop."""

from __future__ import annotations

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from healing.jobs import claim_slot, written_down
from healing.mode import global_mode
from metafocus import loop
from selfheal.states import GlobalMode

JOB = "meta_loop"
PROBE_SECONDS = 10.0


@shared_task
def cycle() -> None:
    """The beat of the meta loop: one cycle a slot, however many beats there are."""
    at = timezone.now()
    if global_mode() is not GlobalMode.OFF and claim_slot(JOB, settings.META_LOOP_CYCLE_SECONDS, at):
        with written_down(JOB, at):
            loop.cycle(at)


@shared_task
def probe() -> None:
    """The beat of the extra probes, which mostly finds that none are asked for."""
    at = timezone.now()
    if global_mode() is not GlobalMode.OFF and loop.probes(at)[1] and claim_slot("probe", PROBE_SECONDS, at):
        loop.probe(at)
