"""Alerts that nobody declared a service for."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from healing.api import filters
from healing.api.base import ApiView
from healing.models import UnmatchedAlert
from selfheal.states import EpisodeStatus


class UnmatchedRow(serializers.ModelSerializer[UnmatchedAlert]):
    suggestion = serializers.CharField(help_text="the line for `map:` in services.yaml that would match")

    class Meta:
        model = UnmatchedAlert
        fields = (
            "id", "fingerprint", "starts_at", "status", "labels", "annotations", "reason", "suggestion",
            "first_seen_at", "last_seen_at",
        )  # fmt: skip


class Unmatched(ApiView):
    ordering = ("-last_seen_at", "-pk")
    serializer_class = UnmatchedRow

    @extend_schema(
        operation_id="alerts_unmatched_list", parameters=[filters.STATUS, filters.SINCE], responses=UnmatchedRow(many=True)
    )
    def get(self, request: Request) -> Response:
        """Alerts that matched nothing, newest first, each with the mapping line that would match it."""
        rows = UnmatchedAlert.objects.all()
        if status := filters.choices(request, "status", EpisodeStatus):
            rows = rows.filter(status__in=status)
        if since := filters.since(request):
            rows = rows.filter(last_seen_at__gte=since)
        return self.page(rows, UnmatchedRow)
