"""How the sources do: their terms, and precision and recall of the last seven days."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db.models import Sum

from healing import found
from metafocus.models import SourceDay
from metafocus.sources import SOURCES
from selfheal.sources import SHOWN, share

COUNTS = ("found", "opened", "right", "wrong", "foreseen", "missed")
DAYS = 7


def statistics(at: datetime) -> list[dict[str, Any]]:
    """A row a source. A share over nothing is None."""
    since = (at - timedelta(days=DAYS - 1)).date()
    sums = SourceDay.objects.filter(day__gte=since).values("source").annotate(**{f"sum_{name}": Sum(name) for name in COUNTS})
    counted: dict[str, dict[str, Any]] = {row["source"]: {**row} for row in sums}
    return [_row(trigger, counted.get(trigger, {}), at) for trigger in SOURCES]


def _row(trigger: Any, sums: dict[str, Any], at: datetime) -> dict[str, Any]:
    terms, counts = found.terms(trigger), {name: sums.get(f"sum_{name}", 0) for name in COUNTS}
    return {
        "source": trigger.value,
        "shown": SHOWN[trigger],
        "says": SOURCES[trigger].says,
        "enabled": terms.enabled,
        "shadow": SOURCES[trigger].shadow(),
        "least_confidence": terms.least_confidence,
        "hourly_limit": terms.hourly_limit,
        "opened_last_hour": found.used(trigger, at),
        **counts,
        "precision": share(counts["right"], counts["wrong"]),
        "recall": share(counts["foreseen"], counts["missed"]),
    }
