"""Filters of the lists."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Any

from django.contrib.admin import ModelAdmin, SimpleListFilter
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest

from healing.models import Incident, Playbook
from selfheal.states import LIVE_INCIDENT


class StatusFilter(SimpleListFilter):
    """By `status`, with one status chosen until another is asked for; `all` shows every row."""

    title = "status"
    parameter_name = "status"
    default = ""
    choices_of: type[StrEnum]

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        return [*((state.value, state.value.replace("_", " ")) for state in self.choices_of), ("all", "all")]

    def value(self) -> str:
        return super().value() or self.default

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset if self.value() == "all" else queryset.filter(status=self.value())

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        for value, title in self.lookup_choices:
            yield {
                "selected": self.value() == value,
                "query_string": changelist.get_query_string({self.parameter_name: value}),
                "display": title,
            }


class DiagnosisFilter(SimpleListFilter):
    """The diagnoses that some playbook heals or that are live now: a list that does not grow with the history."""

    title = "diagnosis"
    parameter_name = "diagnosis"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        known = {name for names in Playbook.objects.filter(active=True).values_list("diagnoses", flat=True) for name in names}
        live = Incident.objects.filter(status__in=LIVE_INCIDENT).order_by().values_list("diagnosis", flat=True).distinct()
        return [(name, name.replace("_", " ")) for name in sorted(known.union(live))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(diagnosis=self.value()) if self.value() else queryset


class PlaybookFilter(SimpleListFilter):
    """By the name of a playbook, whatever its version."""

    title = "playbook"
    parameter_name = "playbook"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        return [(name, name) for name in Playbook.objects.filter(active=True).values_list("name", flat=True)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(playbook__name=self.value()) if self.value() else queryset
