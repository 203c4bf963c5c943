"""How often something happened since the installation began, for all services together and for each.

Rules that this module keeps:
1. A counter is a row that is only ever added to, by a statement with which the database adds up: right with any number of
   workers, and after any restart.
2. The scheduler collects over a look and writes once, in the order of the keys: no row is hot, and nobody waits in a circle.
3. A skip is counted when it begins, not with each look that finds it still there: so a counter says how often healing was kept
   back, however often the scheduler looks.
4. What is proposed is counted, whatever policy says of it. Where mode, storm or window keep it from starting by itself, that is
   counted too, under their names.
"""

from __future__ import annotations

from collections import Counter as Numbers
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from django.db import connection

from healing.models import Counter
from selfheal.states import Verdict

PROPOSED = "proposed"
SKIPPED = (
    "skipped_rate", "skipped_backoff", "skipped_dup", "skipped_window", "skipped_storm", "skipped_unmapped",
    "skipped_no_playbook", "skipped_silenced", "skipped_mode",
)  # fmt: skip
SHOWN = (PROPOSED, *SKIPPED)  # by /api/self_heal/scheduler_counters; /metrics shows every one
UNDER = {"kill_switch": "mode", "not_declared": "unmapped"}  # skips that are counted under the name of another
KEPT_BY = {
    "global_mode": ("mode", (Verdict.DENY,)),
    "service_mode": ("mode", (Verdict.DENY,)),
    "kill_switch": ("mode", (Verdict.DENY,)),
    "storm": ("storm", (Verdict.APPROVAL,)),
    "change_window": ("window", (Verdict.APPROVAL, Verdict.DEFER)),
}  # rules of policy → what is counted when they say so
BATCH = 200

Key = tuple[str, str]  # service (empty: all of them), name


class Tally:
    """What one look counts, until it is written."""

    def __init__(self) -> None:
        self.numbers: Numbers[Key] = Numbers()

    def skipped(self, reason: str, service: str) -> None:
        self._count(skip_name(reason), service)

    def proposed(self, decision: Mapping[str, Any], service: str) -> None:
        """`decision` as it stands on the run."""
        self._count(PROPOSED, service)
        for name in sorted({name for rule in decision.get("rules", ()) if (name := _kept_by(rule))}):
            self._count(name, service)

    def write(self, at: datetime) -> None:
        add(self.numbers, at)
        self.numbers.clear()

    def _count(self, name: str, service: str) -> None:
        self.numbers["", name] += 1
        self.numbers[service, name] += 1


def skipped(reason: str, service: str, at: datetime) -> None:
    """Count one skip, of a proposal that a person wanted."""
    tally = Tally()
    tally.skipped(reason, service)
    tally.write(at)


def proposed(decision: Mapping[str, Any], service: str, at: datetime) -> None:
    """Count one proposal of a person."""
    tally = Tally()
    tally.proposed(decision, service)
    tally.write(at)


def skip_name(reason: str) -> str:
    return f"skipped_{UNDER.get(reason, reason)}"


def _kept_by(rule: Mapping[str, Any]) -> str:
    name, verdicts = KEPT_BY.get(rule["rule"], ("", ()))
    return skip_name(name) if rule["verdict"] in verdicts else ""


def add(numbers: Mapping[Key, int], at: datetime) -> None:
    """Add to counters, to those that are not there yet as well."""
    keys = sorted(key for key, number in numbers.items() if number)
    now = connection.ops.adapt_datetimefield_value(at)
    with connection.cursor() as cursor:
        for start in range(0, len(keys), BATCH):
            some = keys[start : start + BATCH]
            rows = ", ".join(["(%s, %s, %s, %s)"] * len(some))
            cursor.execute(
                f"INSERT INTO healing_counter (service, name, value, updated_at) VALUES {rows}"  # noqa: S608 — places only
                " ON CONFLICT (service, name) DO UPDATE"
                " SET value = healing_counter.value + excluded.value, updated_at = excluded.updated_at",
                [part for key in some for part in (*key, numbers[key], now)],
            )


def read(names: Collection[str] | None = None) -> dict[str, dict[str, Counter]]:
    """The counters by service and name; those of all services together under the empty name."""
    rows = Counter.objects.all() if names is None else Counter.objects.filter(name__in=names)
    found: dict[str, dict[str, Counter]] = {"": {}}
    for row in rows:
        found.setdefault(row.service, {})[row.name] = row
    return found
