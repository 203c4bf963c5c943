"""The domains: what is measured in each, how its parts are, and what heals them."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from healing import domains
from healing.api.base import One
from selfheal.states import Health
from selfheal.telemetry import Metric


class MetricRow(serializers.Serializer[Any]):
    name = serializers.CharField()
    unit = serializers.CharField()
    meaning = serializers.CharField()
    degraded = serializers.FloatField(source="threshold.degraded", allow_null=True, default=None)
    critical = serializers.FloatField(source="threshold.critical", allow_null=True, default=None)
    worse = serializers.SerializerMethodField(help_text="above or below its thresholds; null: it judges nothing")
    diagnosis = serializers.CharField(source="threshold.diagnosis", allow_null=True, default=None)

    def get_worse(self, metric: Metric) -> str | None:
        return ("below" if metric.threshold.below else "above") if metric.threshold else None


class NodeRow(serializers.Serializer[Any]):
    name = serializers.CharField(source="node.name")
    health = serializers.ChoiceField(source="node.health", choices=list(Health))
    why = serializers.CharField(source="node.why")
    depends_on = serializers.ListField(source="node.depends_on", child=serializers.CharField())
    page = serializers.CharField(help_text="where it says what to do about it; empty: it is well, or no page tells of it")


class HealerRow(serializers.Serializer[Any]):
    name = serializers.CharField()
    title = serializers.CharField()
    active = serializers.BooleanField(help_text="false: this installation has no such playbook")


class PlaceRow(serializers.Serializer[Any]):
    service = serializers.CharField()
    target = serializers.CharField()
    looked_at = serializers.DateTimeField(allow_null=True)
    why = serializers.CharField(help_text="what could not be seen of it, or why it is not well")


class SensedDomain(serializers.Serializer[Any]):
    name = serializers.CharField()
    title = serializers.CharField()
    sensed = serializers.BooleanField(help_text="SELF_HEAL_SENSE names it")
    health = serializers.ChoiceField(choices=list(Health))
    first = serializers.ListField(child=serializers.CharField(), help_text="the parts that are unwell by themselves")
    looked_at = serializers.DateTimeField(allow_null=True)
    telemetry = MetricRow(many=True)
    nodes = NodeRow(source="parts", many=True)
    playbooks = HealerRow(many=True)
    actions = serializers.ListField(child=serializers.CharField())
    checks = serializers.ListField(child=serializers.CharField())
    places = PlaceRow(many=True)


class SensedDomains(serializers.Serializer[Any]):
    results = SensedDomain(many=True)
    next = serializers.CharField(allow_null=True, help_text="null: this is all of them")
    previous = serializers.CharField(allow_null=True)


class Domains(One):
    serializer_class = SensedDomains

    @extend_schema(operation_id="domains_list", responses=SensedDomains)
    def get(self, request: Request) -> Response:
        """Each domain that has an adapter: its telemetry, its parts with health, reason and dependencies, what heals them."""
        found = {"results": domains.domains(timezone.now()), "next": None, "previous": None}
        return Response(SensedDomains(found).data)
