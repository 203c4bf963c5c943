"""What a body would change, told by reading alone."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from healing.intake.facts import Places
from healing.intake.lookup import among
from healing.models import Episode, UnmatchedAlert
from healing.transitions import in_batches
from selfheal.alerts import Alert, Span, place_in_time
from selfheal.mapping import Matched, Unmatched
from selfheal.states import EpisodeStatus, Severity

FIRING, RESOLVED = EpisodeStatus.FIRING, EpisodeStatus.RESOLVED
Key = tuple[str, datetime]


class Finder(Protocol):
    """Where an alert belongs; `ids` are the keys of the services by name."""

    ids: dict[str, uuid.UUID]

    def find(self, labels: Mapping[str, str]) -> Matched | Unmatched: ...


@dataclass(frozen=True)
class Known:
    """An episode that is stored."""

    pk: uuid.UUID
    status: str
    severity: str
    incident: uuid.UUID


@dataclass(frozen=True)
class Fresh:
    """An alert that is not stored yet, and its place."""

    alert: Alert
    service: uuid.UUID
    place: Matched

    @property
    def key(self) -> tuple[uuid.UUID, str, str]:
        return self.service, self.place.target, self.place.diagnosis


@dataclass
class Plan:
    """`incidents`: every incident that the body is about; `store` adds those that it opens, to `opened` too."""

    fresh: list[Fresh] = field(default_factory=list)
    ended: list[tuple[Known, Alert]] = field(default_factory=list)
    worse: list[tuple[Known, Alert]] = field(default_factory=list)
    listed: list[tuple[Alert, Unmatched]] = field(default_factory=list)
    no_longer_listed: list[str] = field(default_factory=list)
    deduplicated: int = 0
    unmatched: int = 0
    incidents: dict[uuid.UUID, None] = field(default_factory=dict)
    opened: set[uuid.UUID] = field(default_factory=set)

    @property
    def changes(self) -> bool:
        return bool(self.fresh or self.ended or self.worse or self.listed)

    @property
    def accepted(self) -> int:
        return len(self.fresh) + len(self.ended) + len(self.worse)


def plan_for(alerts: Sequence[Alert], at: datetime, places: Finder | None = None) -> Plan:
    """Compare the alerts of one body with what is stored. `places`: where their places are known already."""
    merged = _merged(_begun(alerts, at))
    plan = Plan(deduplicated=len(alerts) - len(merged))
    known = _known(list(merged))
    for key, alert in merged.items():
        if key in known:
            plan.incidents.setdefault(known[key].incident)
            _compare(plan, known[key], alert)
    _place(plan, [alert for key, alert in merged.items() if key not in known], places)
    return plan


def _compare(plan: Plan, known: Known, alert: Alert) -> None:
    if known.status == FIRING and alert.status == RESOLVED:
        plan.ended.append((known, alert))
    elif known.status == FIRING and _rank(alert.severity) > _rank(known.severity):
        plan.worse.append((known, alert))
    else:
        plan.deduplicated += 1


def _place(plan: Plan, alerts: Sequence[Alert], places: Finder | None) -> None:
    if not alerts:
        return
    listed = _listed(alerts)
    places = places or Places([alert.labels for alert in alerts])
    for alert in alerts:
        found = places.find(alert.labels)
        if isinstance(found, Matched):
            plan.fresh.append(Fresh(alert, places.ids[found.service], found))
        else:
            plan.unmatched += 1
            if _is_news(alert, found, listed.get(alert.fingerprint)):
                plan.listed.append((alert, found))
    plan.no_longer_listed = [new.alert.fingerprint for new in plan.fresh if new.alert.fingerprint in listed]


def _is_news(alert: Alert, found: Unmatched, row: UnmatchedAlert | None) -> bool:
    """Whether the list of unmatched alerts changes: an older episode never overwrites a newer one, resolved is final."""
    if row is None:
        return True
    if row.starts_at != alert.starts_at:
        return alert.began > row.starts_at
    if row.status == RESOLVED:
        return False
    return alert.status != row.status or (found.reason[:300], found.suggestion) != (row.reason, row.suggestion)


def _merged(alerts: Iterable[Alert]) -> dict[Key, Alert]:
    """One alert an episode; within a body too, resolved is final."""
    merged: dict[Key, Alert] = {}
    for alert in alerts:
        if alert.starts_at is None:
            continue
        before = merged.setdefault((alert.fingerprint, alert.starts_at), alert)
        if before.status != RESOLVED:
            merged[alert.fingerprint, alert.starts_at] = alert
    return merged


def _begun(alerts: Sequence[Alert], at: datetime) -> list[Alert]:
    """The alerts, each with its beginning: that of the episode that is firing, or now. What ends nothing keeps none."""
    open_ended = [alert.fingerprint for alert in alerts if alert.starts_at is None and alert.said_at is None]
    if not open_ended and all(alert.starts_at for alert in alerts):
        return list(alerts)
    begun: dict[str, datetime] = {}
    for some in in_batches(open_ended):
        for model in (UnmatchedAlert, Episode):
            rows = model.objects.filter(fingerprint__in=some, status=FIRING).order_by("starts_at")
            begun.update(rows.values_list("fingerprint", "starts_at"))
    first = {alert.fingerprint for alert in alerts if alert.status == FIRING}
    spans = Spans()

    def beginning(alert: Alert) -> datetime | None:
        if alert.starts_at or alert.said_at:
            return alert.starts_at or spans.beginning(alert)
        return begun.get(alert.fingerprint) or (at if alert.fingerprint in first else None)

    in_time = sorted(alerts, key=lambda alert: alert.said_at or at)
    return [replace(alert, starts_at=beginning(alert)) for alert in in_time]


class Spans:
    """The newest episode of each alert, for events that speak of an instant: the order in which they arrive does not matter."""

    def __init__(self) -> None:
        self.newest: dict[str, Span | None] = {}

    def beginning(self, alert: Alert) -> datetime | None:
        """When the episode began that the event belongs to; None: it ends nothing."""
        name = alert.fingerprint
        if name not in self.newest:
            self.newest[name] = _newest(name)
        began, after = place_in_time(self.newest[name], alert)
        self.newest[name] = after
        return began


def _newest(fingerprint: str) -> Span | None:
    """One look into the index, however many episodes there were."""
    here = Episode.objects.filter(fingerprint=fingerprint).order_by("-starts_at")
    found = here.values_list("starts_at", "ends_at", "status").first()
    if found is None:
        listed = UnmatchedAlert.objects.filter(fingerprint=fingerprint)
        found = listed.values_list("starts_at", "last_seen_at", "status").first()
    return Span(found[0], found[1] if found[2] == RESOLVED else None) if found else None


def _known(keys: Sequence[Key]) -> dict[Key, Known]:
    found: dict[Key, Known] = {}
    for some in in_batches(keys):
        rows = Episode.objects.filter(pk__in=among(Episode, ("fingerprint", "starts_at"), some)).order_by()
        for row in rows.values_list("fingerprint", "starts_at", "pk", "status", "severity", "incident_id"):
            found[row[0], row[1]] = Known(*row[2:])
    return found


def _listed(alerts: Sequence[Alert]) -> dict[str, UnmatchedAlert]:
    found: dict[str, UnmatchedAlert] = {}
    for some in in_batches([alert.fingerprint for alert in alerts]):
        for row in UnmatchedAlert.objects.filter(fingerprint__in=some).defer("labels", "annotations"):
            found[row.fingerprint] = row
    return found


def _rank(severity: str) -> int:
    return list(Severity).index(Severity(severity))
