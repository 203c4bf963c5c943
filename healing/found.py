"""Incidents that no alert tells of: the terms on which a source may open them, and when they are over.

Rules that this module keeps:
1. A source opens at most as many in an hour as its terms say; they are counted in the transaction that opens one, under a lock.
2. Such an incident is looked at like any other. It has no alert of its own, so policy asks a person.
3. It is over when its source does not find it any more (`end`), and at most `LONGEST` after it was opened, unless an alert has
   come to it since: then the alert ends it. So nothing stays open when the source is gone.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import IntegrityError, transaction

from healing import ledger
from healing.models import Incident, Service, TriggerSource, User
from healing.runs.ending import supersede
from healing.transitions import move, open_incidents, record
from selfheal import sources
from selfheal.errors import Invalid, NotAllowed
from selfheal.sources import Candidate, Terms
from selfheal.states import LIVE_INCIDENT, IncidentStatus, Severity, Trigger

PERMISSION = "healing.configure"
WITHOUT_ALERT = tuple(sources.SHOWN)
LONGEST = timedelta(hours=1)
HOUR = timedelta(hours=1)
MOST_LIMIT = 1_000
MAX_REASON = 2_000


def terms(trigger: Trigger) -> Terms:
    """What a person has set, or the defaults."""
    row = TriggerSource.objects.filter(pk=trigger).first()
    return Terms(row.enabled, row.least_confidence, row.hourly_limit) if row else sources.DEFAULTS[trigger]


def used(trigger: Trigger, at: datetime) -> int:
    """How many the source has opened in the last hour. What is excluded says the condition of `incident_without_alert`."""
    return Incident.objects.filter(source=trigger, opened_at__gt=at - HOUR).exclude(source=Trigger.ALERT).count()


def is_live(candidate: Candidate) -> bool:
    """Whether the place of a candidate has an incident that is not over."""
    here = Incident.objects.filter(service__name=candidate.service, diagnosis=candidate.diagnosis, status__in=LIVE_INCIDENT)
    return (here.filter(target=candidate.target) if candidate.target else here).exists()


def refusal(trigger: Trigger, confidence: float, at: datetime) -> str:
    """Why the source may not open one now: `disabled`, `confidence`, `limit`; empty: it may.

    Called in the transaction that opens it: the row of the source is locked until then.
    """
    row = _locked(trigger)
    return sources.refusal(confidence, Terms(row.enabled, row.least_confidence, row.hourly_limit), used(trigger, at))


def open_found(trigger: Trigger, candidate: Candidate, at: datetime) -> Incident | str:
    """The incident that was opened, or why none was: as `refusal`, `live` (its place has one), `not_declared`."""
    service = Service.objects.filter(name=candidate.service, active=True).first()
    targets = service.targets.order_by("name").values_list("name", flat=True) if service else None
    target = targets.filter(name=candidate.target).first() if targets and candidate.target else targets and targets.first()
    if service is None or not target:
        return "not_declared"
    incident = Incident(
        service=service,
        target=target,
        diagnosis=candidate.diagnosis,
        confidence=candidate.confidence,
        severity=Severity.MEDIUM,
        source=trigger,
        title=candidate.title[:300],
        labels={"service": service.name},
        opened_at=at,
        next_look_at=at,
    )
    try:
        with transaction.atomic():
            if refused := refusal(trigger, candidate.confidence, at):
                return refused
            open_incidents([incident])
            place = {"service": service.name, "target": target, "diagnosis": candidate.diagnosis, "source": trigger.value}
            record(incident, "incident.open", actor=sources.SHOWN[trigger], reason=incident.title, at=at, payload=place)
    except IntegrityError:
        return "live"
    return incident


def is_over(incident: Incident, at: datetime) -> str:
    """Why an incident of a source is over by itself; empty: it is not. Those of the service graph end with their parts."""
    if incident.source not in WITHOUT_ALERT or incident.source == Trigger.AGENTIC_SPINE or at < incident.opened_at + LONGEST:
        return ""
    if incident.episodes.exists():
        return ""
    return f"no alert has come within {LONGEST.total_seconds() / 60:.0f} min, and nothing says that it is still so"


def end(incident: Incident, reason: str, at: datetime) -> bool:
    """Resolve it, with what was proposed for it and has not started; whether that was still to be done."""
    with transaction.atomic():
        changes = {"resolved_at": at, "next_look_at": None}
        actor = sources.SHOWN[Trigger(incident.source)]
        if not move(incident, IncidentStatus.RESOLVED, actor=actor, reason=reason, at=at, changes=changes):
            return False
        supersede([incident.pk], actor=actor, reason=reason, at=at)
    return True


def set_terms(trigger: str, wanted: Terms, reason: str, user: User, at: datetime) -> Terms:
    """Change the terms of a source. Raises NotAllowed, Invalid naming the field."""
    if trigger not in WITHOUT_ALERT:
        raise Invalid(f"must be one of {', '.join(WITHOUT_ALERT)}", field="source")
    if not user.has_perm(PERMISSION):
        raise NotAllowed("this needs the role admin")
    if not 0 <= wanted.least_confidence <= 1:
        raise Invalid("is a number from 0 to 1", field="least_confidence")
    if not 0 <= wanted.hourly_limit <= MOST_LIMIT:
        raise Invalid(f"is a number from 0 to {MOST_LIMIT:,}", field="hourly_limit")
    if not 0 < len(reason.strip()) <= MAX_REASON or "\x00" in reason:
        raise Invalid(f"says why, in 1 to {MAX_REASON:,} characters", field="reason")
    with transaction.atomic():
        row = _locked(Trigger(trigger))
        before = Terms(row.enabled, row.least_confidence, row.hourly_limit)
        row.enabled, row.least_confidence, row.hourly_limit = wanted.enabled, wanted.least_confidence, wanted.hourly_limit
        row.save()
        payload = {"reason": reason, "before": _told(before), "after": _told(wanted)}
        ledger.append(actor=user.username, action="source.changed", resource=f"source:{trigger}", payload=payload, at=at)
    return wanted


def _told(said: Terms) -> dict[str, object]:
    return {"enabled": said.enabled, "least_confidence": f"{said.least_confidence:.3f}", "hourly_limit": said.hourly_limit}


def _locked(trigger: Trigger) -> TriggerSource:
    usual = sources.DEFAULTS[trigger]
    defaults = {
        "enabled": usual.enabled, "least_confidence": usual.least_confidence, "hourly_limit": usual.hourly_limit,
    }  # fmt: skip
    return TriggerSource.objects.select_for_update().get_or_create(pk=trigger, defaults=defaults)[0]
