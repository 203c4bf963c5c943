"""How long somebody stays signed in.

Rules that this module keeps:
1. A session ends after IDLE without a page that a person opened or sent, and after LONGEST whatever happens. What a page fetches
   by itself does not keep it alive.
2. It is written at most once a minute for that.
3. A change of password, role or second factor ends the sessions of that person; "sign out everywhere" does so on demand. Sessions
   are rows of the database: one that is gone is gone in every process at its next request.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.models import Session
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone

from healing import ledger
from healing.models import User

IDLE, LONGEST = timedelta(hours=2), timedelta(hours=12)
TOUCH = timedelta(minutes=1)
_SINCE, _SEEN = "signed_in_at", "seen_at"


def begin(sender: Any, request: HttpRequest, user: User, **kwargs: Any) -> None:
    """Somebody signed in: receiver of `user_logged_in`. What has expired meanwhile is cleared away."""
    now = timezone.now()
    request.session[_SINCE] = request.session[_SEEN] = now.timestamp()
    Session.objects.filter(expire_date__lt=now).delete()


def since(request: HttpRequest) -> datetime:
    """When this session began."""
    return datetime.fromtimestamp(request.session[_SINCE], UTC)


def is_over(request: HttpRequest, now: datetime) -> bool:
    """Whether the session is too old, or was not used for too long; if neither, its use is noted."""
    session, at = request.session, now.timestamp()
    since, seen = session.setdefault(_SINCE, at), session.setdefault(_SEEN, at)
    if at - since > LONGEST.total_seconds() or at - seen > IDLE.total_seconds():
        return True
    if at - seen > TOUCH.total_seconds() and _by_a_person(request):
        session[_SEEN] = at
    return False


def _by_a_person(request: HttpRequest) -> bool:
    return request.method == "POST" or request.headers.get("Sec-Fetch-Mode", "navigate") == "navigate"


def of(user: User) -> Iterator[Session]:
    """The sessions in which `user` is signed in. Reads them all: there are as many as browsers in use."""
    for session in Session.objects.filter(expire_date__gte=timezone.now()).iterator():
        if session.get_decoded().get(SESSION_KEY) == str(user.pk):
            yield session


def end_all(user: User, actor: str, why: str, at: datetime, but: str | None = None) -> int:
    """Sign `user` out everywhere, the session with the key `but` excepted; how many were ended. Logged if any was."""
    with transaction.atomic():
        keys = [session.session_key for session in of(user) if session.session_key != but]
        if keys:
            Session.objects.filter(session_key__in=keys).delete()
            payload = {"name": user.username, "sessions": len(keys), "reason": why}
            ledger.append(actor=actor, action="user.signed_out", resource=f"user:{user.pk}", payload=payload, at=at)
    return len(keys)
