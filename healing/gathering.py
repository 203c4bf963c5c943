"""What a playbook gathers: read before the decision, and again by the runner before its first step.

Rules that this module keeps:
1. Nothing that may change something is done: the plan holds only checks, and actions that say that they are read-only.
2. It is bounded: each by its timeout, all of one triage by the time that is left of it. No transaction is open meanwhile.
3. What a check says is an answer, no as well as yes. What could not be read, or an action that failed, makes it not applicable.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from healing.context import context_of
from healing.looking import Look, Seen, take
from selfheal.errors import NotApplicable
from selfheal.playbooks import gathered

SECONDS = 20.0  # of gathering in one triage of one incident


def gather(planned: Sequence[Mapping[str, Any]], service: str, until: float) -> dict[str, Any]:
    """The value of each thing planned, by its id; `until` is an instant of `time.monotonic`. Raises NotApplicable."""
    values: dict[str, Any] = {}
    for each in planned:
        left = until - time.monotonic()
        if left <= 0:
            raise NotApplicable(f"gather {each['id']}: there is no time left to read it in this look")
        values[each["id"]] = value_of(each, take(_look(each, service, min(left, each["timeout_ms"] / 1000))))
    return values


def value_of(planned: Mapping[str, Any], seen: Seen) -> dict[str, Any]:
    """What a plan keeps of it. Raises NotApplicable, with the reason."""
    if not seen.answered or ("action" in planned and not seen.ok):
        raise NotApplicable(f"gather {planned['id']}: {seen.message}")
    try:
        return gathered(seen.ok, seen.output, seen.data)
    except NotApplicable as error:
        raise NotApplicable(f"gather {planned['id']}: {error}") from error


def _look(planned: Mapping[str, Any], service: str, bound_seconds: float) -> Look:
    kind = "action" if "action" in planned else "check"
    key, arguments = f"gather:{planned['id']}", planned["with"]
    context = context_of(service, planned["target"], key=key, bound_seconds=bound_seconds, arguments=arguments)
    return Look(kind, planned[kind], arguments, context)
