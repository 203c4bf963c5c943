"""Change windows and freezes: how each stands, and what they say together about a service, an impact and a time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from healing import windows
from healing.api import filters
from healing.api.base import ApiView, One
from healing.governance import window_at
from healing.models import Service, Window
from selfheal.errors import Invalid
from selfheal.states import Impact
from selfheal.windows import openings_of, standing

YEARS = range(2000, 2101)


class OpeningRow(serializers.Serializer[Any]):
    start = serializers.DateTimeField()
    end = serializers.DateTimeField(allow_null=True, help_text="null: as far as is looked ahead")


class WindowRow(serializers.ModelSerializer[Window]):
    services: Any = serializers.SlugRelatedField("name", many=True, read_only=True, help_text="none: all")
    impacts = serializers.ListField(child=serializers.CharField(), help_text="none: all")
    now = serializers.SerializerMethodField(help_text="how it stands by itself, in words")
    problem = serializers.SerializerMethodField(help_text="why it cannot be read; it is closed then")
    openings = serializers.SerializerMethodField(help_text="the next five times that it opens, or that the freeze holds")

    class Meta:
        model = Window
        fields = (
            "id", "name", "kind", "time_zone", "services", "impacts", "active", "path", "now", "problem", "openings", "calendar",
        )  # fmt: skip

    def get_now(self, row: Window) -> str:
        return standing(windows.calendar_of(row), self.context["at"]) if row.active else "not in force"

    def get_problem(self, row: Window) -> str:
        return windows.calendar_of(row).problem

    @extend_schema_field(OpeningRow(many=True))
    def get_openings(self, row: Window) -> Any:
        calendar = windows.calendar_of(row)
        return OpeningRow([] if calendar.problem else openings_of(calendar, self.context["at"]), many=True).data


class StateRow(serializers.Serializer[Any]):
    inside = serializers.BooleanField(help_text="whether changes are made then")
    window = serializers.CharField(help_text="which window or freeze says so, in words")
    opens_at = serializers.DateTimeField(allow_null=True)
    at = serializers.DateTimeField()
    time_zone = serializers.CharField(help_text="of the installation")
    openings = OpeningRow(many=True)


class Windows(ApiView):
    ordering = ("name",)
    serializer_class = WindowRow

    @extend_schema(operation_id="windows_list", parameters=[OpenApiParameter("name", str)], responses=WindowRow(many=True))
    def get(self, request: Request) -> Response:
        """Windows and freezes by name."""
        rows = windows.with_services()
        if name := filters.text(request, "name"):
            rows = rows.filter(name=name)
        return self.page(rows, WindowRow, at=timezone.now())


class WindowState(One):
    serializer_class = StateRow

    @extend_schema(
        operation_id="windows_state",
        parameters=[
            OpenApiParameter("service", str, description="its name; without one: what holds for all"),
            OpenApiParameter("impact", str, description="medium, if none is named"),
            OpenApiParameter("at", OpenApiTypes.DATETIME, description="now, if none is named; UTC where no zone is said"),
        ],
        responses=StateRow,
    )
    def get(self, request: Request) -> Response:
        """Whether changes are made to a service, with an impact, at a time; and when next."""
        at, service = _at(request), filters.text(request, "service")
        if service and not Service.objects.filter(name=service).exists():
            raise Invalid("there is no service of this name", field="service")
        impact = Impact((filters.choices(request, "impact", Impact) or [Impact.MEDIUM])[0])
        calendars = windows.in_force()
        inside, said, opens_at = window_at(service, impact, at, calendars)
        found = {
            "inside": inside,
            "window": said,
            "opens_at": opens_at,
            "at": at,
            "time_zone": settings.SELF_HEAL_TIME_ZONE or "UTC",
            "openings": windows.next_openings(calendars, service, impact, at),
        }
        return Response(StateRow(found).data)


def _at(request: Request) -> datetime:
    value = filters.text(request, "at").strip().replace(" ", "+")  # a + that was not written as %2B
    if not value:
        return timezone.now()
    try:
        found = parse_datetime(value)
    except ValueError:
        found = None
    if found is None or found.year not in YEARS:
        raise Invalid(f"is a time like 2026-11-27T09:00:00Z, from {YEARS[0]} to {YEARS[-1]}", field="at")
    return found if found.tzinfo else found.replace(tzinfo=UTC)
