"""The page of the log: whether it is whole, what was signed last, who has signed for it; and a search. It only reads it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode

from healing.admin import live
from healing.admin.navigation import everywhere
from healing.ledger import patrol, pushing, selectors
from healing.models import LedgerCosignature, LedgerEntry, LedgerKey, LedgerPatrol, LedgerPlace
from healing.models.ledger import ENTRY_FILTERS
from healing.tasks import patrol_log

SHOWN = 25  # entries on a page of what was found
LIVE_SECONDS = 5


class Search(forms.Form):
    """Each is looked for exactly; times are in the zone that pages are shown in."""

    actor = forms.CharField(required=False, max_length=150)
    action = forms.CharField(required=False, max_length=60, help_text="run.proposed")
    resource = forms.CharField(required=False, max_length=300, help_text="run:…, incident:…, service:…")
    subsystem = forms.CharField(required=False, max_length=30, help_text="healing, learning, ledger")
    since = forms.DateTimeField(required=False, label="From", widget=forms.DateTimeInput(attrs={"type": "datetime-local"}))
    until = forms.DateTimeField(required=False, label="Before", widget=forms.DateTimeInput(attrs={"type": "datetime-local"}))


def log_page(request: HttpRequest) -> HttpResponse:
    """GET: the page, and what a search finds. POST: begin a pass of the patrol now."""
    if not request.user.has_perm("healing.view_ledgerentry"):
        raise PermissionDenied
    if request.method == "POST":
        return _look_now(request)
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
    row, head = patrol.state(), selectors.last_head()
    search = Search(request.GET or None)
    context = {
        **(everywhere(request) if live.asked(request) else admin.site.each_context(request)),
        "title": "The log",
        "frame": live.frame(request),
        "at": timezone.now(),
        "live_seconds": LIVE_SECONDS if row.asked_at and not request.GET else 0,
        "patrol": row,
        "verdict": verdict(row),
        "percent": 100 * row.next_index // row.size if row.size else 0,
        "head": head,
        "key": LedgerKey.objects.first(),
        "witnesses": LedgerCosignature.objects.filter(head=head) if head else (),
        "places": LedgerPlace.objects.filter(pk__in=[place.name for place in pushing.configured()]),
        "waiting_since": selectors.waiting_since(),
        "search": search,
        **(_found(request, search) if request.GET else {}),
    }
    return live.respond(request, TemplateResponse(request, "admin/healing/log.html", context))


def verdict(row: LedgerPatrol) -> tuple[str, str]:
    """A badge and a sentence."""
    if row.is_wrong:
        return "danger", "The log is damaged"
    if row.passed_at:
        return "success", f"All {row.passed_size:,} entries are as they were signed"
    return "plain", "The log was not looked at whole yet"


def _look_now(request: HttpRequest) -> HttpResponse:
    patrol.ask(request.user.get_username(), timezone.now())
    patrol_log.delay()
    messages.success(request, "The log is looked at from its first entry on. This page shows how far that is.")
    return HttpResponseRedirect(reverse("log"))


def _found(request: HttpRequest, search: Search) -> dict[str, Any]:
    """What was found, newest first, and the address of what is older."""
    if not search.is_valid():
        return {"found": None}
    given = search.cleaned_data
    asked = {name: given[name] for name in ENTRY_FILTERS if given[name]}
    rows = (
        selectors.found(asked, given["since"], given["until"]).order_by("-at", "-index").defer("leaf", "signature", "leaf_hash")
    )
    if before := _place(request.GET.get("before", "")):
        at, index = before
        rows = rows.filter(Q(at__lt=at) | Q(at=at, index__lt=index))
    entries = list(rows[: SHOWN + 1])
    return {"found": entries[:SHOWN], "older": _older(request, entries[SHOWN - 1]) if len(entries) > SHOWN else ""}


def _place(text: str) -> tuple[datetime, int] | None:
    """`microseconds.index`, as `_older` writes it; what is none is passed over."""
    at, _, index = text.partition(".")
    if not (at.isascii() and at.isdecimal() and index.isascii() and index.isdecimal() and len(text) < 40):
        return None
    return datetime.fromtimestamp(min(int(at), 1 << 56) / 1e6, UTC), min(int(index), 1 << 62)


def _older(request: HttpRequest, last: LedgerEntry) -> str:
    given = {name: str(value) for name, value in request.GET.items() if value and name != "before"}
    return f"?{urlencode({**given, 'before': f'{round(last.at.timestamp() * 1e6)}.{last.index}'})}"
