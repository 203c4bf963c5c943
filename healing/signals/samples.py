"""The samples that a check looks at. A check runs in a child without a database, so the worker hands them in."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from healing.models import Sample

MOST = 1_000  # of one signal, the newest


def recent(service: str, target: str, arguments: Mapping[str, Any], at: datetime) -> tuple[tuple[float, float], ...]:
    """(seconds ago, value) of the signal that frozen arguments name, within their window, the newest first."""
    name, window = arguments.get("signal"), arguments.get("window_ms")
    if not isinstance(name, str) or not isinstance(window, int):
        return ()
    since = at - timedelta(milliseconds=window)
    here = Sample.objects.filter(service__name=service, target=target, metric=name, at__gte=since, at__lte=at)
    rows = here.order_by("-at").values_list("at", "value")[:MOST]
    return tuple(((at - measured_at).total_seconds(), value) for measured_at, value in rows)
