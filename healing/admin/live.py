"""A page that keeps itself true: what `static/healing/live.js` asks for every few seconds while somebody looks at it.

Rules that this module keeps:
1. The answer is only what may have changed: the line about the whole, the list or the page, its dialogs; no frame around them.
2. It has a stamp of what it shows. Who has that already is answered 304 with nothing. Times do not count: pages keep them true.
3. Every answer says when it was given, in the person's own zone.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseNotModified
from django.template.response import TemplateResponse
from django.utils import timezone

from healing.admin import words

BARE = "admin/healing/bare.html"
FRAME = "admin/base_site.html"

# What differs in each answer though nothing has changed: relative times, and the masked token of a form.
_VOLATILE = re.compile(rb'<time [^>]*datetime="([^"]*)"[^>]*>[^<]*</time>|name="csrfmiddlewaretoken" value="[^"]*"')


def asked(request: HttpRequest) -> bool:
    """Whether a page asks that is open already."""
    return request.method == "GET" and "X-Live" in request.headers


def frame(request: HttpRequest) -> str:
    """The template around a page."""
    return BARE if asked(request) else FRAME


def stamp_of_rows(rows: Iterable[Any], *more: Any) -> str:
    """A stamp of what a list shows: the columns of its rows, before anything is rendered."""
    shown = [sorted((name, str(value)) for name, value in vars(row).items() if name[0] != "_") for row in rows]
    return _stamp(repr((shown, more)).encode())


def stamp_of(content: bytes) -> str:
    """A stamp of what a page says."""
    return _stamp(_VOLATILE.sub(rb"\1", content))


def known(request: HttpRequest, stamp: str) -> bool:
    return request.headers.get("If-None-Match") == f'"{stamp}"'


def unchanged() -> HttpResponse:
    return _said(HttpResponseNotModified())


def answer(response: HttpResponse, stamp: str) -> HttpResponse:
    response["ETag"] = f'"{stamp}"'
    return _said(response)


def respond(request: HttpRequest, page: TemplateResponse) -> HttpResponse:
    """The page, whose template extends `frame`; who has it open already gets what has changed."""
    if not asked(request):
        return page
    stamp = stamp_of(page.render().content)
    return unchanged() if known(request, stamp) else answer(page, stamp)


def _said(response: HttpResponse) -> HttpResponse:
    now = timezone.now()
    response["X-Live"] = f"{timezone.localtime(now):%H:%M:%S} {words.zone_name(now)}"
    response["Cache-Control"] = "no-store"
    return response


def _stamp(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]
