"""Signals: what was measured last of every target, and what that says."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.decorators import display

from healing.admin import labels, words
from healing.admin.base import ReadOnlyAdmin
from healing.models import Signal
from healing.signals.health import state_of


@admin.register(Signal)
class SignalAdmin(ReadOnlyAdmin):
    list_display = ("metric", "service", "target", "state_label", "number", "since_when", "measured", "becoming")
    list_display_links = None
    list_select_related = ("service",)
    list_filter = ("state", "metric")
    search_fields = ("metric", "target", "service__name")
    search_help_text = "Metric, target or service"
    empty_title = "Nothing is measured"
    empty_hint = (
        "Send samples to /api/self_heal/signals, or name queries under `pull:` in signals.yaml and set SELF_HEAL_PROMETHEUS_URL."
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Signal]:
        return super().get_queryset(request).select_related("service")

    @display(description="state", label=labels.HEALTH, ordering="state")
    def state_label(self, row: Signal) -> tuple[str, str]:
        state = state_of(row, timezone.now())
        return state, state

    @display(description="value", ordering="value")
    def number(self, row: Signal) -> str:
        return f"{row.value:.6g}"

    @display(description="since", ordering="since")
    def since_when(self, row: Signal) -> str:
        return words.relative_tag(row.since, timezone.now())

    @display(description="measured", ordering="seen_at")
    def measured(self, row: Signal) -> str:
        return words.relative_tag(row.seen_at, timezone.now())

    @display(description="may become")
    def becoming(self, row: Signal) -> str:
        return f"{row.candidate}, seen {row.times}×" if row.candidate else "–"
