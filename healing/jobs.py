"""Who does a periodic job: the one that inserts its slot. Any number of beats and schedulers is safe.

A slot is `at` divided by the period; its row is unique, so the database refuses the second. Nothing compares slots: a clock that
was set back costs the slots that were already done, not the job. What a job did last stands in its row (`written_down`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from django.db import DatabaseError, IntegrityError, transaction

from healing import clock
from healing.models import JobRun, JobSlot

logger = logging.getLogger(__name__)

KEPT = 50  # slots of a job that stay
MOST_ERROR = 1_000  # characters


def claim_slot(job: str, every_seconds: float, at: datetime) -> bool:
    """True for exactly one caller per `job` and slot of `every_seconds`; the losers have nothing to do, nor has a host whose
    clock is wrong."""
    if clock.is_wrong():
        return False
    slot = int(at.timestamp() // every_seconds)
    try:
        with transaction.atomic():
            mine = JobSlot.objects.create(job=job, slot=slot)
    except IntegrityError:
        return False
    if slot % KEPT == 0:
        _prune(job, mine)
    return True


@contextmanager
def written_down(job: str, at: datetime) -> Iterator[None]:
    """Write down when the job was done, how long it took and, if it failed, why. What it raised goes on."""
    began, error = time.monotonic(), ""
    try:
        yield
    except Exception as failed:
        error = f"{type(failed).__name__}: {failed}"[:MOST_ERROR]
        raise
    finally:
        _write(job, at, time.monotonic() - began, error)


def last_run(job: str) -> JobRun | None:
    return JobRun.objects.filter(pk=job).first()


def tried(job: str, at: datetime, error: str) -> None:
    """Write down that it was tried, and why it failed, if it did. `finished_at` says when it went well the last time."""
    row = JobRun(job=job, started_at=at, finished_at=None if error else at, error=error[:MOST_ERROR])
    _upsert(row, ["started_at", "error"] if error else ["started_at", "finished_at", "error"])


def _write(job: str, at: datetime, seconds: float, error: str) -> None:
    row = JobRun(job=job, started_at=at, finished_at=at + timedelta(seconds=seconds), seconds=seconds, error=error)
    _upsert(row, ["started_at", "finished_at", "seconds", "error"])


def _upsert(row: JobRun, fields: list[str]) -> None:
    try:
        JobRun.objects.bulk_create([row], update_conflicts=True, unique_fields=["job"], update_fields=fields)
    except DatabaseError as failed:  # the job's own error is the one to be told
        logger.warning("what %s did could not be written down: %s", row.job, failed)


def _prune(job: str, newest: JobSlot) -> None:
    """Delete all slots of the job but the last `KEPT` that were taken."""
    last = JobSlot.objects.filter(job=job, pk__lte=newest.pk).order_by("-pk").values_list("pk", flat=True)[:KEPT]
    JobSlot.objects.filter(job=job, pk__lt=min(last)).delete()
