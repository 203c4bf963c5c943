"""Query parameters of lists. A value that is none is a 400 that names the parameter."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from django.http import Http404
from django.utils.dateparse import parse_datetime
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request

from healing.api.bodies import is_storable
from selfheal.errors import Invalid

STATUS = OpenApiParameter("status", str, description="one, or several with commas between them")
SEVERITY = OpenApiParameter("severity", str, description="one, or several with commas between them")
SERVICE = OpenApiParameter("service", str, description="the name of a service")
INCIDENT = OpenApiParameter("incident", OpenApiTypes.UUID, description="the id of an incident")
UNTIL = OpenApiParameter("until", OpenApiTypes.DATETIME, description="older than this; RFC 3339, UTC where no zone is said")
SINCE = OpenApiParameter("since", OpenApiTypes.DATETIME, description="not older than this; RFC 3339, UTC where no zone is said")


def choices(request: Request, name: str, allowed: Iterable[str]) -> list[str]:
    """The values of `name`, all of them allowed; none: no filter."""
    given = [value for value in request.query_params.get(name, "").split(",") if value]
    known = [str(value) for value in allowed]
    for value in given:
        if value not in known:
            raise Invalid(f"{value[:50]!r} is none of {', '.join(known)}", field=name)
    return given


def text(request: Request, name: str) -> str:
    """The value of `name`; the empty string: no filter."""
    value = request.query_params.get(name, "")
    if len(value) > 300 or not is_storable(value):
        raise Invalid("has at most 300 characters, and no NUL among them", field=name)
    return value


def identity(request: Request, name: str) -> uuid.UUID | None:
    value = request.query_params.get(name)
    try:
        return uuid.UUID(value) if value else None
    except ValueError as error:
        raise Invalid("is no UUID", field=name) from error


def since(request: Request) -> datetime | None:
    return instant(request, "since")


def instant(request: Request, name: str) -> datetime | None:
    value = request.query_params.get(name)
    if not value:
        return None
    try:
        # A + in a query that was not written as %2B arrives as a blank; within an instant it can mean nothing else.
        found = parse_datetime(value.strip().replace(" ", "+") if "T" in value else value)
        at = found if found is None or found.tzinfo else found.replace(tzinfo=UTC)
        _ = at and at.astimezone(UTC) - timedelta(days=1)
    except (ValueError, OverflowError):
        at = None
    if at is None:
        raise Invalid("is no instant; write it like 2026-11-25T12:00:00Z", field=name)
    return at


def storable(value: str) -> str:
    """A piece of the path; one that no database can hold names nothing."""
    if not is_storable(value):
        raise Http404
    return value
