"""Tokens that end soon: told 7 days and one day before, once each.

What tells once is the time of the last look, a row of `JobRun` that is moved by a conditional UPDATE: a token is told of by
whoever moves it over the moment. So nothing is kept about each token, and a look that was missed is caught up.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q

from healing import ledger
from healing.models import JobRun, Token
from healing.notifications import links
from healing.notifications.writing import listening, tell
from selfheal.messages import Facts

JOB = "tokens that end soon"
BEFORE = (timedelta(days=7), timedelta(days=1))
EVERY = timedelta(minutes=10)


def look(at: datetime) -> int:
    """Tell of each token that came within 7 days, or within one day, of its end since the last look. Returns how many."""
    row = JobRun.objects.get_or_create(job=JOB, defaults={"started_at": at})[0]
    since = row.started_at
    if at - since < EVERY:
        return 0
    with transaction.atomic():
        if not JobRun.objects.filter(job=JOB, started_at=since).update(started_at=at, finished_at=at):
            return 0
        passed = Q()
        for before in BEFORE:
            passed |= Q(expiry__gt=since + before, expiry__lte=at + before)
        soon = Token.objects.filter(passed, expiry__gt=at).select_related("user")
        return sum(_tell(token, at) for token in soon if _crossed(token, since, at))


def ends_soon(token: Token, at: datetime) -> bool:
    """Whether a list marks it."""
    return token.expiry is not None and at < token.expiry <= at + BEFORE[0]


def _crossed(token: Token, since: datetime, at: datetime) -> bool:
    """Whether one of the moments came after the token was made: one that was made for a day is not news."""
    return any(max(since, token.created) < token.expiry - before <= at for before in BEFORE if token.expiry)


def _tell(token: Token, at: datetime) -> bool:
    left = token.expiry - at if token.expiry else timedelta(0)
    days = round(left.total_seconds() / 86400)
    what = f"{token.name or token.public_id} of {token.user.username}"
    why = f"what uses it is refused in {days} day{'s' if days != 1 else ''}: make another with `selfheal token create`"
    subject = f"token:{token.public_id}"
    payload = {"user": token.user.username, "name": token.name, "expires": ledger.instant(token.expiry) if token.expiry else ""}
    ledger.append(actor="scheduler", action="token.expires", resource=subject, payload=payload, at=at)
    if not listening():
        return True
    facts = Facts(
        what=what,
        why=why,
        who=f"for {', '.join(token.scopes)}",
        until=f"{token.expiry:%Y-%m-%d %H:%M} UTC",
        link=links.address("healing_token_change", token.public_id),
    )
    tell("token.expires", facts, subject=subject, at=at)
    return True
