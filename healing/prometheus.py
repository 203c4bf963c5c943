"""Prometheus asked for the value of a query, now or over a time, at its declared address only, bounded in time and size."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar
from urllib.parse import urlencode

from healing.http import Guard, Unreachable, fetch
from healing.parameters import one_line
from selfheal.errors import Invalid, NotAllowed

TIMEOUT = 10.0
RANGE_TIMEOUT = 60.0

T = TypeVar("T")


class PrometheusError(Exception):
    """Prometheus could not be asked; the message says why."""


class NoAnswer(PrometheusError):
    """Nobody answers there: no other query would be answered either."""


class TooMuch(PrometheusError):
    """The answer is over 1 MiB."""


def vector(
    base: str, promql: str, networks: Collection[str] = (), timeout: float = TIMEOUT
) -> list[tuple[dict[str, str], float]]:
    """The labels and the value of each series, now. Raises PrometheusError."""
    body = _ask(base, "query", {"query": promql}, networks, timeout)
    return _series(*body, "vector", lambda each: (_labels(each["metric"]), float(each["value"][1])))


def instants(
    base: str, promql: str, start: float, end: float, step: float, networks: Collection[str] = (), timeout: float = RANGE_TIMEOUT
) -> list[tuple[dict[str, str], list[float]]]:
    """The labels of each series, and the instants (in seconds) from `start` to `end` at which it has a value.

    Raises PrometheusError, and of it TooMuch where the time should be asked for in parts.
    """
    given = {"query": promql, "start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step:g}"}
    body = _ask(base, "query_range", given, networks, timeout)
    return _series(*body, "matrix", lambda each: (_labels(each["metric"]), [float(at) for at, _ in each["values"]]))


def _ask(base: str, call: str, given: Mapping[str, str], networks: Collection[str], timeout: float) -> tuple[bytes, int]:
    url = f"{base.rstrip('/')}/api/v1/{call}"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    body = urlencode({**given, "timeout": f"{max(timeout * 1000, 1):.0f}ms"}).encode()
    try:
        answer = fetch("POST", url, Guard.of([url], networks), headers=headers, body=body, timeout=timeout)
    except (Invalid, NotAllowed, Unreachable) as error:
        raise NoAnswer(str(error)) from error
    if answer.truncated:
        raise TooMuch("the answer is over 1 MiB: let the query give fewer series")
    return answer.body, answer.status


def _series(body: bytes, status: int, kind: str, read: Callable[[Any], T]) -> list[T]:
    try:
        answer = json.loads(body)
        if answer["status"] != "success":
            raise PrometheusError(f"Prometheus says: {one_line(str(answer.get('error', answer['status'])))}")
        if answer["data"]["resultType"] != kind:
            raise PrometheusError(f"the query gives a {answer['data']['resultType']}, and should give a {kind}")
        return [read(each) for each in answer["data"]["result"]]
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise PrometheusError(f"what answered {status} there is no Prometheus: {type(error).__name__}") from error


def _labels(metric: Mapping[str, Any]) -> dict[str, str]:
    return {str(name): str(value) for name, value in metric.items()}
