"""Prometheus asked at each poll, as the lines of `pull:` in signals.yaml say.

Rules that this module keeps:
1. A line is one query, bounded in time, size and the number of its series. All lines together take no longer than a poll.
2. A series finds its place as an alert does, or by the service that its line names. What finds none is left out.
3. Who does not answer is said once in the log of the worker, until that changes, and no state changes by it: after the window
   what was measured there is unknown.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime

from django.conf import settings
from django.db import transaction

from healing import catalog, prometheus
from healing.models import JobRun
from selfheal.errors import Invalid
from selfheal.signals import Measured, Pull
from selfheal.signals.files import promql_of

from .receiving import take

JOB = "pull"
ACTOR = "prometheus"
MOST_SERIES = 1_000  # of one line
MOST_SECONDS = 5.0  # for all lines: the worker that asks has other short things to do

logger = logging.getLogger(__name__)


def pulled() -> list[str]:
    """The metrics that can be asked for, each once."""
    return list(dict.fromkeys(line.signal for line in _lines()))


def probe(metrics: Collection[str], at: datetime) -> int:
    """Ask the lines of these metrics once more, between two polls; how many samples. What is wrong is for the poll to say."""
    return _take(list(_samples([line for line in _lines() if line.signal in metrics], [], at)), at)


def pull(at: datetime) -> int:
    """Ask every line, and take what is answered; how many samples."""
    if not settings.SELF_HEAL_PROMETHEUS_URL:
        return 0
    faults: list[str] = []
    try:
        samples = list(_samples(catalog.signals().pull, faults, at))
    except Invalid as error:
        samples, faults = [], [f"signals.yaml: {error}"]
    taken = _take(samples, at)
    _note("; ".join(faults)[:2_000], at)
    return taken


def _lines() -> list[Pull]:
    """What can be asked; nothing while signals.yaml is wrong, which the poll says."""
    try:
        return catalog.signals().pull if settings.SELF_HEAL_PROMETHEUS_URL else []
    except Invalid:
        return []


def _take(samples: Sequence[Measured], at: datetime) -> int:
    return take(samples, origin="prometheus", actor=ACTOR, at=at).accepted if samples else 0


def _samples(lines: list[Pull], faults: list[str], at: datetime) -> Iterator[Measured]:
    until = time.monotonic() + min(MOST_SECONDS, settings.SELF_HEAL_POLL_SECONDS)
    for line in lines:
        left = until - time.monotonic()
        if left <= 0:
            faults.append(f"{line.query} was not asked: the lines before it took all the time there is")
            return
        try:
            series = _ask(line, left, faults)
        except prometheus.NoAnswer as error:
            faults.append(str(error))
            return
        for labels, value in series:
            if math.isfinite(value):
                yield Measured(line.labels(labels), line.signal, value, at, mapped=line.service is None)


def _ask(line: Pull, seconds: float, faults: list[str]) -> list[tuple[dict[str, str], float]]:
    """The series of one line; what is wrong with it alone goes into `faults`."""
    try:
        promql = promql_of(line, catalog.queries())
        timeout = min(prometheus.TIMEOUT, seconds)
        series = prometheus.vector(settings.SELF_HEAL_PROMETHEUS_URL, promql, settings.SELF_HEAL_HTTP_ALLOW, timeout)
    except prometheus.NoAnswer:
        raise
    except (Invalid, prometheus.PrometheusError) as error:
        faults.append(f"{line.query}: {error}")
        return []
    if len(series) > MOST_SERIES:
        faults.append(
            f"{line.query} gives {len(series):,} series, the first {MOST_SERIES:,} are taken: aggregate it, or split it"
        )
    return series[:MOST_SERIES]


def _note(fault: str, at: datetime) -> None:
    """Keep what went wrong, and say it when it is new."""
    with transaction.atomic():
        row, _ = JobRun.objects.select_for_update().get_or_create(job=JOB, defaults={"started_at": at})
        before, row.error = row.error, fault
        row.started_at = row.finished_at = at
        row.save()
    if fault and fault != before:
        logger.warning("what is pulled is not whole: %s", fault)
    elif before and not fault:
        logger.info("everything can be pulled again")
