"""The first steps of a new installation: declare a service, send alerts, let something be healed. And a demo, until it is real.

The demo is one service in mode `observe` and one made-up incident of it, both called `demo`: triage looks at it and says what it
would do, nothing runs. Taking it away closes the incident; the log keeps what happened.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache

from healing import access, catalog, incidents, intake
from healing.admin.base import REFUSALS, sentence
from healing.models import Episode, Incident, Playbook, Service, UnmatchedAlert, User
from selfheal.errors import Conflict, Invalid
from selfheal.states import LIVE_INCIDENT, Mode

CONFIGURE = "healing.configure"
DEMO = "demo"
ALERT = {
    "service": DEMO,
    "target": DEMO,
    "diagnosis": "service_down",
    "title": "Demo: a service is down (made up)",
    "severity": "medium",
    "labels": {"alertname": "DemoDown", "demo": "true"},
}


class FirstService(forms.Form):
    """As little as a service needs."""

    name = forms.CharField(max_length=100, help_text="as the label “service” of its alerts says it")
    url = forms.CharField(
        label="URL", required=False, max_length=500, help_text="where its health is asked, http://web.internal:8080"
    )
    hosts = forms.CharField(
        required=False, max_length=2000, help_text="where it stands, with commas between; none: it is its own target"
    )

    def document(self) -> dict[str, Any]:
        said = self.cleaned_data
        hosts = [host.strip() for host in said["hosts"].split(",") if host.strip()]
        return {"name": said["name"], "url": said["url"], "mode": str(Mode.OBSERVE), "targets": {"hosts": hosts} if hosts else {}}


def begin(request: HttpRequest) -> dict[str, Any]:
    """What `onboarding.html` shows: {steps, form, demo, …}; nothing once services are declared and alerts arrive."""
    real = Service.objects.filter(active=True).exclude(name=DEMO)
    declared, arrives = real.exists(), _arrives()
    demo = Service.objects.filter(active=True, name=DEMO).first()
    if declared and arrives and not demo:
        return {}
    healing = Playbook.objects.filter(active=True).exists() and real.exclude(mode=Mode.OBSERVE).exists()
    return {
        "may": request.user.has_perm(CONFIGURE),
        "declared": declared,
        "arrives": arrives,
        "playbooks": Playbook.objects.filter(active=True).count(),
        "heals": healing,
        "demo": demo,
        "demo_incident": demo and demo.incidents.filter(status__in=LIVE_INCIDENT).first(),
        "form": FirstService(auto_id="first-%s", label_suffix=""),
        "receiver": receiver("…"),
    }


def _arrives() -> bool:
    """Whether an alert of somebody's ever came, matched or not."""
    return UnmatchedAlert.objects.exists() or Episode.objects.exclude(incident__service__name=DEMO).exists()


def receiver(token: str) -> str:
    """The block of alertmanager.yml that sends alerts here."""
    url = f"{settings.SELF_HEAL_BASE_URL.rstrip('/')}/api/self_heal/alerts/alertmanager"
    return (
        "receivers:\n  - name: selfheal\n    webhook_configs:\n"
        f"      - url: {json.dumps(url)}\n        send_resolved: true\n"
        f"        http_config: {{authorization: {{credentials: {json.dumps(token, ensure_ascii=False)}}}}}\n"
    )


@never_cache
def act(request: HttpRequest, name: str) -> HttpResponse:
    """POST: one of ACTS, by somebody who may configure."""
    if name not in ACTS:
        raise Http404(name)
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    if not request.user.has_perm(CONFIGURE):
        raise PermissionDenied
    try:
        done = ACTS[name](request, timezone.now())
    except REFUSALS as refusal:
        messages.error(request, sentence(str(refusal)))
    else:
        if not isinstance(done, str):
            return done
        messages.success(request, sentence(done))
    return HttpResponseRedirect(reverse("admin:index"))


def _declare(request: HttpRequest, at: datetime) -> str:
    form = FirstService(request.POST)
    if not form.is_valid():
        field, problems = next(iter(form.errors.items()))
        raise Invalid(" ".join(map(str, problems)), field=field)
    service, new = catalog.upsert_service(form.document(), at, request.user.get_username())
    return f"{service.name} is declared, in mode observe" if new else f"{service.name} was there, and is changed"


def _token(request: HttpRequest, at: datetime) -> HttpResponse:
    """A token that may only bring alerts, and the block with it: shown this once."""
    user = User.objects.get(username=request.user.get_username())
    token, secret = access.create_token(user, ["ingest"], None, "Alertmanager", user.username, at)
    context = {
        **admin.site.each_context(request),
        "title": "Send alerts here",
        "thing": token,
        "yaml": receiver(secret),
        "at": at,
    }
    return TemplateResponse(request, "admin/healing/receiver.html", context)


def _demo(request: HttpRequest, at: datetime) -> str:
    actor = request.user.get_username()
    if Service.objects.filter(name=DEMO, active=True).exists():
        raise Conflict("there is a service demo already")
    document = {"name": DEMO, "mode": str(Mode.OBSERVE), "labels": {"demo": "true"}, "owner": "nobody: it is made up"}
    catalog.upsert_service(document, at, actor)
    alert = ALERT | {"starts_at": at.isoformat()}
    intake.receive_plain(json.dumps(alert).encode(), actor=actor, at=at)
    return "the service demo and an incident of it are there; both are made up, and nothing runs for them"


def _remove(request: HttpRequest, at: datetime) -> str:
    actor = request.user.get_username()
    with transaction.atomic():
        service = Service.objects.filter(name=DEMO, active=True, labels__demo="true", from_file=False).first()
        if service is None:
            raise Conflict("there is no demo")
        for incident in Incident.objects.filter(service=service, status__in=LIVE_INCIDENT):
            incidents.close(incident.pk, actor, "the demo is over", at)
        catalog.remove_service(service, at, actor)
    return "the demo is taken away"


ACTS: dict[str, Callable[[HttpRequest, datetime], HttpResponse | str]] = {
    "service": _declare,
    "token": _token,
    "demo": _demo,
    "no-demo": _remove,
}
