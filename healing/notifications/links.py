"""The link in a message that asks for an answer: signed, ending with the request, and no way around signing in.

It leads to the page of the request and answers nothing by itself: a GET never approves, and a chat program that looks at the
link sees the login page.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from django.conf import settings
from django.contrib import messages
from django.core import signing
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone

from healing.models import ApprovalRequest

SALT = "healing.approval_link"


def address(name: str, *arguments: object) -> str:
    """A page of the admin with the address that people see."""
    return page(f"admin:{name}", *arguments)


def page(name: str, *arguments: object) -> str:
    """As `address`, of a page that is no room of the admin."""
    return f"{settings.SELF_HEAL_BASE_URL}{reverse(name, args=arguments)}"


def approval_link(request: ApprovalRequest) -> str:
    """The signed link to a request, good until it expires."""
    signed = _signer().sign(f"{request.pk.hex}.{int(request.expires_at.timestamp()):x}")
    return f"{settings.SELF_HEAL_BASE_URL}{reverse('approval_link', args=[signed])}"


def open_link(request: HttpRequest, signed: str) -> HttpResponse:
    """Lead to the request; from a link that is over, or none of ours, to the queue with a word why."""
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET", "HEAD"])
    try:
        found, ends = read(signed)
    except (signing.BadSignature, ValueError):
        messages.error(request, "This link is none of ours: it was cut or changed on its way. What waits stands below.")
        return HttpResponseRedirect(reverse("admin:healing_approvalrequest_changelist"))
    if timezone.now() >= ends:
        messages.warning(request, "This link has expired, and so has its request. What still waits stands below.")
        return HttpResponseRedirect(reverse("admin:healing_approvalrequest_changelist"))
    return HttpResponseRedirect(reverse("admin:healing_approvalrequest_change", args=[found]))


def read(signed: str) -> tuple[uuid.UUID, datetime]:
    """The request, and until when the link is good. Raises BadSignature."""
    found, _, ends = _signer().unsign(signed).partition(".")
    return uuid.UUID(found), datetime.fromtimestamp(int(ends, 16), UTC)


def _signer() -> signing.Signer:
    return signing.Signer(salt=SALT, sep=".")
