"""`http`: services that answer to HTTP, wherever they run.

The page that is asked is `/health` of the target (the label `health_path` names another), as the playbooks verify it. What
answers with 2xx is up; 5xx or no answer is down. Anything else says neither: who asks for a password or knows no such page may
be well.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from healing.checks.http_health import PATH
from healing.http import Response, Unreachable, Unresolved, fetch
from selfheal.errors import Invalid, NotAllowed
from selfheal.signals import Threshold
from selfheal.telemetry import known

from .base import Around, Metric, Place, Placed, Seen, each

SECONDS = 5.0  # for one answer
DAY = 86_400


class Http(Placed):
    """Services that answer to HTTP: whether they do, how fast, and how long their certificate lasts."""

    name = "http"
    telemetry = (
        known("up", "1: its health page answers with 2xx; 0: with 5xx, or there is no answer"),
        known("latency_ms", "until the whole answer of its health page was there", "ms"),
        Metric("http.status", "status code", "of its health page"),
        Metric(
            "http.certificate_days",
            "days",
            "until its certificate ends; one that has ended is no answer",
            Threshold("certificate_expiry", degraded=14, critical=3, below=True),
        ),
    )
    actions = ("process.restart", "http.request", "wait", "cache.warm", "breakers.flush", "flag.set", "instances.scale")
    checks = ("http_health", "metrics_threshold", "metrics_trend")
    playbooks = ("restart-process", "watch-recovery")

    def sense(self, places: Sequence[Place], around: Around) -> list[Seen]:
        return each(places, lambda place: _look(place, around), around.until)


def _look(place: Place, around: Around) -> Seen:
    base = place.target_url or place.url
    if not base:
        return Seen(place, why="it has no address: give the service or its targets a `url`")
    url = base.rstrip("/") + place.labels.get("health_path", PATH)
    began = time.monotonic()
    try:
        answer = fetch("GET", url, around.guard, timeout=max(0.1, min(SECONDS, around.left)))
    except (Invalid, NotAllowed, Unresolved) as error:
        return Seen(place, why=str(error))
    except Unreachable as error:
        if around.left <= 0:
            return Seen(place, why=f"it had no time left to answer: {error}")
        return Seen(place, {"up": 0.0}, str(error))
    return _judged(place, url, answer, (time.monotonic() - began) * 1000, around)


def _judged(place: Place, url: str, answer: Response, took: float, around: Around) -> Seen:
    values = {"http.status": float(answer.status)}
    if answer.certificate_ends is not None:
        values["http.certificate_days"] = (answer.certificate_ends - around.at.timestamp()) / DAY
    if 200 <= answer.status < 300:
        return Seen(place, {**values, "up": 1.0, "latency_ms": took})
    if answer.status >= 500:
        return Seen(place, {**values, "up": 0.0}, f"{url} answers {answer.status}")
    return Seen(
        place, values, f"{url} answers {answer.status}, which says neither: name its health page by the label `health_path`"
    )
