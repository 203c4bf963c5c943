"""What people do with an incident, and what a run does to it."""

from __future__ import annotations

import uuid
from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from healing.models import Incident, User
from healing.runs.ending import supersede
from healing.transitions import move, record
from selfheal.errors import Conflict, Invalid
from selfheal.states import IncidentStatus, may_move

MAX_TEXT = 5_000
BACKEND = "django.contrib.auth.backends.ModelBackend"  # the one that knows permissions


def acknowledge(incident_id: uuid.UUID, actor: str, text: str, at: datetime) -> Incident:
    """A person has it: nothing is proposed for it until it is open again."""
    return _change(incident_id, IncidentStatus.ACK, actor, text, at)


def resolve(incident_id: uuid.UUID, actor: str, text: str, at: datetime) -> Incident:
    return _change(incident_id, IncidentStatus.RESOLVED, actor, text, at)


def close(incident_id: uuid.UUID, actor: str, text: str, at: datetime) -> Incident:
    return _change(incident_id, IncidentStatus.CLOSED, actor, text, at)


def comment(incident_id: uuid.UUID, actor: str, text: str, at: datetime) -> Incident:
    """Add a line to the timeline, and so to the log."""
    if not text.strip():
        raise Invalid("may not be empty", field="text")
    incident = Incident.objects.select_related("service").get(pk=incident_id)
    record(incident, "incident.comment", actor=actor, at=at, reason=_bounded(text))
    return incident


def assign(incident_id: uuid.UUID, name: str | None, actor: str, text: str, at: datetime) -> Incident:
    """Say who works on it, by the name of a user who may; None or nothing: nobody in particular."""
    assignee = _worker(name) if name else None
    with transaction.atomic():
        incident = Incident.objects.select_for_update(of=("self",)).select_related("service", "assignee").get(pk=incident_id)
        if incident.status == IncidentStatus.CLOSED:
            raise Conflict("the incident is closed: nobody works on it any more")
        before = incident.assignee
        if before == assignee:
            return incident
        Incident.objects.filter(pk=incident_id).update(assignee=assignee)
        incident.assignee = assignee
        payload = {"from": before and before.username, "to": assignee and assignee.username}
        record(incident, "incident.assigned", actor=actor, at=at, reason=_bounded(text), payload=payload)
    return incident


def workers() -> QuerySet[User]:
    """Who can be given an incident: the active users who may work on it."""
    return User.objects.with_perm("healing.operate", backend=BACKEND).filter(is_active=True).order_by("username")


def _worker(name: str) -> User:
    user = User.objects.filter(username=name, is_active=True).first()
    if user is None:
        raise Invalid(f"there is no active user {name!r}", field="user")
    if not user.has_perm("healing.operate"):
        raise Invalid(f"{name} may not work on incidents: that needs the role operator", field="user")
    return user


def reopen(incident: Incident, actor: str, reason: str, at: datetime) -> bool:
    """Open a resolved incident again, unless a newer one for the same place is already live."""
    try:
        with transaction.atomic():
            changes = {"resolved_at": None, "next_look_at": at}
            return move(incident, IncidentStatus.OPEN, actor=actor, at=at, reason=reason, changes=changes)
    except IntegrityError:  # the newer one tells the rest of the story
        return False


def _change(incident_id: uuid.UUID, to: IncidentStatus, actor: str, text: str, at: datetime) -> Incident:
    incident = Incident.objects.select_related("service").get(pk=incident_id)
    if not may_move("incident", incident.status, to):
        raise Conflict(f"the incident is {incident.status} and cannot become {to}")
    changes = {"next_look_at": None} | ({"resolved_at": at} if to is IncidentStatus.RESOLVED else {})
    with transaction.atomic():
        if not move(incident, to, actor=actor, at=at, reason=_bounded(text), changes=changes):
            raise Conflict("somebody else changed the incident in the meantime; look at it again")
        if to is not IncidentStatus.ACK:
            supersede([incident.pk], actor=actor, reason=f"the incident was {to} by {actor}", at=at)
    return incident


def _bounded(text: str) -> str:
    if len(text) > MAX_TEXT:
        raise Invalid(f"has {len(text):,} characters, the limit is {MAX_TEXT:,}", field="text")
    if "\x00" in text:
        raise Invalid("holds a NUL character", field="text")
    return text
