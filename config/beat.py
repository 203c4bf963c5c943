"""Beat: sends what is due by the clock. Any number of beats may run; whoever claims the slot of a job does it.

Not Celery's own beat: that one keeps a shelf on disk that can break, or a mailbox thread, and waits in silence for a broker.
A message that nobody took until the next is due is void (`expires`), so a pause leaves no heap of them.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from threading import Event

from django.conf import settings
from django.db import DatabaseError, close_old_connections, connection
from django.utils import timezone
from kombu.exceptions import OperationalError

from config.celery import app
from healing import heartbeats
from healing.ledger.patrol import EVERY as PATROL_SECONDS
from healing.ledger.pushing import EVERY as PUSH_SECONDS
from learning.tasks import EVERY as LEARNING_SECONDS
from metafocus.tasks import PROBE_SECONDS

log = logging.getLogger(__name__)


@dataclass
class Job:
    task: str
    every: float  # seconds
    due: float = 0.0  # on the monotonic clock


def schedule() -> list[Job]:
    return [
        Job("healing.tasks.tick", float(settings.SELF_HEAL_POLL_SECONDS)),
        Job("healing.tasks.measure", float(settings.SELF_HEAL_POLL_SECONDS)),
        Job("healing.tasks.sense", float(settings.SELF_HEAL_POLL_SECONDS)),
        Job("healing.tasks.watchdog", 5.0),
        Job("healing.tasks.push_heads", PUSH_SECONDS),
        Job("healing.tasks.patrol_log", PATROL_SECONDS),
        Job("learning.tasks.follow", LEARNING_SECONDS),
        Job("metafocus.tasks.cycle", float(settings.META_LOOP_CYCLE_SECONDS)),
        Job("metafocus.tasks.probe", PROBE_SECONDS),
    ]


def run(stop: Event) -> None:
    """Send each job when it is due until `stop` is set; a broker or a database that is away is said once and waited for."""
    jobs, heart, name = schedule(), Job("", heartbeats.EVERY), heartbeats.name_of("beat")
    while not stop.is_set():
        now = time.monotonic()
        for job in jobs:
            if job.due <= now:
                job.due = now + job.every
                send(job)
        if heart.due <= now:
            heart.due = now + heart.every
            say(name)
        stop.wait(max(0.0, min(job.due for job in (*jobs, heart)) - time.monotonic()))
    say(name, last=True)


def send(job: Job) -> bool:
    try:
        app.send_task(job.task, expires=job.every, retry=False)
    except OperationalError as error:
        log.warning("%s could not be sent, the broker does not answer: %s", job.task, error)
        return False
    return True


def say(name: str, last: bool = False) -> None:
    try:
        close_old_connections()
        heartbeats.forget(name) if last else heartbeats.beat(name, "beat", timezone.now())
    except DatabaseError as error:
        log.warning("no heartbeat, the database does not answer: %s", error)
        connection.close()
