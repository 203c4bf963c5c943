"""The log over HTTP, for whoever wants to check it: the signed head, entries, keys, proofs.

Reads only, and also while the mode is off.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import QuerySet
from django.http import Http404, HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from healing.api.base import HasScope, Pages
from healing.api.filters import SINCE, UNTIL, instant, text
from healing.ledger import selectors
from healing.ledger.selectors import MOST
from healing.models.ledger import ENTRY_FILTERS
from selfheal.errors import Invalid
from selfheal.signing import b64

MOST_DIGITS = 18

_KEY: dict[str, serializers.Field] = {
    "vkey": serializers.CharField(help_text="as C2SP signed-note has it"),
    "since_index": serializers.IntegerField(),
}
_REVOKED: dict[str, serializers.Field] = {
    "from": serializers.IntegerField(help_text="the first entry that does not count"),
    "entry": serializers.IntegerField(help_text="that revokes it"),
    "reason": serializers.CharField(),
    "attested": serializers.IntegerField(allow_null=True, help_text="the entry that attests again what it signed"),
}
_RETIRED: dict[str, serializers.Field] = {
    **_KEY,
    "revoked": inline_serializer("LogRevoked", _REVOKED, required=False, help_text="where it is"),
}
_ENTRY: dict[str, serializers.Field] = {
    "index": serializers.IntegerField(),
    "leaf": serializers.CharField(help_text="base64 of the canonical bytes"),
    "signature": serializers.CharField(help_text="base64"),
    "key_id": serializers.CharField(),
}
_LINK = "where the page after or before this one is; only where something is filtered"
ENTRIES = inline_serializer(
    "LogEntries",
    {
        "entries": inline_serializer("LogEntry", _ENTRY, many=True),
        "next": serializers.URLField(allow_null=True, required=False, help_text=_LINK),
        "previous": serializers.URLField(allow_null=True, required=False, help_text=_LINK),
    },
)
KEY = inline_serializer(
    "LogKey", {**_KEY, "origin": serializers.CharField(), "retired": inline_serializer("LogRetiredKey", _RETIRED, many=True)}
)
PROOF = inline_serializer("LogProof", {"hashes": serializers.ListField(child=serializers.CharField(help_text="base64"))})


def _number(name: str, what: str, *, required: bool = True) -> OpenApiParameter:
    return OpenApiParameter(name, OpenApiTypes.INT64, required=required, description=what)


class LogView(APIView):
    scopes: ClassVar[dict[str, str]] = {"GET": "read"}
    permission_classes = [HasScope]


class CheckpointView(LogView):
    @extend_schema(
        operation_id="log_checkpoint",
        parameters=[
            OpenApiParameter(
                "witnessed", bool, description="true: the newest head that a witness has signed for, not the last one"
            )
        ],
        responses={(200, "text/plain"): OpenApiTypes.STR},
    )
    def get(self, request: Request) -> HttpResponse:
        """The last tree head, as a signed note (C2SP tlog-checkpoint) with the lines of its witnesses (tlog-cosignature)."""
        wanted = request.query_params.get("witnessed", "false")
        if wanted not in ("true", "false"):
            raise Invalid("must be true or false", field="witnessed")
        head = selectors.last_witnessed() if wanted == "true" else selectors.last_head()
        if head is None:
            raise Http404("no witness has signed for a head yet" if wanted == "true" else "the log has no signed head yet")
        return HttpResponse(selectors.witnessed(head), content_type="text/plain; charset=utf-8")


class EntryPages(Pages):
    page_size = max_page_size = MOST

    def get_ordering(self, request: Request, queryset: QuerySet[Any], view: Any) -> tuple[str, ...]:
        return "at", "index"


class EntriesView(LogView):
    @extend_schema(
        operation_id="log_entries",
        parameters=[
            _number("start", "first index; 0 where it is left out", required=False),
            _number(
                "end", "one past the last index; at most 1,000 more than start, and that where it is left out", required=False
            ),
            *(OpenApiParameter(name, str, description=f"exactly this {name}") for name in ENTRY_FILTERS),
            SINCE,
            UNTIL,
            OpenApiParameter("limit", int, description="with a filter: entries on a page, at most 1,000"),
            OpenApiParameter("cursor", str, description="with a filter: as `next` and `previous` have it"),
        ],
        responses=ENTRIES,
    )
    def get(self, request: Request) -> Response:
        """The entries from `start` on and before `end`, as many as there are; or those that all given filters fit, by time.

        With a filter, `start` and `end` may be as far apart as you like.
        """
        start = whole(request, "start", default=0)
        end = whole(request, "end", default=0)
        asked = {name: value for name in ENTRY_FILTERS if (value := text(request, name))}
        since, until = instant(request, "since"), instant(request, "until")
        if not (asked or since or until):
            return Response({"entries": selectors.entries(start, end if "end" in request.query_params else start + MOST)})
        rows = selectors.found(asked, since, until).filter(index__gte=start)
        rows = rows.filter(index__lt=end) if "end" in request.query_params else rows
        pages = EntryPages()
        entries = [selectors.shown(entry) for entry in pages.paginate_queryset(rows, request, self) or []]
        return Response({"entries": entries, "next": pages.get_next_link(), "previous": pages.get_previous_link()})


class KeyView(LogView):
    @extend_schema(operation_id="log_key", responses=KEY)
    def get(self, request: Request) -> Response:
        """The key that signs now, and those that signed before it."""
        document = selectors.key_document()
        if document is None:
            raise Http404("the log has not begun")
        return Response(document)


class InclusionView(LogView):
    @extend_schema(
        operation_id="log_proof_inclusion",
        parameters=[_number("index", "of the entry"), _number("size", "of the tree that it is shown to be in")],
        responses=PROOF,
    )
    def get(self, request: Request) -> Response:
        """That an entry is in the tree of a size (RFC 9162 §2.1.3)."""
        return _proof(selectors.inclusion(whole(request, "index"), whole(request, "size")))


class ConsistencyView(LogView):
    @extend_schema(
        operation_id="log_proof_consistency",
        parameters=[_number("first", "size of the older tree"), _number("second", "size of the newer tree")],
        responses=PROOF,
    )
    def get(self, request: Request) -> Response:
        """That the tree of one size begins the tree of another (RFC 9162 §2.1.4)."""
        return _proof(selectors.consistency(whole(request, "first"), whole(request, "second")))


def whole(request: Request, name: str, default: int | None = None) -> int:
    """A query parameter that is a whole number, 0 or more; without a `default` it must be given. Raises Invalid naming it."""
    text = request.query_params.get(name)
    if text is None and default is not None:
        return default
    text = text or ""
    if not (text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS):
        raise Invalid("must be given, as a whole number" if not text else "must be a whole number, 0 or more", field=name)
    return int(text)


def _proof(hashes: list[bytes]) -> Response:
    return Response({"hashes": [b64(hash_) for hash_ in hashes]})
