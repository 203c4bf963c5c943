"""Silences: which there are, a new one, the end of one."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from healing import silences
from healing.api import filters
from healing.api.auth import caller
from healing.api.base import ApiView, Body, Instant, One, Text
from healing.models import Silence


class SilenceRow(serializers.ModelSerializer[Silence]):
    service = serializers.CharField(source="service.name", default="", help_text="its name; empty: any")
    labels = serializers.DictField(child=serializers.CharField())
    incident = serializers.UUIDField(source="incident_id", allow_null=True)
    created_by = serializers.CharField(source="created_by.username")
    about = serializers.SerializerMethodField(help_text="what it is for, in words")
    status = serializers.SerializerMethodField(help_text="planned, active or over")

    class Meta:
        model = Silence
        fields = (
            "id", "status", "about", "service", "labels", "incident", "starts_at", "ends_at", "reason", "created_by",
            "created_at",
        )  # fmt: skip

    def get_about(self, row: Silence) -> str:
        return silences.about(row)

    def get_status(self, row: Silence) -> str:
        return silences.status(row, self.context["at"])


class NewSilence(Body):
    service = Text(required=False, allow_blank=True, default="", max_length=100, help_text="its name")
    labels = serializers.DictField(
        child=Text(allow_blank=True), required=False, default=dict, help_text="an incident that carries all of them is silent"
    )
    incident = serializers.UUIDField(required=False, allow_null=True, default=None, help_text="alone: a timed mute of this one")
    starts_at = Instant(required=False, allow_null=True, default=None, help_text="now, if none is named")
    ends_at = Instant(help_text="at most 30 days after its beginning")
    reason = Text(max_length=silences.MAX_REASON)


class EndSilence(Body):
    reason = Text(max_length=silences.MAX_REASON)


class Silences(ApiView):
    ordering = ("-ends_at", "-pk")
    serializer_class = SilenceRow
    scopes = {"POST": "operate"}

    @extend_schema(
        operation_id="silences_list",
        parameters=[OpenApiParameter("active", bool, description="true: only those that are not over")],
        responses=SilenceRow(many=True),
    )
    def get(self, request: Request) -> Response:
        """Silences, those that end last first."""
        at = timezone.now()
        rows = Silence.objects.select_related("service", "created_by")
        if filters.text(request, "active").lower() in ("true", "1"):
            rows = rows.filter(ends_at__gt=at)
        return self.page(rows, SilenceRow, at=at)

    @extend_schema(operation_id="silences_create", request=NewSilence, responses={201: SilenceRow})
    def post(self, request: Request) -> Response:
        """Propose nothing for a service, for labels, for both at once, or for one incident, until an end."""
        wanted, at = self.read(NewSilence), timezone.now()
        made = silences.create(caller(request), at=at, **wanted)
        return Response(_row(made, at), status=201)


class End(One):
    serializer_class = SilenceRow
    scopes = {"POST": "operate"}

    @extend_schema(operation_id="silences_end", request=EndSilence, responses=SilenceRow)
    def post(self, request: Request, pk: uuid.UUID) -> Response:
        """End it now; what it kept back is looked at. 409 when it is over."""
        get_object_or_404(Silence, pk=pk)
        at = timezone.now()
        return Response(_row(silences.end(pk, caller(request), self.read(EndSilence)["reason"], at), at))


def _row(silence: Silence, at: datetime) -> Any:
    return SilenceRow(silence, context={"at": at}).data
