"""Every error of the API as application/problem+json (RFC 9457): {type, title, status, detail}, and `field` or `errors`.

`type` is `about:blank`: the status says it all. `field` is the part of the input that is wrong, as a dotted path.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.http import Http404, HttpRequest, HttpResponse
from django.views import defaults
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from selfheal.errors import Conflict, Invalid, NotAllowed, SelfhealError, TooLarge

CONTENT_TYPE = "application/problem+json"
_STATUS: tuple[tuple[type[Exception], HTTPStatus], ...] = (
    (TooLarge, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (Invalid, HTTPStatus.BAD_REQUEST),
    (NotAllowed, HTTPStatus.FORBIDDEN),
    (Conflict, HTTPStatus.CONFLICT),
    (RequestDataTooBig, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (Http404, HTTPStatus.NOT_FOUND),
    (PermissionDenied, HTTPStatus.FORBIDDEN),
)
_TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}  # RFC 9110; older Pythons say it otherwise


def of(error: Exception) -> tuple[dict[str, Any], dict[str, str]] | None:
    """The problem that `error` is, and the headers that go with it; None for what is no error of the caller."""
    if isinstance(error, exceptions.APIException):
        return _of_framework(error)
    for kind, status in _STATUS:
        if isinstance(error, kind):
            more = {"field": error.field} if isinstance(error, Invalid) and error.field else {}
            more |= getattr(error, "members", {})  # of its own, as RFC 9457 allows
            return describe(status, _detail(error, status), **more), {}
    return None


def describe(status: int, detail: str, **more: Any) -> dict[str, Any]:
    return {"type": "about:blank", "title": _phrase(status), "status": int(status), "detail": detail, **more}


def respond(problem: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> HttpResponse:
    """The problem as a plain Django response."""
    return HttpResponse(json.dumps(problem), status=problem["status"], content_type=CONTENT_TYPE, headers=dict(headers or {}))


def handle(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """The exception handler of the REST framework. What it does not know becomes a 500 by Django."""
    found = of(error)
    if found is None:
        return None
    set_rollback()
    problem, headers = found
    return Response(problem, status=problem["status"], headers=headers, content_type=CONTENT_TYPE)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    status = 413 if isinstance(exception, RequestDataTooBig) else 400
    problem = describe(status, "the request could not be understood")
    return respond(problem) if _is_api(request) else defaults.bad_request(request, exception)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    return respond(describe(403, "forbidden")) if _is_api(request) else defaults.permission_denied(request, exception)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return respond(describe(404, "there is nothing here")) if _is_api(request) else defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    problem = describe(500, "an error of ours; the log of the web process says more")
    return respond(problem) if _is_api(request) else defaults.server_error(request)


def _is_api(request: HttpRequest) -> bool:
    return request.path.startswith("/api/")


def _of_framework(error: exceptions.APIException) -> tuple[dict[str, Any], dict[str, str]]:
    given = {"WWW-Authenticate": getattr(error, "auth_header", None), "Retry-After": getattr(error, "wait", None)}
    headers = {name: str(value) for name, value in given.items() if value}
    if isinstance(error, exceptions.ValidationError):
        errors = list(_flat(error.detail))
        first = errors[0] if errors else {"field": "", "reason": "is not valid"}
        detail = f"{first['field']}: {first['reason']}" if first["field"] else first["reason"]
        return describe(error.status_code, detail, field=first["field"], errors=errors), headers
    return describe(error.status_code, str(error.detail)), headers


def _flat(detail: Any, path: str = "") -> Iterator[dict[str, str]]:
    """The nested details of a serializer as a list of {field, reason}."""
    if isinstance(detail, dict):
        for name, inner in detail.items():
            where = path if name == "non_field_errors" else f"{path}.{name}" if path else str(name)
            yield from _flat(inner, where)
    elif isinstance(detail, list):
        nested = any(isinstance(inner, dict | list) for inner in detail)
        for position, inner in enumerate(detail):
            yield from _flat(inner, f"{path}.{position}" if nested else path)
    else:
        yield {"field": path, "reason": str(detail)}


def _detail(error: Exception, status: HTTPStatus) -> str:
    if isinstance(error, SelfhealError):
        return str(error)
    if isinstance(error, RequestDataTooBig):
        return "the body is too large"
    return {HTTPStatus.NOT_FOUND: "there is nothing here"}.get(status, status.phrase.lower())


def _phrase(status: int) -> str:
    return _TITLES.get(status) or HTTPStatus(status).phrase
