"""What would happen if: a playbook for a diagnosis on a target, its plan and what policy says of it now. It touches nothing.

/admin/what-if/?service=web&target=web-01&diagnosis=service_down&playbook=restart-unit&p-unit=web.service
/admin/what-if/?incident=ID      the same for an incident that there is, with its severity, title and labels
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from healing import windows
from healing.admin import proposing
from healing.models import Incident, Playbook, Service
from selfheal.canonical import digest
from selfheal.diagnosis import NAMES, TABLE
from selfheal.errors import Invalid
from selfheal.states import Impact, Trigger

TARGETS = 200  # that are offered for choosing; any other can be typed
OPENINGS = 3
TRIGGERS = {Trigger.ALERT: "an alert fires", Trigger.OPERATOR: "a person proposes it"}


def what_if(request: HttpRequest) -> HttpResponse:
    """GET: the form, and once it is complete what would happen."""
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET", "HEAD"])
    if not request.user.has_perm("healing.view_playbook"):
        raise PermissionDenied
    at = timezone.now()
    asked = Asked.read(request.GET)
    context: dict[str, Any] = {**admin.site.each_context(request), "title": "What would happen if", "at": at, **asked.form()}
    if asked.service and asked.playbook:
        try:
            context |= {"fields": proposing.fields_of(asked.playbook, request.GET)}
            context |= answer(asked, asked.playbook, proposing.given(asked.playbook, request.GET), at)
        except Invalid as error:
            context["unreadable"] = str(error)
    return TemplateResponse(request, "admin/healing/what_if.html", context)


@dataclass(frozen=True)
class Asked:
    """What the form holds, as far as there is such a thing."""

    incident: Incident | None
    service: Service | None
    target: str
    diagnosis: str
    playbook: Playbook | None
    trigger: Trigger

    @classmethod
    def read(cls, said: Mapping[str, str]) -> Asked:
        incident = _incident(said.get("incident", ""))
        service = incident.service if incident else Service.objects.filter(name=_text(said, "service"), active=True).first()
        playbook = Playbook.objects.filter(name=_text(said, "playbook"), active=True).first()
        diagnosis = incident.diagnosis if incident else _text(said, "diagnosis") or _first(playbook)
        target = incident.target if incident else _text(said, "target") or _own(service)
        trigger = Trigger.OPERATOR if said.get("trigger") == Trigger.OPERATOR else Trigger.ALERT
        return cls(incident, service, target, diagnosis, playbook, trigger)

    def as_incident(self, at: datetime) -> Incident:
        """The incident that there is, or one that is never stored."""
        if self.incident:
            return self.incident
        place = {"service": self.service, "target": self.target, "diagnosis": self.diagnosis}
        return Incident(**place, confidence=self._confidence(), opened_at=at)

    def _confidence(self) -> float:
        """That of the rule which gives this diagnosis; one that the alert itself names is certain."""
        return next((confidence for _, name, confidence in TABLE if name == self.diagnosis), 1.0)

    def form(self) -> dict[str, Any]:
        """What the form offers: the playbooks that name the diagnosis before the others."""
        playbooks = list(Playbook.objects.filter(active=True).order_by("name"))
        fitting = [row for row in playbooks if self.diagnosis in row.diagnoses]
        known = {name for row in playbooks for name in row.diagnoses} | set(NAMES)
        return {
            "asked": self,
            "services": Service.objects.filter(active=True).values_list("name", flat=True),
            "targets": self.service.targets.values_list("name", flat=True)[:TARGETS] if self.service else [],
            "diagnoses": sorted(known),
            "fitting": fitting,
            "others": [row for row in playbooks if row not in fitting],
            "triggers": TRIGGERS.items(),
        }


def answer(asked: Asked, playbook: Playbook, parameters: Mapping[str, Any], at: datetime) -> dict[str, Any]:
    """{dry, digest, openings}: the plan and the decision, and when the service may be changed next with that impact."""
    incident = asked.as_incident(at)
    dry = proposing.dry_run(incident, playbook, parameters, at, asked.trigger)
    plan = dry.get("plan")
    impact = Impact(plan["impact"] if plan else playbook.impact)
    found = windows.next_openings(windows.in_force(), incident.service.name, impact, at)[:OPENINGS]
    openings = [{"now": each.start <= at, "start": each.start, "end": each.end} for each in found]
    return {"dry": dry, "digest": digest(plan) if plan else "", "openings": openings, "impact": impact}


def would_address(incident: Incident) -> str:
    """The page for an incident that there is."""
    return f"{reverse('what-if')}?{urlencode({'incident': str(incident.pk)})}"


def _incident(text: str) -> Incident | None:
    if not text:
        return None
    try:
        return Incident.objects.select_related("service").get(pk=UUID(text))
    except (ValueError, Incident.DoesNotExist):
        raise Http404(f"there is no incident {text}") from None


def _text(said: Mapping[str, str], name: str) -> str:
    return said.get(name, "").replace("\0", "").strip()[:253]


def _first(playbook: Playbook | None) -> str:
    return next(iter(playbook.diagnoses), "") if playbook else ""


def _own(service: Service | None) -> str:
    return (service.targets.values_list("name", flat=True).first() or "") if service else ""
