"""The health page: everything that healing needs, one line each, with how to mend what is wrong. It reads, and changes nothing.

Rules that this module keeps:
1. A line that cannot be looked at says so; the others are shown all the same.
2. What grows is not counted to its end: a queue says how old its oldest is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from importlib.metadata import version
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.template.response import TemplateResponse
from django.utils import timezone

from healing import alertmanager, findings, guardrail, health, heartbeats, pools, sandbox
from healing import jobs as jobs_done
from healing.admin import live, words
from healing.governance import kill_state
from healing.mode import global_mode
from healing.models import (
    Control,
    Heartbeat,
    Incident,
    JobRun,
    LedgerEntry,
    LedgerHead,
    LedgerKey,
    LedgerOutbox,
    Notification,
    Run,
)
from selfheal.findings import Finding
from selfheal.guardrails import SHOWN
from selfheal.states import GlobalMode, IncidentStatus, KillState, RunStatus

UP = "selfheal up"
MEND = {
    "web": "selfheal web (up starts it)",
    "worker:control": "selfheal worker control (up starts it)",
    "worker:runs": "selfheal worker runs (up starts it)",
    "beat": "selfheal beat (up starts it)",
    "sequencer": "selfheal sequencer (up starts it)",
}
LATE = timedelta(minutes=2)  # that something due may wait before it is wrong
HEAD_LATE = timedelta(seconds=30)  # that a leaf may wait for its index

Look = Callable[[], Iterator[Finding]]


def health_page(request: HttpRequest) -> HttpResponse:
    """GET: the page, for whoever may look at runs."""
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET", "HEAD"])
    if not request.user.has_perm("healing.view_run"):
        raise PermissionDenied
    at = timezone.now()
    groups = [(title, list(_safe(title, look))) for title, look in looks(at)]
    context = {
        **admin.site.each_context(request),
        "title": "Health",
        "frame": live.frame(request),
        "at": at,
        "groups": groups,
        "wrong": [finding for _, found in groups for finding in found if not finding.ok],
        "settings": settings_in_short(),
    }
    return live.respond(request, TemplateResponse(request, "admin/healing/health.html", context))


def looks(at: datetime) -> list[tuple[str, Look]]:
    return [
        ("Processes", partial(processes, at)),
        ("Queues", partial(queues, at)),
        ("Jobs", partial(jobs, at)),
        ("Log", partial(log, at)),
        ("Parts", partial(parts, at)),
        ("Whether anything may run", partial(governance, at)),
    ]


def _safe(title: str, look: Look) -> Iterator[Finding]:
    found: list[Finding] = []

    def all_of_it() -> Finding:
        found.extend(look())
        return Finding(title, True, "")

    guarded = findings.guarded(title, all_of_it)
    yield from found
    if not guarded.ok:
        yield guarded


def processes(at: datetime) -> Iterator[Finding]:
    rows = list(Heartbeat.objects.order_by("role", "-at"))
    for role in ("web", *heartbeats.ROLES):
        mine = [row for row in rows if row.role == role]
        fresh = [row for row in mine if abs(at - row.at) <= heartbeats.STALE]
        said = ", ".join(f"{row.name} {_ago(row.at, at)}" for row in (fresh or mine[:1])) or "was never there"
        yield Finding(health.PARTS.get(role, role), bool(fresh), said, MEND[role])

    yield findings.guarded("clock", lambda: findings.clocks(at))
    named = pools.named()
    empty = pools.unmanned(named, at)
    for pool in named:
        said = "no worker of it shows itself; runs of its services wait" if pool in empty else "there"
        yield Finding(f"pool {pool}", pool not in empty, said, f"selfheal worker --pool {pool}, beside what it heals")
    yield findings.guarded("advisers", lambda: findings.advisers(at))


def queues(at: datetime) -> Iterator[Finding]:
    due = Incident.objects.filter(next_look_at__lte=at, status=IncidentStatus.OPEN, service__active=True)
    yield _queue(
        "incidents to look at", _oldest(due, "next_look_at"), at, f"the worker control does it: {MEND['worker:control']}"
    )
    waiting = Run.objects.filter(status=RunStatus.QUEUED)
    yield _queue("runs to start", _oldest(waiting, "approved_at"), at, f"the worker runs does it: {MEND['worker:runs']}")
    late = Run.objects.filter(due_at__lte=at)
    yield _queue("runs to look after", _oldest(late, "due_at"), at, f"the worker control does it: {MEND['worker:control']}")
    notes = Notification.objects.filter(due_at__lte=at)
    yield _queue("messages to send", _oldest(notes, "due_at"), at, "look at the notifications: each says why it failed")


def jobs(at: datetime) -> Iterator[Finding]:
    tick = JobRun.objects.filter(job="tick").first()
    if tick is None:
        yield Finding("tick", False, "there was none yet", MEND["beat"])
    for row in JobRun.objects.exclude(job=alertmanager.JOB).order_by("job"):
        late = row.job == "tick" and at - row.started_at > max(LATE, timedelta(seconds=3 * settings.SELF_HEAL_POLL_SECONDS))
        took = f", took {row.seconds:.2g} s" if row.seconds is not None and row.finished_at else ""
        said = f"{_ago(row.started_at, at)}{took}" + (f": {row.error}" if row.error else "")
        yield Finding(
            row.job,
            not row.error and not late,
            said,
            MEND["beat"] if late else "it is tried again; the log of the worker says more",
        )


def log(at: datetime) -> Iterator[Finding]:
    head, last = LedgerHead.objects.first(), LedgerEntry.objects.values_list("outbox_id", flat=True).first()
    waiting = LedgerOutbox.objects.filter(id__gt=last or 0).count()
    lag = f"{waiting:,} leaves wait for their index" if waiting else "nothing waits"
    late = bool(waiting) and (head is None or at - head.at > HEAD_LATE)
    said = f"{head.size:,} entries, signed {_ago(head.at, at)}" if head else "none was signed yet"
    yield Finding("head", not late, f"{said}; {lag}", MEND["sequencer"])
    key = LedgerKey.objects.first()
    yield Finding("key", True, key.vkey if key else "not made yet: the sequencer makes it with the first head")
    yield findings.guarded("log guards", findings.log_guards)
    yield findings.guarded("log outside", findings.log_places)
    if connection.vendor == "postgresql":
        yield findings.guarded("log grants", findings.log_grants)
    yield findings.guarded("log patrol", lambda: findings.log_patrol(at))


def parts(at: datetime) -> Iterator[Finding]:
    answer = health.database()
    yield Finding("database", not answer, answer or connection.vendor, "selfheal doctor says more")
    answer = health.broker()
    yield Finding(
        "broker", not answer, answer or "answers", f"{UP} starts the embedded one; else start Redis, or correct CELERY_BROKER_URL"
    )
    yield findings.guarded("administrator", findings.administrator)
    program, said = sandbox.found()
    yield Finding("sandbox", bool(program), said, "install bubblewrap; until then the launcher ends what a command leaves behind")
    yield _alertmanager(at)


def _alertmanager(at: datetime) -> Finding:
    url, row = settings.SELF_HEAL_ALERTMANAGER_URL, jobs_done.last_run(alertmanager.JOB)
    if not url:
        return Finding("Alertmanager", True, "is not asked: SELF_HEAL_ALERTMANAGER_URL is not set")
    if row is None:
        return Finding("Alertmanager", True, f"{url}: was not asked yet, it is before something is proposed")
    answered = f"answered last {_ago(row.finished_at, at)}" if row.finished_at else "never answered"
    said = f"{url}: asked last {_ago(row.started_at, at)}, {answered}" + (f": {row.error}" if row.error else "")
    mend = "start it, or correct SELF_HEAL_ALERTMANAGER_URL; until it answers, a person is asked about each proposal"
    return Finding("Alertmanager", not row.error, said, mend)


def governance(at: datetime) -> Iterator[Finding]:
    state, row = kill_state(), Control.objects.filter(pk=1).first() or Control()
    off = state is KillState.OFF
    yield Finding(
        "kill switch",
        off,
        "off" if off else f"{state}: {row.kill_reason}",
        "release it on its page, or `selfheal kill-switch off`",
    )
    yield Finding("storm", not row.storm, row.storm or "none", "it ends by itself when fewer services are unhealthy")
    rail = guardrail.standing_of(row, at)
    late = row.level_at is not None and rail.since is None and global_mode() is not GlobalMode.OFF
    yield Finding("guardrail", not late, f"{SHOWN[rail.level]}: {rail.reason}", MEND["beat"])


def settings_in_short() -> list[tuple[str, str]]:
    return [
        ("version", version("selfheal")),
        ("mode", str(global_mode())),
        ("address", settings.SELF_HEAL_BASE_URL),
        ("database", connection.vendor),
        ("looks every", f"{settings.SELF_HEAL_POLL_SECONDS} s"),
        ("change window", f"{settings.SELF_HEAL_CHANGE_WINDOW}, {settings.SELF_HEAL_TIME_ZONE or 'UTC'}"),
        ("proposals an hour", str(settings.SELF_HEAL_PROPOSALS_PER_HOUR)),
        ("runs at once", str(settings.SELF_HEAL_MAX_CONCURRENT_RUNS)),
    ]


def _queue(what: str, oldest: datetime | None, at: datetime, mend: str) -> Finding:
    if oldest is None:
        return Finding(what, True, "nothing waits")
    return Finding(what, at - oldest <= LATE, f"the oldest is due since {words.span((at - oldest).total_seconds())}", mend)


def _oldest(rows: Any, field: str) -> datetime | None:
    oldest: datetime | None = rows.exclude(**{field: None}).order_by(field).values_list(field, flat=True).first()
    return oldest


def _ago(moment: datetime, at: datetime) -> str:
    return words.relative(moment, at) if moment <= at else "just now"
