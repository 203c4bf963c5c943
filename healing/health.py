"""/healthz: this process answers. /readyz: every part that healing needs is there, or which is not.

Open to everybody: it says nothing but which parts are there, and whether commands run in a sandbox. Each part has a bound, so
that a probe is never kept waiting.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime

from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from kombu import Connection
from kombu.exceptions import OperationalError

from healing import heartbeats, sandbox
from healing.api import problems
from selfheal import runbooks

BROKER_SECONDS = 2
PARTS = {"worker:control": "worker control", "worker:runs": "worker runs"}

logger = logging.getLogger(__name__)


def healthz(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"status": "ok"})


def readyz(request: HttpRequest) -> HttpResponse:
    """200, or 503 with a line for each part, the missing ones in `detail`, and where it is said what to do about them."""
    lines = {"database": database(), "broker": broker(), **_processes(timezone.now())}
    parts = {name: problem or "ok" for name, problem in lines.items()}
    missing = [name for name, problem in lines.items() if problem]
    _, sandboxed = sandbox.found()
    if not missing:
        return JsonResponse({"status": "ready", "parts": parts, "sandbox": sandboxed})
    pages = {name: runbooks.address(name, settings.SELF_HEAL_DOCS_URL) for name in missing}
    said = problems.describe(503, f"not ready: {', '.join(missing)}", parts=parts, pages=pages, sandbox=sandboxed)
    return problems.respond(said)


def database() -> str:
    """Empty, or what is wrong with it."""
    return _tried("the database does not answer", lambda: connection.cursor().execute("SELECT 1"))


def broker() -> str:
    """Empty, or what is wrong with it."""
    return _tried("the broker does not answer", _reach_broker)


def _reach_broker() -> None:
    bounds = {"socket_timeout": BROKER_SECONDS, "socket_connect_timeout": BROKER_SECONDS}
    with Connection(settings.CELERY_BROKER_URL, transport_options=bounds) as broker:
        broker.ensure_connection(max_retries=1, interval_start=0, timeout=BROKER_SECONDS)


def _tried(problem: str, attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except (DatabaseError, OperationalError, OSError) as error:
        logger.warning("%s: %r", problem, error)
        return problem
    return ""


def _processes(at: datetime) -> dict[str, str]:
    try:
        missing = heartbeats.missing(at)
    except DatabaseError:  # said already, by the part `database`
        missing = list(heartbeats.ROLES)
    word = f"no sign of life for {heartbeats.STALE.seconds} s"
    return {PARTS.get(role, role): word if role in missing else "" for role in heartbeats.ROLES}
