"""What the lessons come to: rates, times and trends over a day, a week or all of it, from sums by the hour.

Rules that this module keeps:
1. Only the roll-ups are read, never the lessons: a million outcomes cost what a thousand do.
2. Windows begin at a full hour.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F, Min, QuerySet, Sum
from django.db.models.functions import TruncDay

from learning.models import Hour, Repair
from selfheal.lessons import Status, lower_bound, quantile, rate

SPANS: dict[str, timedelta | None] = {"24h": timedelta(hours=24), "7d": timedelta(days=7), "all": None}
MOST = 10  # rankings, and lines of the trend
RUNS = ("runs", "runs_succeeded", "runs_failed", "runs_rolled_back", "runs_aborted", "runs_ended", "held", "not_held")
SUMS = {f"sum_{name}": Sum(name) for name in (*RUNS, "milliseconds")}


def learning(time_bucket: str, at: datetime, service: str = "", playbook: str = "") -> dict[str, Any]:
    """`GET /api/self_heal/learning` as the contract shapes it. `time_bucket`: all, 24h or 7d."""
    chosen = {name: value for name, value in (("service", service), ("playbook", playbook)) if value}
    hours, repairs = _within(Hour.objects.filter(**chosen), time_bucket, at), Repair.objects.filter(**chosen)
    repairs = _within(repairs, time_bucket, at)
    whole = _group(hours, repairs, ())[0]
    by_playbook = _group(hours, repairs, ("playbook",))
    return {
        "time_bucket": time_bucket,
        "time_range": {"from": _begin(time_bucket, at) or hours.aggregate(first=Min("hour"))["first"], "to": at},
        "total_runs": whole["total"],
        "overall_success_rate": whole["success_rate"],
        "by_status": hours.aggregate(**{status.value: Sum(status.value, default=0) for status in Status}),
        "by_diagnosis": _group(hours, repairs, ("diagnosis",)),
        "by_playbook": by_playbook,
        "by_service": _group(hours, repairs, ("service",)),
        "playbook_rankings": sorted(by_playbook, key=_best)[:MOST],
        "recent_trends": _trends(hours),
        "aggregates": {span: _group(_within(Hour.objects.filter(**chosen), span, at), None, ())[0] for span in SPANS},
        "metadata": {"timestamp": at},
    }


def _begin(span: str, at: datetime) -> datetime | None:
    length = SPANS[span]
    return (at - length).replace(minute=0, second=0, microsecond=0) if length else None


def _within(rows: QuerySet[Any], span: str, at: datetime) -> QuerySet[Any]:
    begin = _begin(span, at)
    return rows.filter(hour__gte=begin) if begin else rows


def _group(hours: QuerySet[Hour], repairs: QuerySet[Repair] | None, by: tuple[str, ...]) -> list[dict[str, Any]]:
    """A row for each value of `by` (none: one for all), the most runs first. `repairs` None: without times to repair."""
    times: dict[tuple[Any, ...], dict[int, int]] = defaultdict(dict)
    for row in repairs.values(*by, "bucket").annotate(times=Sum("count")) if repairs is not None else ():
        times[tuple(row[name] for name in by)][row["bucket"]] = row["times"]
    sums = hours.values(*by).annotate(**SUMS).order_by(*by) if by else [hours.aggregate(**SUMS)]
    rows = [_row(sum_, {name: sum_[name] for name in by}, times, repairs is not None) for sum_ in sums]
    return sorted(rows, key=lambda row: -row["total"])


def _row(sums: Mapping[str, Any], named: dict[str, Any], times: Mapping[Any, dict[int, int]], repaired: bool) -> dict[str, Any]:
    said = {name: sums[f"sum_{name}"] or 0 for name in (*RUNS, "milliseconds")}
    started, succeeded = said["runs"], said["runs_succeeded"]
    row = {
        **named,
        "total": started,
        **{name: said[f"runs_{name}"] for name in ("succeeded", "failed", "rolled_back", "aborted")},
        "held": said["held"],
        "not_held": said["not_held"],
        "success_rate": rate(succeeded, started),
        "success_rate_lower_bound": lower_bound(succeeded, started),
        "avg_duration_seconds": round(said["milliseconds"] / said["runs_ended"] / 1000, 3) if said["runs_ended"] else None,
    }
    if repaired:
        mine = times.get(tuple(named.values()), {})
        row |= {f"mttr_seconds_p{round(share * 100)}": quantile(mine, share) for share in (0.5, 0.9)}
    return row


def _best(row: Mapping[str, Any]) -> tuple[float, str]:
    bound = row["success_rate_lower_bound"]
    return -(bound if bound is not None else -1.0), row["playbook"]


def _trends(hours: QuerySet[Hour]) -> list[dict[str, Any]]:
    """The newest days in which something started, the newest first."""
    days = hours.filter(runs__gt=0).annotate(day=TruncDay("hour")).values("day")
    rows = days.annotate(total=Sum("runs"), succeeded=Sum("runs_succeeded")).order_by(F("day").desc())[:MOST]
    return [{**row, "success_rate": rate(row["succeeded"], row["total"])} for row in rows]
