"""The alert that always fires, `Watchdog`: as long as it comes, alerts arrive; when it stops, they may not.

Rules that this module keeps:
1. It opens no incident and is never unmatched. It is remembered when each was seen last and how far apart they come.
2. Seen once, it has 10 minutes; later twice its usual interval, a minute at least. Then it is silent: once `watchdog.silent` in
   the log, on the first page and told to people; once `watchdog.back` when it comes again.
3. A usual interval follows what is seen, slowly: one long silence does not make the next one normal.

A row of `JobRun` holds each: `started_at` when it was seen last, `seconds` the usual interval, `error` why it counts as silent.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q, QuerySet

from healing import ledger
from healing.models import JobRun
from healing.notifications import links
from healing.notifications.writing import listening, tell
from selfheal.alerts import Alert, Received
from selfheal.messages import Facts, harmless
from selfheal.states import EpisodeStatus

ALERTNAME = "Watchdog"
FROM = ("cluster", "prometheus")  # labels that tell one Prometheus from another
MOST = 50  # that are remembered; a sender that invents more is not followed
FIRST = timedelta(minutes=10)
LEAST = timedelta(minutes=1)
SLOWLY = 4.0  # times the usual interval: more than that is not learned from one gap


def take(received: Received, at: datetime) -> int:
    """Take the Watchdogs out of a body and remember those that fire; how many there were."""
    found = [alert for alert in received.alerts if alert.labels.get("alertname") == ALERTNAME]
    if found:
        received.alerts = [alert for alert in received.alerts if alert.labels.get("alertname") != ALERTNAME]
        for name in sorted({name_of(alert) for alert in found if alert.status == EpisodeStatus.FIRING}):
            _seen(name, at)
    return len(found)


def name_of(alert: Alert) -> str:
    """`Watchdog of eu-1 monitoring/k8s`: one Prometheus, whichever of its replicas sends."""
    which = " ".join(harmless(alert.labels[label], limit=40) for label in FROM if alert.labels.get(label))
    return f"{ALERTNAME} of {which}"[:50] if which else ALERTNAME


def look(at: datetime) -> int:
    """The tick's part: say once of each that has stopped coming. Returns how many."""
    return sum(_look_at(row, at) for row in watched().filter(error=""))


def silent() -> list[JobRun]:
    """Those that have stopped coming, for pages."""
    return list(watched().exclude(error=""))


def watched() -> QuerySet[JobRun]:
    return JobRun.objects.filter(Q(job=ALERTNAME) | Q(job__startswith=f"{ALERTNAME} of ")).order_by("job")


def patience(seconds: float | None) -> timedelta:
    """How long it may stay away."""
    return FIRST if seconds is None else max(timedelta(seconds=2 * seconds), LEAST)


def usual(before: float | None, gap: float) -> float:
    """The usual interval after a gap of so many seconds."""
    return gap if before is None else (before + min(gap, SLOWLY * before)) / 2


def _seen(name: str, at: datetime) -> bool:
    row = JobRun.objects.filter(job=name).first()
    if row is None:
        if watched().count() >= MOST:
            return False
        return JobRun.objects.get_or_create(job=name, defaults={"started_at": at})[1]
    gap = (at - row.started_at).total_seconds()
    if gap <= 0:
        return False
    same = JobRun.objects.filter(job=name, started_at=row.started_at, error=row.error)
    with transaction.atomic():
        if not same.update(started_at=at, seconds=max(usual(row.seconds, gap), 1.0), error=""):
            return False
        if row.error:
            _say("back", name, f"it came again after {_span(gap)}", at)
    return True


def _look_at(row: JobRun, at: datetime) -> bool:
    away = at - row.started_at
    if away <= patience(row.seconds):
        return False
    used = f"it came about each {_span(row.seconds)}" if row.seconds else "it was seen once, and belongs sent each few minutes"
    why = f"the alert {row.job} has not come for {_span(away.total_seconds())}, {used}: look at Prometheus and Alertmanager"
    with transaction.atomic():
        if not JobRun.objects.filter(job=row.job, started_at=row.started_at, error="").update(error=why):
            return False
        _say("silent", row.job, why, at)
    return True


def _say(what: str, name: str, why: str, at: datetime) -> None:
    subject = f"watchdog:{name}"
    payload = {"alert": name, "reason": why}
    ledger.append(actor="scheduler", action=f"watchdog.{what}", resource=subject, payload=payload, at=at)
    if listening():
        tell(f"watchdog.{what}", Facts(what=name, why=why, link=links.address("index")), subject=subject, at=at)


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.0f} h"
