"""Alerts in, by plain Django: an alert storm must not wait for a framework."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from healing import intake
from healing.api import auth, idempotency, problems
from healing.api.base import gate
from healing.api.bodies import keep_body
from selfheal.alerts import MAX_BODY_BYTES
from selfheal.cloudevents import CONTENT_TYPES

JSON = ("application/json", "text/json")


@csrf_exempt
def alertmanager(request: HttpRequest) -> HttpResponse:
    """POST: a webhook body of Alertmanager, version 4."""
    return _take(request, intake.receive)


@csrf_exempt
def alerts(request: HttpRequest) -> HttpResponse:
    """POST: one plain alert, or an array of them."""
    return _take(request, intake.receive_plain)


@csrf_exempt
def grafana(request: HttpRequest) -> HttpResponse:
    """POST: a body of the webhook contact point of Grafana's unified alerting."""
    return _take(request, intake.receive_grafana)


@csrf_exempt
def cloudevents(request: HttpRequest) -> HttpResponse:
    """POST: CloudEvents 1.0, one (structured or binary) or a batch."""
    headers = {name.lower(): value for name, value in request.headers.items() if name.lower().startswith("ce-")}
    receive = partial(intake.receive_events, content_type=request.content_type or "", headers=headers)
    return _take(request, receive, CONTENT_TYPES)


def _take(request: HttpRequest, receive: Callable[..., dict[str, Any]], types: tuple[str, ...] = JSON) -> HttpResponse:
    call = None
    try:
        gate()
        if request.method != "POST":
            return problems.respond(problems.describe(405, f"{request.method} is not allowed"), {"Allow": "POST"})
        token = auth.bearer(request, "ingest")
        if request.content_type not in types:
            wanted = " or ".join(each for each in types if each.startswith("application/"))
            return problems.respond(problems.describe(415, f"the body must be {wanted}"))
        body = keep_body(request, MAX_BODY_BYTES)
        call = idempotency.begin(request, token.user)
        answer = receive(body, actor=token.user.username, at=timezone.now(), token=str(token.public_id))
        response = HttpResponse(msgspec.json.encode(answer), status=202, content_type="application/json")
    except idempotency.Replay as known:
        return known.response
    except Exception as error:
        found = problems.of(error)
        if found is None:
            if call:
                idempotency.forget(call)
            raise
        response = problems.respond(*found)
    if call:
        idempotency.settle(call, response)
    return response
