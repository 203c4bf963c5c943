"""What every view of the API shares: scopes, the mode that switches it off, bodies, pages.

Rules that this module keeps:
1. While the mode is `off`, every /api/self_heal/* answers 404, to everybody.
2. Who may not do it is told so before the body is read.
3. An unknown key in a body is an error that names it: a mistyped one must not be passed over in silence.
4. A write that comes with an Idempotency-Key is done once, and answered as often as it is sent.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.generics import GenericAPIView
from rest_framework.pagination import CursorPagination
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response

from healing.api import idempotency
from healing.api.auth import caller
from healing.api.bodies import keep_body
from healing.api.permissions import HasScope
from healing.mode import global_mode
from healing.models import IdempotentCall
from selfheal.errors import Invalid
from selfheal.states import GlobalMode


def gate() -> None:
    """Raises Http404 while the mode is off."""
    if global_mode() is GlobalMode.OFF:
        raise Http404


class Pages(CursorPagination):
    """{results, next, previous}, without a count: a list costs what is asked for, whatever its length."""

    page_size = 50
    max_page_size = 500
    page_size_query_param = "limit"

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any] | None:
        limit = request.query_params.get("limit", "1")
        if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:9]) <= self.max_page_size):
            raise Invalid(f"is a number from 1 to {self.max_page_size}", field="limit")
        try:
            return super().paginate_queryset(queryset, request, view)
        except (NotFound, ValidationError, ValueError, OverflowError) as error:
            raise Invalid("is no cursor of this list; take the one in `next` or `previous`", field="cursor") from error

    def get_ordering(self, request: Request, queryset: QuerySet[Any], view: Any) -> tuple[str, ...]:
        return tuple(view.ordering)


_EXACT: tuple[tuple[type[serializers.Field[Any, Any, Any, Any]], type | tuple[type, ...], str], ...] = (
    (serializers.BooleanField, bool, "must be true or false"),
    (serializers.IntegerField, int, "must be a whole number"),
    (serializers.FloatField, (int, float), "must be a number"),
)


class Body(serializers.Serializer[Any]):
    """A body: its fields and no others, and nothing that could be made one: no "5" for 5, no "yes" for true."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict):
            unknown = sorted(set(data) - set(self.fields))
            if unknown:
                known = ", ".join(self.fields)
                raise serializers.ValidationError({unknown[0]: f"there is no such field; there are: {known}"})
            wrong = {name: said for name, field in self.fields.items() if (said := _not_exact(field, data.get(name)))}
            if wrong:
                raise serializers.ValidationError(wrong)
        return super().to_internal_value(data)


def _not_exact(field: serializers.Field[Any, Any, Any, Any], value: Any) -> str:
    """What is wrong with the type of a given value; empty for none, and for a type that the field itself judges."""
    for kind, exact, said in _EXACT:
        if value is not None and isinstance(field, kind):
            return "" if isinstance(value, exact) and (exact is bool or not isinstance(value, bool)) else said
    return ""


class Text(serializers.CharField):
    """A string, and nothing that could be made one."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            raise serializers.ValidationError("must be a string")
        return super().to_internal_value(data)


class Instant(serializers.DateTimeField):
    """An instant, with its zone: which one is meant without it, nobody could know."""

    def enforce_timezone(self, value: datetime) -> datetime:
        if timezone.is_naive(value):
            raise serializers.ValidationError("must say its zone, like 2026-11-27T09:00:00+01:00")
        return super().enforce_timezone(value)


class ApiView(GenericAPIView[Any]):
    """Base of the views; `gated`: it is under /api/self_heal, which is off with the mode."""

    gated: ClassVar[bool] = True
    scopes: ClassVar[dict[str, str | tuple[str, ...]]] = {}
    ordering: ClassVar[tuple[str, ...]] = ("-pk",)
    permission_classes = (HasScope,)
    pagination_class: type[Pages] | None = Pages
    call: IdempotentCall | None = None  # that this request is the first of

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        with timezone.override(UTC):  # programs read this: the zone of the person is for pages
            response = self._answer(request, *args, **kwargs)
        if self.call and isinstance(response, HttpResponse):
            idempotency.settle(self.call, response)
        return response

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        if self.gated:
            gate()
        super().initial(request, *args, **kwargs)
        if request.method not in SAFE_METHODS:
            keep_body(_plain(request))
            self.call = idempotency.begin(_plain(request), caller(request))

    def handle_exception(self, exc: Exception) -> Any:
        return exc.response if isinstance(exc, idempotency.Replay) else super().handle_exception(exc)

    def read(self, body: type[Body]) -> dict[str, Any]:
        """The validated body."""
        given = body(data=self.request.data)
        given.is_valid(raise_exception=True)
        return dict(given.validated_data)

    def page(self, rows: QuerySet[Any], row: type[serializers.BaseSerializer[Any]], **context: Any) -> Response:
        """One page of `rows`, each as `row` says."""
        found = self.paginate_queryset(rows) or []
        return self.get_paginated_response(row(found, many=True, context=context).data)

    def _answer(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """The answer, rendered if it is to be kept; an exception is none, so that the same key may try again."""
        try:
            response = super().dispatch(request, *args, **kwargs)
            return response.render() if self.call and isinstance(response, Response) else response
        except Exception:
            if self.call:
                idempotency.forget(self.call)
            raise


class One(ApiView):
    """A view of one thing, or of no list at all."""

    pagination_class = None


def _plain(request: Request) -> HttpRequest:
    return request._request
