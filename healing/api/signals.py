"""Signals: what they are now, and samples in."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.request import Request
from rest_framework.response import Response

from healing.api import auth, filters
from healing.api.base import ApiView
from healing.api.intake import JSON
from healing.models import Signal
from healing.signals import health, receiving
from selfheal.states import Health


class SignalRow(serializers.ModelSerializer[Signal]):
    service = serializers.CharField(source="service.name")
    state = serializers.SerializerMethodField()
    seen_at = serializers.DateTimeField(help_text="when the newest value was measured")
    candidate = serializers.CharField(help_text="the state that it becomes if more samples say so; empty: none")

    class Meta:
        model = Signal
        fields = ("id", "service", "target", "metric", "state", "since", "value", "seen_at", "candidate", "times")

    @extend_schema_field(serializers.ChoiceField(choices=[each.value for each in Health]))
    def get_state(self, signal: Signal) -> str:
        return health.state_of(signal, self.context["at"])


class SampleBody(serializers.Serializer[Any]):
    """One measured value. For the documentation: samples are read by msgspec."""

    service = serializers.CharField(max_length=253, help_text="name of a declared service")
    target = serializers.CharField(max_length=253, required=False, help_text="one of its targets; none: its only one")
    metric = serializers.RegexField(r"^[A-Za-z_][A-Za-z0-9_:.-]{0,99}$", help_text="up, latency_ms, error_rate, or any other")
    value = serializers.FloatField()
    at = serializers.DateTimeField(required=False, help_text="when it was measured, with its zone; none: now")


class RejectedRow(serializers.Serializer[Any]):
    index = serializers.IntegerField()
    field = serializers.CharField()
    reason = serializers.CharField()


class SamplesAccepted(serializers.Serializer[Any]):
    accepted = serializers.IntegerField(help_text="samples that were new")
    deduplicated = serializers.IntegerField(help_text="samples of an instant of which there is one already")
    unmatched = serializers.IntegerField(help_text="samples of no declared service or target")
    rejected = RejectedRow(many=True)
    incidents = serializers.ListField(child=serializers.UUIDField(), help_text="that the changes of state are about")


class Signals(ApiView):
    ordering = ("service__name", "target", "metric", "pk")
    serializer_class = SignalRow
    scopes = {"POST": "ingest"}

    @extend_schema(
        operation_id="signals_list",
        parameters=[filters.SERVICE, OpenApiParameter("metric", str), OpenApiParameter("target", str)],
        responses=SignalRow(many=True),
    )
    def get(self, request: Request) -> Response:
        """Current signals, each with its state, since when, and the newest value."""
        rows = Signal.objects.select_related("service")
        for name, column in (("service", "service__name"), ("metric", "metric"), ("target", "target")):
            if value := filters.text(request, name):
                rows = rows.filter(**{column: value})
        return self.page(rows, SignalRow, at=timezone.now())

    @extend_schema(operation_id="signals_receive", request=SampleBody(many=True), responses={202: SamplesAccepted})
    def post(self, request: Request) -> Response:
        """Metric samples, one or an array of them. Idempotent by what they say; one bad sample never blocks the others."""
        if request.content_type.partition(";")[0].strip().lower() not in JSON:
            raise UnsupportedMediaType(request.content_type)
        token = auth.token_of(request)
        answer = receiving.receive(
            request._request.body,
            actor=request.user.get_username(),
            at=timezone.now(),
            token=str(token.public_id) if token else "",
        )
        return Response(answer, status=202)
