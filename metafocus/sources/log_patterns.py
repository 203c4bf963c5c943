"""The log: the same error of steps at one place, again and again, whatever the playbook was."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from healing.models import LedgerEntry, Run
from metafocus.models import Cycle
from selfheal.sources import RECURRING_WITHIN, Candidate, Error, recurring

ACTIONS = ("step.failed", "step.timed_out")
PHASES = ("gather", "step", "rollback")  # a check that does not pass says what is so; these could not be done
ENTRIES = 500  # of each action, the newest


def look(cycle: Cycle, at: datetime) -> list[Candidate]:
    """Of the last ten minutes, read by the index on actions from its end."""
    leaves = [leaf for action in ACTIONS for leaf in _lately(action, at) if leaf["payload"].get("phase") in PHASES]
    runs = {uuid.UUID(leaf["resource"].partition(":")[2]) for leaf in leaves}
    services = dict(Run.objects.filter(pk__in=runs).values_list("pk", "service__name"))
    return recurring(error for leaf in leaves if (error := _error(leaf, services)))


def _lately(action: str, at: datetime) -> Iterator[dict[str, Any]]:
    rows = LedgerEntry.objects.filter(action=action).order_by("-index").values_list("at", "leaf")[:ENTRIES]
    return (json.loads(bytes(leaf)) for said_at, leaf in rows if at - RECURRING_WITHIN < said_at <= at)


def _error(leaf: dict[str, Any], services: dict[uuid.UUID, str]) -> Error | None:
    """What the step said, without its own name before the colon."""
    service = services.get(uuid.UUID(leaf["resource"].partition(":")[2]))
    reason = str(leaf["payload"].get("reason", ""))
    message = reason.partition(": ")[2] or reason
    return Error(service, str(leaf["payload"].get("target", "")), message) if service and message else None
