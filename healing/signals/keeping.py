"""What nobody measures any more becomes unknown; what nobody looks at any more is deleted. Done by the beat, in small pieces."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q

from healing.models import Episode, Incident, Sample, Signal
from healing.transitions import BATCH, Line, in_batches, record_many
from selfheal.alerts import fingerprint_of
from selfheal.signals import FUTURE, is_stale
from selfheal.states import EpisodeStatus, Health, IncidentStatus

from .receiving import SEVERITY, SOURCE, kept, labels_of, line_of, window

FORGET = timedelta(days=1)  # a signal that was unknown for so long is not one any more
PRUNE = 10_000  # samples in one go
ACTOR = "scheduler"


def expire(at: datetime) -> int:
    """Move the signals to `unknown` whose newest sample says nothing about now; how many."""
    moved = 0
    for quiet in (Q(seen_at__lt=at - window()), Q(seen_at__gt=at + FUTURE)):
        while some := _expire_some(quiet, at):
            moved += some
    return moved


def prune(at: datetime) -> int:
    """Delete samples that no window reaches, and signals that nobody sends; how many samples."""
    pruned = 0
    for old in (Q(at__lt=at - kept()), Q(at__gt=at + FUTURE)):
        some = list(Sample.objects.filter(old).order_by("at").values_list("pk", flat=True)[:PRUNE])
        for batch in in_batches(some):
            Sample.objects.filter(pk__in=batch).delete()
        pruned += len(some)
    Signal.objects.filter(seen_at__lt=at - FORGET, state=Health.UNKNOWN).delete()
    return pruned


def _expire_some(quiet: Q, at: datetime) -> int:
    known = Signal.objects.filter(quiet).exclude(state=Health.UNKNOWN)
    with transaction.atomic():
        some = list(known.order_by("seen_at").values_list("pk", flat=True)[:BATCH])
        rows = list(known.filter(pk__in=some).select_for_update(of=("self",)).select_related("service").order_by("pk"))
        if not rows:
            return 0
        places = [(row.service.name, row.target, row.metric) for row in rows]
        lines = [
            Line("changed", line_of(*place, row.state, Health.UNKNOWN, row.value))
            for place, row in zip(places, rows, strict=True)
        ]
        head = {"source": "window", "reason": f"no sample for {window().total_seconds() / 60:.0f} min"}
        record_many(lines, actor=ACTOR, action="signals.changed", resource="signals:window", at=at, head=head)
        Signal.objects.filter(pk__in=some).update(state=Health.UNKNOWN, since=at, candidate="", times=0)
        bad = [place for place, row in zip(places, rows, strict=True) if row.state in SEVERITY]
        _rest([fingerprint_of(labels_of(*place)) for place in bad], at)
    return len(rows)


def _rest(prints: Collection[str], at: datetime) -> None:
    """Incidents that only such signals tell of are not triaged on old numbers."""
    firing = Episode.objects.filter(status=EpisodeStatus.FIRING).order_by()
    about = set(firing.filter(fingerprint__in=prints, source=SOURCE).values_list("incident_id", flat=True))
    others = firing.filter(incident__in=about).exclude(fingerprint__in=prints).values_list("incident_id", "source", "labels")
    told = {incident for incident, source, labels in others if source != SOURCE or _is_measured(labels, at)}
    reason = f"nothing was measured for {window().total_seconds() / 60:.0f} min: the next sample decides"
    why = {"skip": "stale_signal", "reason": reason, "since": at.isoformat(), "at": at.isoformat(), "next_look_at": None}
    resting = Incident.objects.filter(pk__in=about - told, status=IncidentStatus.OPEN)
    resting.update(next_look_at=None, looked_at=at, why=why)


def _is_measured(labels: dict[str, str], at: datetime) -> bool:
    here = Signal.objects.filter(service__name=labels["service"], target=labels["instance"], metric=labels["alertname"])
    return any(not is_stale(seen_at, at, window()) for seen_at in here.values_list("seen_at", flat=True))
