"""Samples in: stored, judged, and what follows from them, all of a body or nothing."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, OperationalError, transaction

from healing import adapters, catalog, intake
from healing.intake.facts import Places
from healing.intake.lookup import among
from healing.intake.plan import Plan, plan_for
from healing.intake.store import Raced, store
from healing.models import Incident, Sample, Signal
from healing.transitions import BATCH, Line, in_batches, record_many
from selfheal.alerts import Alert, Rejection, fingerprint_of
from selfheal.diagnosis import diagnose
from selfheal.errors import Invalid
from selfheal.mapping import Matched
from selfheal.signals import (
    BUILT_IN,
    Condition,
    Measured,
    Threshold,
    begin,
    is_news,
    is_stale,
    read_samples,
    step,
)
from selfheal.states import EpisodeStatus, Health, IncidentStatus, Severity

ATTEMPTS = 10
LONGEST_WINDOW = timedelta(hours=1)  # of a check that reads samples
SOURCE = "signal"
SEVERITY = {Health.DEGRADED: Severity.MEDIUM, Health.CRITICAL: Severity.CRITICAL}
FOLLOWS = ["state", "since", "value", "seen_at", "candidate", "times"]  # of a signal: what its samples decide
Key = tuple[uuid.UUID, str, str]  # service, target, metric

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Change:
    """What became of one signal in one body."""

    key: Key
    service: str
    before: Health
    after: Condition
    threshold: Threshold

    @property
    def target(self) -> str:
        return self.key[1]

    @property
    def metric(self) -> str:
        return self.key[2]

    @property
    def labels(self) -> dict[str, str]:
        return labels_of(self.service, self.target, self.metric)


@dataclass
class Taken:
    """What became of the samples of one body."""

    accepted: int = 0
    deduplicated: int = 0
    unmatched: int = 0
    why_unmatched: str = ""
    changes: list[Change] = field(default_factory=list)
    incidents: list[uuid.UUID] = field(default_factory=list)


def receive(body: bytes, *, actor: str, at: datetime, token: str = "") -> dict[str, Any]:
    """Take one sample or an array of them.

    Returns {accepted, deduplicated, unmatched, rejected: [{index, field, reason}], incidents: [id]}. Raises Invalid.
    """
    read = read_samples(body, at, kept())
    taken = take(read.samples, origin="api", actor=actor, at=at, token=token, rejected=read.rejected)
    if taken.unmatched:
        logger.warning("%d samples of %r match no service, the first: %r", taken.unmatched, actor, taken.why_unmatched)
    return {
        "accepted": taken.accepted,
        "deduplicated": taken.deduplicated,
        "unmatched": taken.unmatched,
        "rejected": [{"index": r.index, "field": r.field, "reason": r.reason} for r in read.rejected],
        "incidents": [str(incident) for incident in taken.incidents],
    }


def take(
    samples: Sequence[Measured],
    *,
    origin: str,
    actor: str,
    at: datetime,
    token: str = "",
    rejected: Sequence[Rejection] = (),
) -> Taken:
    """Store the samples and what follows from them. What two bodies do at the same moment is settled by the database."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with transaction.atomic():
                taken = _take(samples, at)
                if taken.changes:
                    head = {"source": origin, "token": token, "counts": _counts(taken, rejected)}
                    _follow(taken, head, actor, at)
            break
        except (IntegrityError, OperationalError, Raced) as error:
            if attempt == ATTEMPTS or not intake.is_race(error):
                raise
    return taken


def kept() -> timedelta:
    """For how long a sample is kept: as the setting says, and as long as anybody looks back."""
    return max(window(), LONGEST_WINDOW, timedelta(hours=settings.SELF_HEAL_KEEP_SIGNALS_HOURS))


def window() -> timedelta:
    return timedelta(minutes=settings.SELF_HEAL_SIGNAL_WINDOW_MIN)


def labels_of(service: str, target: str, metric: str) -> dict[str, str]:
    """The labels of the alert of a signal, by which it is known."""
    return {"alertname": metric, "service": service, "instance": target}


def thresholds() -> Mapping[str, Threshold]:
    """What signals.yaml says; while that is wrong, what is known without it: samples must not be lost for it."""
    known = {**adapters.thresholds(), **BUILT_IN}
    try:
        return catalog.signals().thresholds(known)
    except Invalid as error:
        logger.error("signals.yaml is wrong, only the built-in thresholds count: %s", error)
        return known


def _take(samples: Sequence[Measured], at: datetime) -> Taken:
    taken, names = Taken(), dict[uuid.UUID, str]()
    rows: dict[tuple[Key, datetime], float] = {}
    for sample, place, service in _placed(samples):
        if not isinstance(place, Matched):
            taken.unmatched += 1
            taken.why_unmatched = taken.why_unmatched or place
            continue
        names[service] = place.service
        rows.setdefault(((service, place.target, sample.metric), sample.at), sample.value)
    known = _known(rows)
    fresh = {row: value for row, value in rows.items() if row not in known}
    taken.accepted = len(fresh)
    taken.deduplicated = len(samples) - taken.unmatched - len(fresh)
    Sample.objects.bulk_create(
        [
            Sample(service_id=key[0], target=key[1], metric=key[2], value=value, at=measured_at)
            for (key, measured_at), value in sorted(fresh.items())
        ],
        batch_size=BATCH,
    )
    taken.changes = _judge(fresh, names, at)
    return taken


def _placed(samples: Sequence[Measured]) -> Iterable[tuple[Measured, Matched | str, uuid.UUID]]:
    """Each sample with its place, or with the reason why it has none."""
    for mapped in (False, True):
        some = [sample for sample in samples if sample.mapped is mapped]
        if some:
            places = Places([sample.labels for sample in some], mapped=mapped)
            for sample in some:
                found = places.find(sample.labels)
                if isinstance(found, Matched):
                    yield sample, found, places.ids[found.service]
                else:
                    yield sample, found.reason, uuid.UUID(int=0)


def _known(rows: Iterable[tuple[Key, datetime]]) -> set[tuple[Key, datetime]]:
    names = ("service", "target", "metric", "at")
    found: set[tuple[Key, datetime]] = set()
    for some in in_batches([(*key, measured_at) for key, measured_at in rows]):
        here = Sample.objects.filter(pk__in=among(Sample, names, some)).order_by()
        found.update(((row[0], row[1], row[2]), row[3]) for row in here.values_list("service_id", "target", "metric", "at"))
    return found


def _judge(fresh: Mapping[tuple[Key, datetime], float], names: Mapping[uuid.UUID, str], at: datetime) -> list[Change]:
    """Let the signals follow their samples, oldest first; what is too old to say how it is now is left out."""
    known = thresholds()
    series: dict[Key, list[tuple[datetime, float]]] = {}
    for (key, measured_at), value in sorted(fresh.items()):
        if key[2] in known and measured_at >= at - window():
            series.setdefault(key, []).append((measured_at, value))
    standing = _locked(series)
    created: list[Signal] = []
    updated: list[Signal] = []
    changes = []
    for key, points in series.items():
        row, threshold = standing.get(key), known[key[2]]
        before = _condition(row, at) if row else None
        after = _followed(before, points, threshold, at)
        if after is None or after == before:
            continue
        was = Health(row.state) if row else Health.UNKNOWN
        if after.health is not was:
            changes.append(Change(key, names[key[0]], was, after, threshold))
        (updated if row else created).append(_row(key, after))
    Signal.objects.bulk_create(created, batch_size=BATCH)
    # An upsert of rows that are there and locked: `bulk_update` would take ten times as long.
    Signal.objects.bulk_create(
        updated,
        batch_size=BATCH,
        update_conflicts=True,
        unique_fields=["service", "target", "metric"],
        update_fields=FOLLOWS,
    )
    return changes


def _locked(keys: Iterable[Key]) -> dict[Key, Signal]:
    found: dict[Key, Signal] = {}
    for some in in_batches(sorted(keys)):
        here = among(Signal, ("service", "target", "metric"), some)
        for row in Signal.objects.select_for_update().filter(pk__in=here).order_by("pk"):
            found[row.service_id, row.target, row.metric] = row
    return found


def _condition(row: Signal, at: datetime) -> Condition:
    """The condition of a row. What was not measured lately is unknown, whether the tick has written that down or not."""
    if is_stale(row.seen_at, at, window()):
        since = row.since if row.state == Health.UNKNOWN else at
        return Condition(Health.UNKNOWN, since, row.value, row.seen_at)
    candidate = Health(row.candidate) if row.candidate else None
    return Condition(Health(row.state), row.since, row.value, row.seen_at, candidate, row.times)


def _followed(
    before: Condition | None, points: Sequence[tuple[datetime, float]], threshold: Threshold, at: datetime
) -> Condition | None:
    now = before
    for measured_at, value in points:
        if now is None:
            now = begin(threshold.judge(value), value, measured_at)
        elif is_news(measured_at, now.seen_at, at):
            now = step(now, threshold.judge(value), value, measured_at)
    return now


def _row(key: Key, now: Condition) -> Signal:
    service, target, metric = key
    place = {"service_id": service, "target": target, "metric": metric}
    said = {"state": now.health, "since": now.since, "value": now.value, "seen_at": now.seen_at}
    return Signal(**place, **said, candidate=now.candidate or "", times=now.times)


def _counts(taken: Taken, rejected: Sequence[Rejection]) -> dict[str, int]:
    return {
        "accepted": taken.accepted,
        "deduplicated": taken.deduplicated,
        "unmatched": taken.unmatched,
        "rejected": len(rejected),
    }


def _follow(taken: Taken, head: Mapping[str, Any], actor: str, at: datetime) -> None:
    """The entry that tells of the changes, and the alerts that begin or end by them."""
    lines = [
        Line("changed", line_of(c.service, c.target, c.metric, c.before, c.after.health, c.after.value)) for c in taken.changes
    ]
    record_many(lines, actor=actor, action="signals.changed", resource=f"signals:{head['source']}", at=at, head=head)
    alerts = [_alert(change) for change in taken.changes if change.after.health is not Health.UNKNOWN]
    plan = plan_for(alerts, at, _Here(taken.changes))
    if plan.changes:
        counts = {"accepted": plan.accepted, "deduplicated": plan.deduplicated}
        store(plan, head={"source": SOURCE, "token": head["token"], "counts": counts}, actor=actor, at=at, look=intake.look)
    taken.incidents = list(plan.incidents)
    _wake(taken.changes, plan, at)


def line_of(service: str, target: str, metric: str, before: str, after: str, value: float) -> dict[str, str]:
    """One change of state, as the log tells it."""
    place = {"service": service, "target": target, "metric": metric}
    return {**place, "from": str(before), "to": str(after), "value": f"{value:.10g}"}


class _Here:
    """Where the alerts of signals belong: that is known already."""

    def __init__(self, changes: Sequence[Change]) -> None:
        self.ids = {change.service: change.key[0] for change in changes}
        self.diagnoses = {fingerprint_of(change.labels): change.threshold.diagnosis for change in changes}

    def find(self, labels: Mapping[str, str]) -> Matched:
        named = labels_of(labels["service"], labels["instance"], labels["alertname"])
        found = diagnose({}, self.diagnoses[fingerprint_of(named)])
        return Matched(labels["service"], labels["instance"], found.name, found.confidence)


def _alert(change: Change) -> Alert:
    """It fires while the signal is degraded or critical. Without a beginning: the episode that is firing, or one from now on."""
    health, value = change.after.health, f"{change.after.value:.6g}"
    firing = health in SEVERITY
    severity = SEVERITY.get(health, Severity.MEDIUM)
    where = change.target if change.target == change.service else f"{change.service}/{change.target}"
    title = f"{change.metric} of {where} is {value}: {health}"
    return Alert(
        fingerprint=fingerprint_of(change.labels),
        starts_at=None,
        status=EpisodeStatus.FIRING if firing else EpisodeStatus.RESOLVED,
        ends_at=None if firing else change.after.since,
        severity=severity,
        title=title,
        labels={**change.labels, "severity": str(severity)},
        annotations={"summary": title},
    )


def _wake(changes: Sequence[Change], plan: Plan, at: datetime) -> None:
    """What rested while its signal was unknown is looked at again when that is bad, and known to be."""
    if any(change.before is Health.UNKNOWN and change.after.health in SEVERITY for change in changes):
        for some in in_batches(list(plan.incidents)):
            asleep = Incident.objects.filter(pk__in=some, status=IncidentStatus.OPEN, next_look_at=None)
            if asleep.update(next_look_at=at):
                transaction.on_commit(intake.look)
