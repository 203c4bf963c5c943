"""A cross-domain approval: asked for here, answered in the queue of all approvals, and valid for as long as it says.

Whether it is given, is looked up where the answer stands: nothing is copied that could be forgotten to take back.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from healing import asking
from healing.access import DOMAIN
from healing.models import ApprovalRequest
from learning.broker.callers import Caller, Denied
from learning.broker.models import Grant
from selfheal.canonical import digest
from selfheal.errors import Invalid
from selfheal.memory.rights import AccessLevel, right_of
from selfheal.states import ApprovalStatus, Impact

KIND = "memory"
MOST_HOURS = 720
MOST_DOMAINS = 20
LOOKED_AT = 50  # of the newest of a domain


def ask_for(domain: str, domains: list[str], hours: int, reason: str, caller: Caller, at: datetime) -> ApprovalRequest:
    """Ask people to let `domain` ask `domains` for so many hours from their approval on.

    Raises Denied for a domain that is not the caller's, Invalid for a name, a time or a reason that will not do.
    """
    right = right_of(caller.asker(domain, at), cross=False)
    if right.level is AccessLevel.DENIED:
        raise Denied("; ".join(right.reasons))
    wanted = sorted(set(domains) - {domain})
    if not 1 <= len(wanted) <= MOST_DOMAINS or not all(DOMAIN.fullmatch(other) for other in wanted):
        raise Invalid(f"names from 1 to {MOST_DOMAINS} other domains", field="domains")
    if not 1 <= hours <= MOST_HOURS:
        raise Invalid(f"is from 1 to {MOST_HOURS}", field="hours")
    if not reason.strip():
        raise Invalid("says why: a person decides by it", field="reason")
    with transaction.atomic():
        grant = Grant.objects.create(domain=domain, others=wanted, hours=hours, reason=reason[:300], asked_by=caller.name, at=at)
        title = f"{domain} wants to ask the memory of {', '.join(wanted)} for {hours} h"
        return asking.ask(
            KIND, grant.pk, content_of(grant), title=title, why=reason, impact=Impact.HIGH, domain=domain, user=caller.user, at=at
        )


def granted(domain: str, at: datetime) -> frozenset[str]:
    """The other domains that this one may ask now, because people have approved exactly that."""
    since = at - timedelta(hours=MOST_HOURS)
    asked = {grant.pk: grant for grant in Grant.objects.filter(domain=domain, at__gt=since).order_by("-at")[:LOOKED_AT]}
    yes = ApprovalRequest.objects.filter(subject_type=KIND, subject_id__in=asked, status=ApprovalStatus.APPROVED)
    found: set[str] = set()
    for request in yes:
        grant = asked[request.subject_id]
        ends = request.decided_at and request.decided_at + timedelta(hours=grant.hours)
        if ends and at < ends and request.digest == digest(content_of(grant)):
            found |= set(grant.others)
    return frozenset(found)


def content_of(grant: Grant) -> dict[str, Any]:
    """What people are shown, and what the digest of their answer is of."""
    return {"domain": grant.domain, "may_ask": grant.others, "hours": grant.hours, "never": "what is sensitive"}
