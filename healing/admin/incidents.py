"""Incidents: what is wrong, what was done about it, and why nothing is done where nothing is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.module_loading import import_string
from unfold.decorators import display

from healing import incidents, scheduler, silences, why
from healing.admin import labels, proposing, words
from healing.admin.base import REFUSALS, Act, Comment, Reason, address_of, sentence, session_of
from healing.admin.dry_run import would_address
from healing.admin.filters import DiagnosisFilter, StatusFilter
from healing.admin.saved_filters import FilteredAdmin
from healing.admin.timeline import timeline_of
from healing.models import ApprovalRequest, Incident, Playbook, Step, User
from selfheal.errors import Invalid
from selfheal.states import LIVE_INCIDENT, ApprovalStatus, IncidentStatus, may_move

OPERATE = "healing.operate"
SHOWN = 50  # episodes and runs on a page


def through(service: Callable[[UUID, str, str, datetime], Incident], done: str) -> Callable[..., str]:
    """An act that one function of `healing.incidents` does."""

    def call(request: HttpRequest, thing: Incident, said: dict[str, Any], at: datetime) -> str:
        service(thing.pk, request.user.get_username(), said["comment"], at)
        return done

    return call


class Assignee(Comment):
    """Who works on it, of those who may."""

    assignee = forms.ModelChoiceField(User.objects.none(), to_field_name="username", required=False, empty_label="nobody")
    field_order = ("assignee", "comment")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["assignee"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = incidents.workers()


def assign(request: HttpRequest, thing: Incident, said: dict[str, Any], at: datetime) -> str:
    name = said["assignee"] and said["assignee"].username
    incidents.assign(thing.pk, name, request.user.get_username(), said["comment"], at)
    return f"{name or 'nobody'} works on it now"


class Muting(Reason):
    """For how long, and why."""

    minutes = forms.TypedChoiceField(
        label="For",
        coerce=int,
        choices=[(30, "30 minutes"), (60, "an hour"), (240, "4 hours"), (24 * 60, "a day"), (7 * 24 * 60, "a week")],
        initial=60,
    )
    field_order = ("minutes", "comment")


def mute(request: HttpRequest, thing: Incident, said: dict[str, Any], at: datetime) -> str:
    user = User.objects.get(username=request.user.get_username())
    ends_at = at + timedelta(minutes=said["minutes"])
    silences.create(user, reason=said["comment"], ends_at=ends_at, at=at, incident=thing.pk)
    return f"muted until {words.clock(ends_at, at)}: nothing is proposed for it until then"


def can_become(status: IncidentStatus) -> Callable[[Incident], bool]:
    return lambda thing: may_move("incident", thing.status, status)


ACTS = (
    Act(
        "acknowledge",
        "Acknowledge",
        OPERATE,
        through(incidents.acknowledge, "acknowledged: nothing more is proposed for it until it is open again"),
        "Take this incident? Nothing more is proposed for it while you have it.",
        Comment,
        applies=can_become(IncidentStatus.ACK),
    ),
    Act(
        "assign",
        "Assign",
        OPERATE,
        assign,
        "Who works on it?",
        Assignee,
        applies=lambda thing: thing.status != IncidentStatus.CLOSED,
    ),
    Act(
        "mute",
        "Mute",
        OPERATE,
        mute,
        "Propose nothing for this incident for a while?",
        Muting,
        applies=lambda thing: thing.status in LIVE_INCIDENT,
    ),
    Act(
        "resolve",
        "Resolve",
        OPERATE,
        through(incidents.resolve, "resolved: it opens again if the alert comes back"),
        "Is it over? The incident opens again if the alert comes back.",
        Comment,
        applies=can_become(IncidentStatus.RESOLVED),
    ),
    Act(
        "close",
        "Close",
        OPERATE,
        through(incidents.close, "closed"),
        "Close this incident for good?",
        Reason,
        applies=can_become(IncidentStatus.CLOSED),
    ),
    Act(
        "comment",
        "Comment",
        OPERATE,
        through(incidents.comment, "your comment stands in the timeline"),
        "Add to the timeline",
        Reason,
    ),
)


class IncidentFilter(StatusFilter):
    """What is live comes first."""

    default = "live"
    choices_of = IncidentStatus

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("live", "open or acknowledged"), *super().lookups(request, model_admin)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "live":
            return queryset.filter(status__in=LIVE_INCIDENT)
        return super().queryset(request, queryset)


def seen_before(incident: Incident, at: datetime) -> Any:
    """What is remembered of earlier incidents like this one, by whatever the settings name; None: nothing is named."""
    path = settings.SEEN_BEFORE
    return import_string(path)(incident, at) if path else None


@admin.register(Incident)
class IncidentAdmin(FilteredAdmin):
    live_seconds = 5
    page_template = "admin/healing/incident.html"
    list_display = ("what", "where", "status_label", "severity_label", "diagnosis", "since", "assigned_to", "why_line")
    list_filter = (IncidentFilter, "severity", "service", DiagnosisFilter, "assignee")
    list_select_related = ("service", "assignee")
    search_fields = ("title", "target", "service__name", "diagnosis")
    search_help_text = "Title, service, target or diagnosis"
    empty_title = "Nothing is wrong"
    empty_hint = "No incident is open. If an alert fired and none is here, look at the unmatched alerts."
    empty_next = (("Unmatched alerts", "/admin/healing/unmatchedalert/"), ("What was healed", "?status=resolved"))
    acts = ACTS

    def live_page(self, thing: Incident) -> int:
        return 5 if thing.status in LIVE_INCIDENT else 0

    @display(description="what")
    def what(self, row: Incident) -> str:
        return row.title or row.diagnosis

    @display(description="where")
    def where(self, row: Incident) -> str:
        return f"{row.service.name} / {row.target}"

    @display(description="status", label=labels.INCIDENT)
    def status_label(self, row: Incident) -> tuple[str, str]:
        return row.status, row.get_status_display()

    @display(description="severity", label=labels.SEVERITY)
    def severity_label(self, row: Incident) -> tuple[str, str]:
        return row.severity, row.get_severity_display()

    @display(description="since", ordering="opened_at")
    def since(self, row: Incident) -> str:
        return words.relative_tag(row.opened_at, timezone.now())

    @display(description="assigned to")
    def assigned_to(self, row: Incident) -> str:
        return row.assignee.username if row.assignee else "–"

    @display(description="last look")
    def why_line(self, row: Incident) -> str:
        reason = str(row.why.get("reason") or "–")
        return reason if len(reason) <= 80 else reason[:79] + "…"

    def page(self, request: HttpRequest, thing: Incident, at: datetime) -> dict[str, Any]:
        runs = list(thing.runs.select_related("playbook")[:SHOWN])
        about = Q(subject_id__in=[run.pk for run in runs]) | Q(subject_id__in=Step.objects.filter(run__in=runs).values("pk"))
        pending = ApprovalRequest.objects.filter(about, status=ApprovalStatus.PENDING)
        return {
            "service": thing.service,
            "targets_in_all": thing.service.targets.count(),
            "runs": runs,
            "episodes": thing.episodes.all()[:SHOWN],
            "timeline": timeline_of(thing),
            "parts": thing.parts.select_related("service")[:SHOWN],
            "root": thing.part_of,
            "would": would_address(thing),
            "waiting": pending.first(),
            "why_at": words.moment(thing.why.get("at")),
            "answer": why.of_incident(thing, at, next(iter(runs), None)),
            "live": thing.status in LIVE_INCIDENT,
            "before": seen_before(thing, at) if request.user.has_perm("healing.view_run") else None,
            "may_propose": thing.status in LIVE_INCIDENT and request.user.has_perm(OPERATE),
        }

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.propose_view)
        return [path("<path:object_id>/propose/", view, name="healing_incident_propose"), *super().get_urls()]

    def propose_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """GET: choose, see the dry run. POST: propose exactly that."""
        if request.method not in ("GET", "HEAD", "POST"):
            return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
        thing = self._thing(request, object_id)
        if not request.user.has_perm(OPERATE):
            raise PermissionDenied
        said = request.POST if request.method == "POST" else request.GET
        playbooks = proposing.fitting(thing)
        chosen = next((row for row in playbooks if row.name == said.get("playbook")), None)
        if request.method == "POST":
            return self._propose(request, thing, chosen)
        more: dict[str, Any] = {"title": f"Propose for {thing}", "playbooks": playbooks, "chosen": chosen, "acts": []}
        if chosen:
            dry = proposing.dry_run(thing, chosen, proposing.given(chosen, said), timezone.now())
            more |= {"fields": proposing.fields_of(chosen, said), "dry": dry}
        return self._respond(request, thing, "admin/healing/propose.html", more)

    def _propose(self, request: HttpRequest, thing: Incident, chosen: Playbook | None) -> HttpResponse:
        try:
            if chosen is None:
                raise Invalid("is no active playbook for this diagnosis", field="playbook")
            parameters = proposing.given(chosen, request.POST)
            user = User.objects.get(username=request.user.get_username())
            run = scheduler.propose(thing.pk, chosen.name, parameters, user, timezone.now(), approves_via=session_of(request))
        except REFUSALS as refusal:
            messages.error(request, sentence(str(refusal)))
            return HttpResponseRedirect(self.address(thing))
        messages.success(request, sentence(f"proposed: the run is {run.status}"))
        return HttpResponseRedirect(address_of(run))
