"""`http_health`: a page answers with the status that it should."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from healing.actions.http_request import Address, Expect, absolute
from healing.http import Response, Unreachable, fetch, origin, same_status
from healing.parameters import Duration, Strict, frozen, one_line, validated
from healing.result import Result
from selfheal.errors import Invalid, NotAllowed
from selfheal.places import Place

from .base import Context

PATH = "/health"
MARGIN = 0.5  # seconds before the step's own bound: so that it says itself that there was no answer


class Parameters(Strict):
    """Without `url`: `/health` of the target, or of the service if the target has no address.

    `timeout` is for all looks together; between two of them there is a `delay`.
    """

    url: Address | None = None
    expect: Expect = Expect()
    timeout: Annotated[Duration, Field(ge=10, le=60_000)] = 20_000
    retries: Annotated[int, Field(ge=0, le=10)] = 2
    delay: Annotated[Duration, Field(ge=0, le=10_000)] = 250


class HttpHealth:
    """A page answers with the status that it should; it looks again before it says no."""

    name = "http_health"
    Parameters = Parameters

    def freeze(self, given: Mapping[str, Any], place: Place) -> dict[str, Any]:
        asked = validated(Parameters, absolute(given, place))
        base = place.target_url or place.url
        if asked.url is None and not base:
            raise Invalid(f"is missing, and neither {place.target or 'the target'} nor {place.service} has one", field="url")
        return frozen(validated(Parameters, {"url": f"{base.rstrip('/')}{PATH}", **frozen(asked)}))

    def targets(self, arguments: Mapping[str, Any]) -> tuple[str, ...]:
        return (origin(arguments["url"]),)

    def dry_run(self, arguments: Mapping[str, Any]) -> str:
        asked = validated(Parameters, arguments)
        return f"GET {one_line(asked.url or '')} answers {asked.expect.status}"

    def run(self, arguments: Mapping[str, Any], context: Context) -> Result:
        asked = validated(Parameters, arguments)
        until = time.monotonic() + max(min(asked.timeout / 1000, context.bound_seconds - MARGIN), 0.01)
        for _ in range(asked.retries):
            result = _look(asked, context, until)
            if result.ok or time.monotonic() + asked.delay / 1000 >= until:
                return result
            time.sleep(asked.delay / 1000)
        return _look(asked, context, until)


def _look(asked: Parameters, context: Context, until: float) -> Result:
    started = time.monotonic()
    try:
        answer = fetch("GET", asked.url or "", context.guard, timeout=until - started)
    except (Invalid, NotAllowed, Unreachable) as error:
        return Result(False, str(error))
    return _judged(answer, asked, round((time.monotonic() - started) * 1000))


def _judged(answer: Response, asked: Parameters, took: int) -> Result:
    ok = same_status(answer.status, asked.expect.status)
    words = f"{asked.url} answered {answer.status} in {took} ms"
    return Result(ok, words if ok else f"{words}, not {asked.expect.status}", {"status": answer.status, "milliseconds": took})
