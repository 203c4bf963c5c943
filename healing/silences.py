"""Silences: a time in which nothing is proposed for a service, for labels, or for one incident (a timed mute).

Rules that this module keeps:
1. A silence has an end, at most 30 days after its beginning, a reason, and somebody who made it. It is never changed, only ended.
2. It hides nothing: an incident is opened, shown and told of as always; the scheduler says which silence keeps it, and how long.
3. What waits for an approval goes on waiting: a person who approves it does so knowingly, and is told of the silence.
4. What it kept back is looked at when it ends, early or not.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from healing import ledger
from healing.models import Incident, Service, Silence, User
from healing.transitions import record
from selfheal import backoff
from selfheal.errors import Conflict, Invalid, NotAllowed
from selfheal.states import LIVE_INCIDENT, IncidentStatus

LONGEST = timedelta(days=30)
MOST = 500  # that are not over: the scheduler reads them all with each look
MAX_REASON = 2_000
MAX_LABELS = 20
MAX_LABEL = 1_000
SKIP = "silenced"


def create(
    by: User,
    *,
    reason: str,
    ends_at: datetime,
    at: datetime,
    starts_at: datetime | None = None,
    service: str = "",
    labels: Mapping[str, str] | None = None,
    incident: uuid.UUID | None = None,
) -> Silence:
    """Make a silence: for a service, for incidents that carry all of `labels`, for both at once, or for one incident alone.

    Raises NotAllowed, Invalid that names the field, Conflict.
    """
    if not by.has_perm("healing.operate"):
        raise NotAllowed("this needs the role operator")
    if incident and (service or labels):
        raise Invalid("stands alone: an incident has one service, and one place", field="incident")
    if not (incident or service or labels):
        raise Invalid("names a service, labels or an incident: a silence over everything is the kill switch", field="service")
    _check_reason(reason)
    starts_at = max(starts_at or at, at)
    _check_times(starts_at, ends_at, at)
    with transaction.atomic():
        if not_over(at).count() >= MOST:
            raise Conflict(f"there are {MOST} silences that are not over, and no more are read: end some first")
        made = Silence.objects.create(
            service=_service(service) if service else None,
            labels=_checked_labels(labels or {}),
            incident=_live(incident) if incident else None,
            starts_at=starts_at,
            ends_at=ends_at,
            reason=reason.strip(),
            created_by=by,
            created_at=at,
        )
        _log(made, "silence.created", by.get_username(), made.reason, at)
    return made


def end(silence_id: uuid.UUID, by: User, reason: str, at: datetime) -> Silence:
    """End a silence now; what it kept back is due. Raises NotAllowed, Invalid, Conflict when it is over."""
    if not by.has_perm("healing.operate"):
        raise NotAllowed("this needs the role operator")
    _check_reason(reason)
    with transaction.atomic():
        found = Silence.objects.select_related("service", "incident__service").filter(pk=silence_id).first()
        if found is None:
            raise Invalid(f"there is no silence {silence_id}", field="id")
        begun = min(found.starts_at, at)
        if not Silence.objects.filter(pk=found.pk, ends_at__gt=at).update(ends_at=at, starts_at=begun):
            raise Conflict(f"the silence is over since {found.ends_at:%Y-%m-%d %H:%M} UTC")
        found.starts_at, found.ends_at = begun, at
        _log(found, "silence.ended", by.get_username(), reason.strip(), at)
        kept = Incident.objects.filter(status=IncidentStatus.OPEN, next_look_at__gt=at, why__skip=SKIP)
        if found.incident_id:
            kept = kept.filter(pk=found.incident_id)
        elif found.service_id:
            kept = kept.filter(service=found.service_id)
        kept.update(next_look_at=at)
    return found


def not_over(at: datetime) -> QuerySet[Silence]:
    """Those that hold now or will."""
    return Silence.objects.filter(ends_at__gt=at)


def in_force(at: datetime) -> list[Silence]:
    """Those that hold now, however many incidents they are about: one query by their end."""
    return list(not_over(at).filter(starts_at__lte=at).select_related("service", "created_by").order_by("ends_at", "pk")[:MOST])


def over(incident: Incident, silences: Iterable[Silence]) -> Silence | None:
    """The one of `silences` (in the order of their ends) that keeps the incident longest."""
    return next((each for each in reversed(list(silences)) if _holds(each, incident)), None)


def told(incident: Incident | None, at: datetime) -> str:
    """The silence over it in a line, for whoever is asked about what was proposed before; empty: it has none."""
    found = over(incident, in_force(at)) if incident else None
    return said(found) if found else ""


def skip(incident: Incident, silences: Iterable[Silence]) -> backoff.Skip | None:
    """Why the incident is not healed now, if it is silenced."""
    found = over(incident, silences)
    return backoff.Skip(SKIP, said(found), found.ends_at) if found else None


def said(silence: Silence) -> str:
    """A silence in a line, for people."""
    by, until = silence.created_by.get_username(), f"{silence.ends_at:%Y-%m-%d %H:%M} UTC"
    return f"silenced by {by} until {until}: {silence.reason} ({about(silence)}, silence {silence.pk})"


def about(silence: Silence) -> str:
    """What it is for, in words."""
    if silence.incident_id:
        return f"incident {silence.incident_id}"
    labels = ", ".join(f"{name}={value}" for name, value in sorted(silence.labels.items()))
    return " and ".join(filter(None, (f"service {silence.service.name}" if silence.service else "", labels)))


def status(silence: Silence, at: datetime) -> str:
    if silence.ends_at <= at:
        return "over"
    return "active" if silence.starts_at <= at else "planned"


def _holds(silence: Silence, incident: Incident) -> bool:
    if silence.incident_id:
        return silence.incident_id == incident.pk
    if silence.service_id and silence.service_id != incident.service_id:
        return False
    return all(incident.labels.get(name) == value for name, value in silence.labels.items())


def _check_reason(reason: str) -> None:
    if not 0 < len(reason.strip()) <= MAX_REASON or "\x00" in reason:
        raise Invalid(f"says why, in 1 to {MAX_REASON:,} characters", field="reason")


def _check_times(starts_at: datetime, ends_at: datetime, at: datetime) -> None:
    if starts_at > at + LONGEST:
        raise Invalid(f"is at most {LONGEST.days} days from now", field="starts_at")
    if ends_at <= starts_at:
        raise Invalid("is after the beginning, and not over already", field="ends_at")
    if ends_at > starts_at + LONGEST:
        raise Invalid(
            f"is at most {LONGEST.days} days after the beginning: what is to be longer belongs into services.yaml",
            field="ends_at",
        )


def _checked_labels(labels: Mapping[str, str]) -> dict[str, str]:
    if len(labels) > MAX_LABELS:
        raise Invalid(f"are {len(labels)}, the limit is {MAX_LABELS}", field="labels")
    for name, value in labels.items():
        if not (isinstance(value, str) and 0 < len(name) <= MAX_LABEL and len(value) <= MAX_LABEL and "\x00" not in name + value):
            raise Invalid(f"{name[:60]!r}: a name and its value are texts of at most {MAX_LABEL:,} characters", field="labels")
    return dict(labels)


def _service(name: str) -> Service:
    found = Service.objects.filter(name=name, active=True).first()
    if found is None:
        raise Invalid(f"there is no service {name[:100]!r}; `selfheal services list` shows them", field="service")
    return found


def _live(incident_id: uuid.UUID) -> Incident:
    found = Incident.objects.select_related("service").filter(pk=incident_id).first()
    if found is None:
        raise Invalid(f"there is no incident {incident_id}", field="incident")
    if found.status not in LIVE_INCIDENT:
        raise Conflict(f"the incident is {found.status}: there is nothing to silence")
    return found


def _log(silence: Silence, action: str, actor: str, reason: str, at: datetime) -> None:
    """The entry, and for an incident the line of its timeline."""
    payload: dict[str, Any] = {
        "silence": str(silence.pk),
        "service": silence.service.name if silence.service else "",
        "labels": silence.labels,
        "incident": str(silence.incident_id or ""),
        "starts_at": ledger.instant(silence.starts_at),
        "ends_at": ledger.instant(silence.ends_at),
    }
    if silence.incident:
        record(silence.incident, action, actor=actor, reason=reason, at=at, payload=payload)
    else:
        ledger.append(actor=actor, action=action, resource=f"silence:{silence.pk}", payload={"reason": reason, **payload}, at=at)
