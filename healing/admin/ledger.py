"""The log, read: entries and signed heads. It is written by the outbox and the sequencer only."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.http import content_disposition_header
from unfold.decorators import display

from healing.admin import words
from healing.admin.base import PageAdmin, ReadOnlyAdmin
from healing.ledger import selectors
from healing.models import LedgerEntry, LedgerHead, LedgerKey
from selfheal.errors import Invalid


@admin.register(LedgerEntry)
class LedgerEntryAdmin(PageAdmin):
    page_template = "admin/healing/entry.html"
    list_display = ("index", "action", "actor", "resource", "when")
    sortable_by = ()
    ordering = ("-at", "-index")  # as the index of each column that is looked in has them
    search_fields = ("action",)  # shows the box; what is looked for stands in get_search_results
    search_help_text = "Exactly: an index, an action (run.proposed), an actor, or a resource (run:…)"
    empty_title = "The log is empty"
    empty_hint = "Entries appear about a second after the first change, when `selfheal up` runs (its sequencer signs them)."

    def get_queryset(self, request: HttpRequest) -> QuerySet[LedgerEntry]:
        rows = super().get_queryset(request)
        return rows if request.resolver_match and request.resolver_match.kwargs else rows.defer("leaf", "signature", "leaf_hash")

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> tuple[QuerySet[Any], bool]:
        """Equality only: each of the four is an index, and the log is long."""
        term = search_term.strip()
        if not term:
            return queryset, False
        if term.isascii() and term.isdecimal() and len(term) < 19:
            return queryset.filter(index=int(term)), False
        return queryset.filter(Q(action=term) | Q(actor=term) | Q(resource=term)), False

    @display(description="when")
    def when(self, row: LedgerEntry) -> str:
        return words.clock_tag(row.at, timezone.now(), seconds=True)

    def page(self, request: HttpRequest, thing: LedgerEntry, at: datetime) -> dict[str, Any]:
        leaf = bytes(thing.leaf)
        return {
            "leaf": json.loads(leaf),
            "leaf_bytes": len(leaf),
            "leaf_hash": bytes(thing.leaf_hash).hex(),
            "signature": base64.b64encode(bytes(thing.signature)).decode(),
            "head": LedgerHead.objects.filter(size__gt=thing.index).order_by("size").first(),
            "key": LedgerKey.objects.filter(key_id=thing.key_id).first(),
            "before": LedgerEntry.objects.filter(index=thing.index - 1).first(),
            "after": LedgerEntry.objects.filter(index=thing.index + 1).first(),
        }

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.proof_view)
        return [path("<path:object_id>/proof/", view, name="healing_ledgerentry_proof"), *super().get_urls()]

    def proof_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """GET: the entry and its proof as a .tlog-proof file."""
        thing = self._thing(request, object_id)
        try:
            proof = selectors.proof_text(thing.index)
        except Invalid as error:
            raise Http404(f"entry {thing.index} is under no signed head yet") from error
        answer = HttpResponse(proof, content_type="text/plain; charset=utf-8")
        answer["Content-Disposition"] = content_disposition_header(as_attachment=True, filename=f"{thing.index}.tlog-proof")
        answer["X-Content-Type-Options"] = "nosniff"
        return answer


@admin.register(LedgerHead)
class LedgerHeadAdmin(PageAdmin):
    page_template = "admin/healing/head.html"
    list_display = ("size", "root_hash", "when")
    sortable_by = ()
    empty_title = "No signed head yet"
    empty_hint = "The sequencer signs one each second while there is something new."

    @display(description="root")
    def root_hash(self, row: LedgerHead) -> str:
        return bytes(row.root).hex()[:16] + "…"

    @display(description="when")
    def when(self, row: LedgerHead) -> str:
        return words.clock_tag(row.at, timezone.now(), seconds=True)

    def page(self, request: HttpRequest, thing: LedgerHead, at: datetime) -> dict[str, Any]:
        return {"root": base64.b64encode(bytes(thing.root)).decode()}


@admin.register(LedgerKey)
class LedgerKeyAdmin(ReadOnlyAdmin):
    list_display = ("vkey", "origin", "since_index", "when")
    list_display_links = None
    empty_title = "No key yet"
    empty_hint = "The sequencer makes one at its first start."

    @display(description="since")
    def when(self, row: LedgerKey) -> str:
        return words.clock_tag(row.at, timezone.now())
