"""The first page: what needs a person now, what ran last, whether the machinery is alive, the numbers of a day or a week."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from healing import figures, heartbeats
from healing.admin import live, onboarding, words
from healing.models import ApprovalRequest, Incident, LedgerHead, Problem, Run, Service
from healing.notifications import deadman
from selfheal.states import ACTIVE_RUN, LIVE_INCIDENT, ApprovalStatus, ProblemStatus

SHOWN = 8
LIVE_SECONDS = 10


def now(request: HttpRequest) -> HttpResponse:
    return live.respond(request, admin.site.index(request))


def fill(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Unfold's dashboard callback."""
    at = timezone.now()
    can = request.user.has_perm
    pending = ApprovalRequest.objects.filter(status=ApprovalStatus.PENDING, expires_at__gt=at)
    open_ones = Incident.objects.filter(status__in=LIVE_INCIDENT).select_related("service")
    problems = Problem.objects.filter(status=ProblemStatus.OPEN).select_related("service")
    span = figures.Span.named(request.GET.get("span", ""), at)
    runs = Run.objects.select_related("service", "playbook")
    declared = Service.objects.filter(active=True).exists()
    return {
        **context,
        "title": "Now",
        "frame": live.frame(request),
        "live_seconds": LIVE_SECONDS,
        "at": at,
        "requests": list(pending[:SHOWN]) if can("healing.view_approvalrequest") else [],
        "incidents": list(open_ones[:SHOWN]) if can("healing.view_incident") else [],
        "problems": list(problems[:SHOWN]) if can("healing.view_problem") else [],
        "active": list(runs.filter(status__in=ACTIVE_RUN)) if can("healing.view_run") else [],
        "runs": list(runs.filter(started_at__isnull=False)[:SHOWN]) if can("healing.view_run") else [],
        "no_services": not declared,
        "begin": onboarding.begin(request),
        "span": span.name,
        "plots": figures.plots(span, can, words.span) if declared else [],
        "missing": heartbeats.missing(at),
        "silent": deadman.silent(),
        "head": LedgerHead.objects.first(),
    }
