"""Writing what a body changes, in one transaction.

The incidents that are touched are locked first, in the order of their keys: so the last firing episode is the last one even
if two bodies end the last two at the same moment, and no alert joins an incident that is being resolved.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from healing import counters, flaps, ledger
from healing.incidents import reopen
from healing.intake.lookup import among
from healing.intake.plan import FIRING, RESOLVED, Fresh, Known, Plan
from healing.models import Episode, Incident, UnmatchedAlert
from healing.runs.ending import supersede
from healing.transitions import BATCH, Line, in_batches, open_incidents, record_many, resolve_incidents
from selfheal.alerts import Alert
from selfheal.states import LIVE_INCIDENT, IncidentStatus, Severity, Trigger

Key = tuple[uuid.UUID, str, str]
LIVE = ", ".join(f"'{status}'" for status in LIVE_INCIDENT)


class Raced(Exception):
    """Another body changed the same episodes first: read again."""


def store(plan: Plan, *, head: Mapping[str, Any], actor: str, at: datetime, look: Callable[[], None]) -> None:
    """Write the plan; `look` is called after the commit when there is something to look at.

    Raises IntegrityError or Raced, with nothing written, when the plan is no longer true.
    """
    with transaction.atomic():
        lines = [] if not plan.fresh else _add(plan, head["source"], at)
        lines += _worsen(plan) + _end(plan, at)
        over = _resolve(plan, at)
        lines += [Line("resolved", {"incident": str(pk)}, pk, "incident.resolved", "its last alert has ended") for pk in over]
        lines += _list(plan, at)
        unmapped = sum(alert.status == FIRING for alert, _ in plan.listed)
        counters.add({("", counters.skip_name("unmapped")): unmapped}, at)
        record_many(lines, actor=actor, action="alerts.received", resource=f"alerts:{head['source']}", at=at, head=head)
        supersede(over, actor=actor, reason="the alert has ended by itself", at=at)
        if any(new.alert.status == FIRING for new in plan.fresh):
            transaction.on_commit(look)


def _add(plan: Plan, source: str, at: datetime) -> list[Line]:
    """Insert the new episodes, into the live incident of their place or a new one."""
    live = _lock({new.key for new in plan.fresh})
    groups: dict[Key, list[Fresh]] = {}
    for new in plan.fresh:
        groups.setdefault(new.key, []).append(new)
    firing = {new.key for new in plan.fresh if new.alert.status == FIRING}
    live |= _reopen(firing - live.keys(), at)
    opened = {key: _incident(group, at) for key, group in sorted(groups.items()) if key not in live}
    open_incidents(list(opened.values()))
    incidents = live | opened
    plan.incidents.update((incidents[key].pk, None) for key in groups)
    plan.opened = {incident.pk for incident in opened.values()}
    episodes = [_episode(new, incidents[new.key], source, at) for new in plan.fresh]
    Episode.objects.bulk_create(sorted(episodes, key=lambda e: (e.fingerprint, e.starts_at)), batch_size=BATCH)
    for some in in_batches(plan.no_longer_listed):
        UnmatchedAlert.objects.filter(fingerprint__in=some).delete()
    raised = [(live[key], _worst(group)) for key, group in groups.items() if key in live]
    _wake([incident for incident, _ in raised], at)
    return _added(groups, opened, incidents) + _raise(raised)


def _lock(keys: set[Key]) -> dict[Key, Incident]:
    """The live incidents of these places, locked."""
    found: dict[Key, Incident] = {}
    for some in in_batches(sorted(keys)):
        here = among(Incident, ("service", "target", "diagnosis"), some, f"e.status IN ({LIVE})")
        rows = Incident.objects.select_for_update(no_key=True).filter(pk__in=here, status__in=LIVE_INCIDENT).order_by("pk")
        for row in rows.only("service_id", "target", "diagnosis", "severity", "status", "next_look_at"):
            found[row.service_id, row.target, row.diagnosis] = row
    return found


def _reopen(keys: set[Key], at: datetime) -> dict[Key, Incident]:
    """A place that flaps has one incident: its last one, opened again."""
    found: dict[Key, Incident] = {}
    for some in in_batches(sorted(keys)):
        last = flaps.to_reopen(some, at)
        rows = Incident.objects.select_for_update().filter(pk__in=last.values()).order_by("pk")
        for row in rows if last else ():
            if row.status == IncidentStatus.RESOLVED and reopen(row, "scheduler", "it flaps: the same trouble again", at):
                found[row.service_id, row.target, row.diagnosis] = row
    return found


def _incident(group: list[Fresh], at: datetime) -> Incident:
    worst, place = _worst(group), group[0].place
    return Incident(
        service_id=group[0].service,
        target=place.target,
        diagnosis=place.diagnosis,
        confidence=place.confidence,
        severity=worst.severity,
        source=Trigger.ALERT,
        title=worst.title,
        labels=worst.labels,
        opened_at=at,
        next_look_at=at,
    )


def _episode(new: Fresh, incident: Incident, source: str, at: datetime) -> Episode:
    alert = new.alert
    return Episode(
        incident=incident,
        fingerprint=alert.fingerprint,
        starts_at=alert.began,
        ends_at=alert.ends_at,
        status=alert.status,
        severity=alert.severity,
        title=alert.title,
        labels=alert.labels,
        annotations=alert.annotations,
        generator_url=alert.generator_url,
        source=source,
        received_at=at,
    )


def _added(groups: Mapping[Key, list[Fresh]], opened: Mapping[Key, Incident], incidents: Mapping[Key, Incident]) -> list[Line]:
    lines = []
    for key, group in groups.items():
        for position, new in enumerate(group):
            pk, first = incidents[key].pk, key in opened and position == 0
            item = {"incident": str(pk), **_said(new.alert), "severity": new.alert.severity}
            if first:
                item |= {"service": new.place.service, "target": new.place.target, "diagnosis": new.place.diagnosis}
            kind, action = ("opened", "incident.open") if first else ("joined", "alert.joined")
            lines.append(Line(kind, item, pk, action, new.alert.title))
    return lines


def _wake(incidents: list[Incident], at: datetime) -> None:
    """An open incident that nobody looks at any more is looked at again: something new fires."""
    asleep = [incident.pk for incident in incidents if incident.next_look_at is None]
    for some in in_batches(asleep):
        Incident.objects.filter(pk__in=some, status=IncidentStatus.OPEN).update(next_look_at=at)


def _worsen(plan: Plan) -> list[Line]:
    """Known episodes that their sender calls worse now."""
    if not plan.worse:
        return []
    locked = {row.pk: row for row in _locked({known.incident for known, _ in plan.worse})}
    for known, alert in plan.worse:
        Episode.objects.filter(pk=known.pk, status=FIRING).update(severity=alert.severity, title=alert.title)
    return [_worsened(*each) for each in plan.worse] + _raise([(locked[known.incident], alert) for known, alert in plan.worse])


def _worsened(known: Known, alert: Alert) -> Line:
    item = {"incident": str(known.incident), **_said(alert), "from": known.severity, "to": str(alert.severity)}
    return Line("worsened", item, known.incident, "alert.worsened", alert.title)


def _raise(pairs: list[tuple[Incident, Alert]]) -> list[Line]:
    """An incident is as bad as the worst alert that it ever had."""
    lines, changed = [], {}
    for incident, alert in pairs:
        if incident.status in LIVE_INCIDENT and _rank(alert) > list(Severity).index(Severity(incident.severity)):
            item = {"incident": str(incident.pk), "from": incident.severity, "to": str(alert.severity)}
            lines.append(Line("raised", item, incident.pk, "incident.raised", alert.title))
            incident.severity, incident.title = alert.severity, alert.title
            changed[incident.pk] = incident
    Incident.objects.bulk_update(changed.values(), ["severity", "title"], batch_size=BATCH)
    return lines


def _end(plan: Plan, at: datetime) -> list[Line]:
    """The episodes that have ended; whoever ended one of them first makes this plan untrue."""
    if not plan.ended:
        return []
    _locked({known.incident for known, _ in plan.ended})
    for some in in_batches(plan.ended):
        firing = Episode.objects.filter(pk__in=[known.pk for known, _ in some], status=FIRING)
        if firing.update(status=RESOLVED) != len(some):
            raise Raced
        ended = [Episode(pk=known.pk, ends_at=alert.ends_at) for known, alert in some]
        Episode.objects.bulk_update(ended, ["ends_at"], batch_size=BATCH)
    return [_ended(known, alert) for known, alert in plan.ended]


def _ended(known: Known, alert: Alert) -> Line:
    item = {"incident": str(known.incident), **_said(alert), "ends_at": ledger.instant(alert.ends_at) if alert.ends_at else ""}
    return Line("ended", item, known.incident, "alert.ended", alert.title)


def _locked(ids: set[uuid.UUID]) -> list[Incident]:
    """Every one of these incidents, locked."""
    rows = Incident.objects.select_for_update(no_key=True).only("status", "severity", "title").order_by("pk")
    return [row for some in in_batches(sorted(ids)) for row in rows.filter(pk__in=some)]


def _resolve(plan: Plan, at: datetime) -> set[uuid.UUID]:
    """Resolve the incidents of this body that no alert is firing for any more."""
    touched = {known.incident for known, _ in plan.ended}
    if any(new.alert.status == RESOLVED for new in plan.fresh):
        touched |= plan.opened
    firing = Episode.objects.filter(incident=OuterRef("pk"), status=FIRING)
    over: set[uuid.UUID] = set()
    for some in in_batches(sorted(touched)):
        quiet = Incident.objects.filter(~Exists(firing), Q(status__in=LIVE_INCIDENT), pk__in=some)
        over |= resolve_incidents(set(quiet.values_list("pk", flat=True)), at)
    return over


def _list(plan: Plan, at: datetime) -> list[Line]:
    """Put what matches nothing on the list, where a person finds it with the line that would match."""
    rows = {
        alert.fingerprint: UnmatchedAlert(
            fingerprint=alert.fingerprint,
            starts_at=alert.began,
            status=alert.status,
            labels=alert.labels,
            annotations=alert.annotations,
            reason=found.reason[:300],
            suggestion=found.suggestion,
            first_seen_at=at,
            last_seen_at=at,
        )
        for alert, found in sorted(plan.listed, key=lambda pair: pair[0].began)
    }
    UnmatchedAlert.objects.bulk_create(
        [rows[fingerprint] for fingerprint in sorted(rows)],
        batch_size=BATCH,
        update_conflicts=True,
        unique_fields=["fingerprint"],
        update_fields=["starts_at", "status", "labels", "annotations", "reason", "suggestion", "last_seen_at"],
    )
    return [Line("unmatched", {**_said(alert), "status": alert.status}) for alert, _ in plan.listed]


def _said(alert: Alert) -> dict[str, Any]:
    return {"fingerprint": alert.fingerprint, "starts_at": ledger.instant(alert.began)}


def _worst(group: list[Fresh]) -> Alert:
    return max((new.alert for new in group), key=lambda alert: (alert.status == FIRING, _rank(alert)))


def _rank(alert: Alert) -> int:
    return list(Severity).index(alert.severity)
