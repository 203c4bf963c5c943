"""Services, where they stand, what they need, and the map from alerts to them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.decorators import display

from healing import catalog
from healing.admin import labels
from healing.admin.base import Act, PageAdmin, ReadOnlyAdmin
from healing.governance import service_graph
from healing.models import MapRule, Service
from healing.signals.health import health_of, state_of
from selfheal import graph
from selfheal.states import LIVE_INCIDENT, Mode

SHOWN = 20
TARGETS = 200


class ModeForm(forms.Form):
    mode = forms.ChoiceField(
        choices=[
            (Mode.OBSERVE, "observe: decide and show, run nothing"),
            (Mode.ASK, "ask: a person decides everything"),
            (Mode.AUTO, "auto: policy decides"),
        ]
    )


def change_mode(request: HttpRequest, thing: Service, said: dict[str, Any], at: datetime) -> str:
    catalog.upsert_service({"name": thing.name, "mode": said["mode"]}, at, request.user.get_username())
    return f"{thing.name} is on {said['mode']} now"


@admin.register(Service)
class ServiceAdmin(PageAdmin):
    page_template = "admin/healing/service.html"
    list_display = ("name", "health_label", "mode_label", "live_incidents", "number_of_targets", "tier", "domain", "owner")
    list_filter = ("mode", "tier", "domain", "active")
    search_fields = ("name", "owner", "targets__name")
    search_help_text = "Name, owner or target"
    empty_title = "No service is declared"
    empty_hint = "Declare one in services.yaml and run `selfheal services sync`, or POST it to /api/self_heal/services."
    empty_next = (("Declare the first one", "/admin/", "healing.configure"),)
    acts = (
        Act(
            "mode",
            "Change mode",
            "healing.configure",
            change_mode,
            "What may happen to this service?",
            ModeForm,
            applies=lambda service: service.active and not service.from_file,
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Service]:
        live = Count("incidents", filter=Q(incidents__status__in=LIVE_INCIDENT), distinct=True)
        return super().get_queryset(request).annotate(live=live, places=Count("targets", distinct=True))

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        """The list, each of its rows with its health: three queries for all of them."""
        found = super().get_changelist_instance(request)
        health = health_of([row.pk for row in found.result_list], timezone.now())
        for row in found.result_list:
            row.health = health[row.pk]
        return found

    @display(description="health", label=labels.HEALTH)
    def health_label(self, row: Any) -> tuple[str, str]:
        return row.health, row.health

    @display(description="mode", label=labels.MODE)
    def mode_label(self, row: Service) -> tuple[str, str]:
        return row.mode, row.get_mode_display()

    @display(description="open incidents")
    def live_incidents(self, row: Any) -> int:
        return int(row.live)

    @display(description="targets")
    def number_of_targets(self, row: Any) -> int:
        return int(row.places)

    def page(self, request: HttpRequest, thing: Service, at: datetime) -> dict[str, Any]:
        return {
            "health": health_of([thing.pk], at)[thing.pk],
            "signals": [(signal, state_of(signal, at)) for signal in thing.signals.all()[:TARGETS]],
            "targets": thing.targets.all()[:TARGETS],
            "targets_in_all": thing.targets.count(),
            "needs": thing.depends_on.all(),
            "dependents": sorted(graph.dependents(service_graph(), thing.name)),
            "incidents": thing.incidents.filter(status__in=LIVE_INCIDENT).select_related("service")[:SHOWN],
            "runs": thing.runs.select_related("playbook", "service")[:SHOWN],
        }


@admin.register(MapRule)
class MapRuleAdmin(ReadOnlyAdmin):
    list_display = ("position", "match", "service", "target", "diagnosis")
    list_display_links = None
    empty_title = "No map"
    empty_hint = "Without an entry the label `service` names the service. Entries stand under `map:` in services.yaml."
