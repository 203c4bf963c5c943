"""The Celery app. A task carries an id and nothing else: the database is the truth, the broker only wakes somebody.

Short tasks go to the queue `control`, runs to `runs`, so that a long run never takes the place of a watchdog.
"""

from __future__ import annotations

from typing import Any

from celery import Celery
from celery.signals import setup_logging, task_postrun, task_prerun, worker_process_init
from django.db import close_old_connections, connections

# Celery's own Django fixup closes the connection around every task and runs the system checks in every worker: half of the
# latency of a hop. Ours below closes what is too old or broken, before and after a task.
app = Celery("selfheal", fixups=[], task_cls="celery.contrib.django.task:DjangoTask")
app.set_default()  # a Celery app is current in its own thread only; the web process sends from threads of a pool
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["healing", "learning", "metafocus"])


@setup_logging.connect
def _leave_logging_alone(**_: Any) -> None:
    """Django's LOGGING is in force; a receiver here keeps Celery from replacing it."""


@worker_process_init.connect
def _forget_inherited_connections(**_: Any) -> None:
    connections.close_all()


@task_prerun.connect
@task_postrun.connect
def _close_old_connections(task: Any, **_: Any) -> None:
    if not task.request.is_eager:
        close_old_connections()
