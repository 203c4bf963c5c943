"""Who tries wrong passwords is locked out: django-axes counts, this module says so, logs it and lifts it.

Rules that this module keeps:
1. Five wrong passwords for one name from one address close that name for that address for 15 minutes. Further attempts in that
   time do not lengthen it. Other addresses are not concerned, so nobody can lock out somebody else.
2. The lock and its entry in the log stand in one transaction. Only names of users are logged: a wrong name may be a password.
3. From one address no more than `throttle.FAILED_SIGN_INS` fail, whatever names they try.
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

from axes.handlers.database import AxesDatabaseHandler
from axes.models import AccessAttempt
from django.conf import settings
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from healing import ledger, throttle
from healing.models import User
from selfheal.errors import Conflict


class Handler(AxesDatabaseHandler):
    """axes' own, which logs the moment at which a name is locked."""

    def user_login_failed(self, sender: Any, credentials: dict[str, Any], request: Any = None, **kwargs: Any) -> None:
        if request is None:  # a check of a password by the program itself
            return
        throttle.FAILED_SIGN_INS.limit.take(throttle.source_of(request), throttle.clock())
        was_locked = request.axes_locked_out
        with transaction.atomic():
            super().user_login_failed(sender, credentials, request, **kwargs)
            if request.axes_locked_out and not was_locked:
                _log(str(credentials.get("username")), request)


def _log(name: str, request: Any) -> None:
    user = User.objects.filter(username=name).first()
    if user is None:
        return
    at: datetime = request.axes_attempt_time
    payload = {
        "name": name,
        "address": request.axes_ip_address,
        "failures": request.axes_failures_since_start,
        "until": ledger.instant(at + settings.AXES_COOLOFF_TIME),
    }
    ledger.append(actor="system", action="user.locked", resource=f"user:{user.pk}", payload=payload, at=at)


def refused(request: Any, response: HttpResponse | None, credentials: dict[str, Any] | None) -> HttpResponse:
    """The page for whoever is locked out: how long, and what to do."""
    name = (credentials or {}).get("username")
    last = AccessAttempt.objects.filter(username=name, ip_address=request.axes_ip_address).order_by("-attempt_time").first()
    until = (last.attempt_time if last else timezone.now()) + settings.AXES_COOLOFF_TIME
    why = f"{settings.AXES_FAILURE_LIMIT} wrong passwords in a row: this name is closed for your address."
    return closed(request, (until - timezone.now()).total_seconds(), why)


def closed(request: HttpRequest, seconds: float, why: str) -> HttpResponse:
    """Why nobody signs in here now, and for how long."""
    from django.contrib import admin

    wait = max(1, math.ceil(seconds))
    context = {**admin.site.each_context(request), "title": "Sign-in is closed", "why": why, "minutes": math.ceil(wait / 60)}
    headers = {"Retry-After": str(wait), "Cache-Control": "no-store"}
    return TemplateResponse(request, "admin/healing/closed.html", context, status=429, headers=headers).render()


def is_locked(user: User) -> bool:
    """Whether the name is closed for some address now."""
    since = timezone.now() - settings.AXES_COOLOFF_TIME
    failed = AccessAttempt.objects.filter(username=user.username, attempt_time__gt=since)
    return failed.filter(failures_since_start__gte=settings.AXES_FAILURE_LIMIT).exists()


def unlock(user: User, actor: str, at: datetime) -> int:
    """Let a name in again, from every address; how many were closed to it. Raises Conflict where none was."""
    with transaction.atomic():
        failed = AccessAttempt.objects.filter(username=user.username)
        locked = failed.filter(failures_since_start__gte=settings.AXES_FAILURE_LIMIT)
        addresses = sorted({str(found) for found in locked.values_list("ip_address", flat=True)})
        removed, _ = failed.delete()
        if not removed:
            raise Conflict(f"{user.username} is not locked out")
        payload = {"name": user.username, "addresses": addresses}
        ledger.append(actor=actor, action="user.unlocked", resource=f"user:{user.pk}", payload=payload, at=at)
    return len(addresses)
