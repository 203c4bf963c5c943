"""The optional header Idempotency-Key of every write, between the views and `healing.idempotency`.

An answer stands when it says what became of the request. One that only says "not now" or "not in this form" (500 and above, 429,
415) is forgotten, and so is an exception: the same key may try again.
"""

from __future__ import annotations

from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from rest_framework.exceptions import APIException, ValidationError

from healing import idempotency
from healing.idempotency import HEADER, Asked, Busy, Reused, answer, forget
from healing.models import IdempotentCall, User

REPLAYED = "Idempotency-Replayed"
_PASSING = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.UNSUPPORTED_MEDIA_TYPE)


class Replay(Exception):
    """No error: there is nothing to do, the answer is here already."""

    def __init__(self, call: IdempotentCall) -> None:
        super().__init__(call.key)
        headers = {REPLAYED: "true"}
        self.response = HttpResponse(call.response, status=call.status, content_type=call.content_type, headers=headers)


class StillBusy(APIException):
    status_code = HTTPStatus.CONFLICT
    wait = 1  # seconds, for Retry-After


class AnotherRequest(ValidationError):
    status_code = HTTPStatus.UNPROCESSABLE_ENTITY


def begin(request: HttpRequest, user: User) -> IdempotentCall | None:
    """The call that this request is the first of; None: it has no key. Raises Replay, StillBusy, AnotherRequest, Invalid."""
    key = request.headers.get(HEADER)
    if key is None:
        return None
    asked = Asked(str(request.method), request.get_full_path(), request.body)
    try:
        call = idempotency.begin(user, idempotency.check_key(key), asked, timezone.now())
    except Busy as error:
        raise StillBusy(str(error)) from error
    except Reused as error:
        raise AnotherRequest({HEADER: [str(error)]}) from error
    if call.status is not None:
        raise Replay(call)
    return call


def settle(call: IdempotentCall, response: HttpResponse) -> None:
    """Keep the answer, which is rendered, for whoever sends the same again."""
    if response.status_code >= 500 or response.status_code in _PASSING:
        forget(call)
    else:
        answer(call, response.status_code, response.content.decode(), response.get("Content-Type", ""))
