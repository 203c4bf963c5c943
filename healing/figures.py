"""The numbers of the dashboard, of the last 24 hours or 7 days.

Rules that this module keeps:
1. Every query is bounded by an index on a time: it costs what happened in the span, whatever the history is.
2. Percentiles are of the newest `MOST` at most.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Q
from django.db.models.fields.json import KT
from django.utils import timezone

from healing.models import ApprovalRequest, Counter, Incident, Run
from healing.plots import Plot, Series, bars, lines, lying, percentile
from selfheal.states import ApprovalStatus, IncidentStatus, RunStatus, Verdict

MOST = 5_000  # of which percentiles are taken
SHOWN = 8  # playbooks, reasons
DEFERRED = timedelta(days=1)  # how long a run may have waited before it healed something in the span
OVER = (IncidentStatus.RESOLVED, IncidentStatus.CLOSED)
ANSWERED = (ApprovalStatus.APPROVED, ApprovalStatus.REJECTED)


@dataclass(frozen=True)
class Span:
    """A stretch of time in equal parts. The last one has now in it, so that all begin on the hour."""

    name: str
    end: datetime
    parts: int
    part: timedelta

    @classmethod
    def named(cls, name: str, at: datetime) -> Span:
        """`7d`, or `24h`, which everything else is."""
        hour = timezone.localtime(at).replace(minute=0, second=0, microsecond=0)
        if name != "7d":
            return cls("24h", hour + timedelta(hours=1), 24, timedelta(hours=1))
        return cls("7d", hour + timedelta(hours=6 - hour.hour % 6), 28, timedelta(hours=6))

    @property
    def since(self) -> datetime:
        return self.end - self.parts * self.part

    @property
    def labels(self) -> list[str]:
        """When each part begins, in the zone of the page."""
        form = "%H:%M" if self.name == "24h" else "%a %H:%M"
        return [f"{timezone.localtime(self.since + place * self.part):{form}}" for place in range(self.parts)]

    def place(self, moment: datetime) -> int:
        return min(int((moment - self.since) / self.part), self.parts - 1)

    def counts(self, field: str) -> dict[str, Count]:
        """For `aggregate`: how many rows have `field` in each part."""
        edges = [self.since + place * self.part for place in range(self.parts + 1)]
        return {
            f"p{place}": Count("pk", filter=Q(**{f"{field}__gte": edges[place], f"{field}__lt": edges[place + 1]}))
            for place in range(self.parts)
        }


def plots(span: Span, may: Callable[[str], bool], seconds: Callable[[float], str]) -> list[Plot]:
    """Those that somebody with these permissions may see; `seconds` writes a length of time."""
    found = []
    if may("healing.view_incident"):
        found += [opened_and_healed(span), time_to_repair(span, seconds)]
    if may("healing.view_approvalrequest"):
        found.append(approval_wait(span, seconds))
    if may("healing.view_run"):
        found += [autonomy(span), skips()]
    return found


def opened_and_healed(span: Span) -> Plot:
    opened = Incident.objects.filter(status__in=IncidentStatus, opened_at__gte=span.since, opened_at__lt=span.end)
    healed = Run.objects.filter(status=RunStatus.SUCCEEDED, created_at__gte=span.since - DEFERRED, finished_at__gte=span.since)
    series = [
        Series("opened", "plot-bad", list(opened.aggregate(**span.counts("opened_at")).values())),
        Series("healed by us", "plot-good", list(healed.aggregate(**span.counts("finished_at")).values())),
    ]
    return bars("incidents", "Incidents opened and healed", span.labels, series, empty="No incident in this time.")


def time_to_repair(span: Span, seconds: Callable[[float], str]) -> Plot:
    """From opened to resolved, of what was opened in the span and is over."""
    rows = Incident.objects.filter(status__in=OVER, opened_at__gte=span.since, resolved_at__isnull=False).order_by("-opened_at")
    pairs = rows.values_list("opened_at", "resolved_at")[:MOST]
    return _spread("mttr", "Time to repair", span, pairs, seconds, "Nothing that was opened in this time is over.")


def approval_wait(span: Span, seconds: Callable[[float], str]) -> Plot:
    """From asked to answered. What was asked in the span expires after its start: so the index on the expiry bounds it."""
    rows = ApprovalRequest.objects.filter(
        status__in=ANSWERED, expires_at__gte=span.since, created_at__gte=span.since, decided_at__isnull=False
    ).order_by("-expires_at")
    pairs = rows.values_list("created_at", "decided_at")[:MOST]
    return _spread("approvals", "Wait for an approval", span, pairs, seconds, "Nobody was asked and answered in this time.")


def autonomy(span: Span) -> Plot:
    """What policy said of each playbook's proposals."""
    rows = Run.objects.filter(status__in=RunStatus, created_at__gte=span.since)
    found = rows.order_by().values_list("playbook__name", KT("decision__verdict")).annotate(times=Count("pk"))
    times = {(name, verdict): count for name, verdict, count in found}
    totals = Tally[str]()
    for (name, _), count in times.items():
        totals[name] += count
    names = [name for name, _ in totals.most_common(SHOWN)]
    kinds = (
        ("alone", Verdict.AUTO, "plot-good"),
        ("a person is asked", Verdict.APPROVAL, "plot-ask"),
        ("waits", Verdict.DEFER, "plot-wait"),
        ("denied", Verdict.DENY, "plot-bad"),
    )
    series = [Series(what, colour, [times.get((name, verdict), 0) for name in names]) for what, verdict, colour in kinds]
    return lying("autonomy", "Autonomy by playbook", names, series, empty="Nothing was proposed in this time.")


def skips() -> Plot:
    """Counted since the installation began: rows that are there once for each reason."""
    rows = Counter.objects.filter(service="", name__startswith="skipped_", value__gt=0).order_by("-value")[:SHOWN]
    found = [(row.name.removeprefix("skipped_").replace("_", " "), row.value) for row in rows]
    series = [Series("looks that proposed nothing", "plot-wait", [value for _, value in found])]
    title = "Skips by reason, since the installation began"
    return lying("skips", title, [name for name, _ in found], series, empty="Nothing was passed over yet.")


def _spread(
    key: str,
    title: str,
    span: Span,
    pairs: Iterable[tuple[datetime, datetime | None]],
    seconds: Callable[[float], str],
    empty: str,
) -> Plot:
    """p50 and p90 of the time from the first to the second, by when the first was."""
    parts: list[list[float]] = [[] for _ in range(span.parts)]
    for began, ended in pairs:
        if ended is not None:
            parts[span.place(began)].append(max((ended - began).total_seconds(), 0.0))
    every = [value for part in parts for value in part]
    p50, p90 = percentile(every, 0.5), percentile(every, 0.9)
    if p50 is not None and p90 is not None:
        title = f"{title}: p50 {seconds(p50)}, p90 {seconds(p90)}"
    series = [
        Series("p50", "plot-good", [percentile(part, 0.5) for part in parts]),
        Series("p90", "plot-ask", [percentile(part, 0.9) for part in parts]),
    ]
    return lines(key, title, span.labels, series, text=seconds, empty=empty)
