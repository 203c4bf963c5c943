"""A Celery worker as we run it: quiet, prefork, its children never outlive it, and its heart beats in the database.

The heart is a thread beside the event loop, so a database that hangs cannot stop the loop; and it beats only while the loop
turns and the broker is there, so a heartbeat means that tasks are being taken.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
import warnings
from typing import Any

from celery import bootsteps
from celery.apps.worker import Worker as CeleryWorker
from celery.signals import worker_process_init
from celery.worker import state
from django.conf import settings
from django.db import DatabaseError, close_old_connections, connection
from django.utils import timezone

from config.celery import app
from config.process import die_with_parent, take_name
from healing import heartbeats

log = logging.getLogger(__name__)
QUEUES = ("control", "runs", "advice")
# What each takes from the broker, in this order: an alert storm fills `control`, and the watchdog must not wait behind it.
ADVICE = "advice"
TAKES = {"control": ["clock", "control"], "runs": ["runs"]}
NICE = 10  # advice gives way to whatever heals
_SILENCE = 10.0  # seconds without a turn of the loop after which the heart stops


class Worker(CeleryWorker):
    """TERM and INT: take no more, finish what runs, end. QUIT: end at once."""

    hostname: str

    def install_platform_tweaks(self, worker: Any) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: setattr(state, "should_stop", 0))
        signal.signal(signal.SIGQUIT, lambda *_: setattr(state, "should_terminate", 1))

    def set_process_status(self, info: str) -> None:
        take_name(f"worker {self.hostname.partition('-')[0]}")


class Heart(threading.Thread):
    """Beats each `heartbeats.EVERY` seconds while `turn` is called."""

    def __init__(self, role: str) -> None:
        super().__init__(name="heart", daemon=True)
        self.role, self.beat_name = role, heartbeats.name_of(role)
        self.turned, self.wake, self.over = 0.0, threading.Event(), False
        self.lock = threading.Lock()
        os.register_at_fork(before=self._before_fork, after_in_parent=self._after_fork, after_in_child=self._in_child)

    def turn(self) -> None:
        """The loop turned. The first turn after a silence beats at once."""
        silent, self.turned = time.monotonic() - self.turned > _SILENCE, time.monotonic()
        if silent:
            self.wake.set()

    def run(self) -> None:
        while not self.over:
            self.wake.wait(heartbeats.EVERY)
            self.wake.clear()
            if time.monotonic() - self.turned < _SILENCE:
                self._say()

    def finish(self) -> None:
        self.over = True
        self.wake.set()
        self.join(timeout=1)
        try:
            heartbeats.forget(self.beat_name)
        except DatabaseError as error:
            log.warning("the last heartbeat stays, the database does not answer: %s", error)

    def _say(self) -> None:
        with self.lock:
            try:
                close_old_connections()
                heartbeats.beat(self.beat_name, self.role, timezone.now())
            except DatabaseError as error:
                log.warning("no heartbeat, the database does not answer: %s", error)
                connection.close()

    # A fork copies only the thread that forks. Were the heart inside the database library then, the child would inherit locks
    # that nobody opens: so a fork waits for the beat (milliseconds), and not longer than a second where the database hangs.
    def _before_fork(self) -> None:
        self.held = self.lock.acquire(timeout=1)

    def _after_fork(self) -> None:
        if self.held:
            self.lock.release()

    def _in_child(self) -> None:
        self.lock = threading.Lock()


class Pulse(bootsteps.StartStopStep):
    """Turns the heart each second from the consumer's loop; started anew with each connection to the broker."""

    requires = ("celery.worker.consumer.tasks:Tasks",)
    heart: Heart | None = None

    def start(self, consumer: Any) -> None:
        if self.heart:
            self.heart.turn()
            consumer.timer.call_repeatedly(1.0, self.heart.turn)

    def stop(self, consumer: Any) -> None:
        """The consumer clears its timer itself."""


def takes(queue: str) -> list[str]:
    """The broker's queues that a worker of `queue` takes from, in this order."""
    return TAKES.get(queue, [queue])


def default_concurrency(queue: str) -> int:
    if queue == ADVICE:
        return 1
    return 2 if queue == "control" else min(int(settings.SELF_HEAL_MAX_CONCURRENT_RUNS), 10)


def run(queue: str, concurrency: int | None = None) -> int:
    """Work on `queue` (control, runs, advice, or that of a pool) until TERM; the exit status."""
    parent = os.getpid()
    if queue == ADVICE:
        os.nice(NICE)

    @worker_process_init.connect(weak=False)
    def _begin(**_: Any) -> None:
        die_with_parent(parent)
        take_name(f"worker {queue} child")

    # Celery's word about running as root is about pickled messages; ours are JSON. `selfheal doctor` says what root means here.
    warnings.filterwarnings("ignore", message="You're running the worker with superuser privileges")
    Pulse.heart = Heart(f"worker:{queue}")
    Pulse.heart.start()
    app.steps["consumer"].add(Pulse)
    worker = Worker(
        app=app,
        hostname=Pulse.heart.beat_name,
        queues=takes(queue),
        concurrency=concurrency or default_concurrency(queue),
        pool="prefork",
        quiet=True,
        without_gossip=True,  # remote control stays on: without both, a worker is deaf after one restart of the broker
        without_mingle=True,  # would wait a second for its neighbours
        without_heartbeat=True,
    )
    worker.start()
    Pulse.heart.finish()
    return int(worker.exitcode or 0)
