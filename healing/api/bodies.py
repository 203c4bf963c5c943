"""Bodies: bounded while they are read, bounded in depth before they are parsed, and of text that every database can store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from django.http import HttpRequest
from rest_framework.parsers import BaseParser

from selfheal.errors import Invalid, TooLarge
from selfheal.nesting import check_depth

MAX_BODY_BYTES = 2**20


def read_body(request: HttpRequest, limit: int) -> bytes:
    """The body, chunked or not. Raises TooLarge, without reading on, once it is over `limit` bytes."""
    too_large = TooLarge(f"the body has more than {limit:,} bytes")
    said = str(request.META.get("CONTENT_LENGTH") or "0")
    if said.isascii() and said.isdigit() and int(said) > limit:
        raise too_large
    chunked = request.META.get("HTTP_TRANSFER_ENCODING") and request.META.get("wsgi.input_terminated")
    stream = request.META["wsgi.input"] if chunked else request  # Django reads nothing where no length is said
    body = bytes(stream.read(limit + 1))
    if len(body) > limit:
        raise too_large
    return body


def keep_body(request: HttpRequest, limit: int = MAX_BODY_BYTES) -> bytes:
    """The body, read within its bound and put where Django and the REST framework look for it."""
    body = read_body(request, limit)
    request.META["CONTENT_LENGTH"] = str(len(body))
    vars(request).update(_body=body, _read_started=True)
    return body


class JSONBody(BaseParser):
    """Parses what `keep_body` kept."""

    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        body = stream.read(MAX_BODY_BYTES)
        check_depth(body)
        try:
            data = json.loads(body.decode(), parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise Invalid(f"the body is no valid JSON: {error}") from error
        if b"\\u" in body:
            _check_text(data, "")
        return data


def is_storable(text: str) -> bool:
    """No NUL and no half of a surrogate pair: PostgreSQL stores neither."""
    return not any(c == "\0" or "\ud800" <= c <= "\udfff" for c in text)


def _check_text(value: Any, path: str) -> None:
    if isinstance(value, str) and not is_storable(value):
        raise Invalid("holds a NUL or half a surrogate pair, which cannot be stored", field=path)
    if isinstance(value, list):
        for position, item in enumerate(value):
            _check_text(item, f"{path}.{position}" if path else str(position))
    if isinstance(value, dict):
        for name, item in value.items():
            _check_text(name, path)
            _check_text(item, f"{path}.{name}" if path else name)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
