"""The page of the domains: the parts of each as a picture and a table, what is measured, what heals. It changes nothing."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from healing.admin import live
from healing.domains import Domain, domains
from healing.models import Playbook, Service
from healing.network import Network, network

LIVE_SECONDS = 10
FIRST = ("platform",)  # what the others stand on


@require_safe
def domains_page(request: HttpRequest) -> HttpResponse:
    """GET: the page, for whoever may look at runs."""
    if not request.user.has_perm("healing.view_run"):
        raise PermissionDenied
    at = timezone.now()
    found = sorted(domains(at), key=lambda each: (each.name not in FIRST, each.name))
    context = {
        **admin.site.each_context(request),
        "title": "Domains",
        "frame": live.frame(request),
        "live_seconds": LIVE_SECONDS,
        "at": at,
        "domains": [_shown(each, at) for each in found],
        "ill": [(each.name, part) for each in found for part in each.parts if part.node.name in each.first],
        "poll": settings.SELF_HEAL_POLL_SECONDS,
    }
    return live.respond(request, TemplateResponse(request, "admin/healing/domains.html", context))


def _shown(domain: Domain, at: datetime) -> dict[str, Any]:
    """A domain, its picture, and where its names lead."""
    services = dict(Service.objects.filter(active=True, domain=domain.name).values_list("name", "pk")) if domain.sensed else {}
    books = dict(
        Playbook.objects.filter(active=True, name__in=[each.name for each in domain.playbooks]).values_list("name", "pk")
    )
    return {
        "domain": domain,
        "network": _picture(domain, {name: reverse("admin:healing_service_change", args=[pk]) for name, pk in services.items()}),
        "playbooks": [
            (each, reverse("admin:healing_playbook_change", args=[books[each.name]]) if each.active else "")
            for each in domain.playbooks
        ],
        "said": [place for place in domain.places if place.why],
    }


def _picture(domain: Domain, services: dict[str, str]) -> Network:
    nodes = {node.name: node for node in domain.nodes}
    graph = {name: frozenset(need for need in node.depends_on if need in nodes) for name, node in nodes.items()}
    elsewhere = reverse("health")
    return network(
        graph, {name: node.health for name, node in nodes.items()}, {name: services.get(name, elsewhere) for name in nodes}
    )
