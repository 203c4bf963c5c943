"""Services: a list, and upserts by their name."""

from __future__ import annotations

import uuid
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from healing import catalog
from healing.api import filters
from healing.api.base import ApiView
from healing.models import Service
from healing.signals.health import health_of
from selfheal.errors import Invalid
from selfheal.states import Health, Mode


class TargetRow(serializers.Serializer[Any]):
    name = serializers.CharField()
    url = serializers.CharField()


class ServiceRow(serializers.ModelSerializer[Service]):
    labels = serializers.DictField(child=serializers.CharField())
    depends_on = serializers.SerializerMethodField(help_text="names of services")
    targets = serializers.DictField(source="targets_spec", help_text="{hosts, url, via, user} as declared; empty: its own target")
    resolved_targets = serializers.SerializerMethodField(help_text="each target with its URL")
    health = serializers.SerializerMethodField(help_text="the worst of its targets, by their signals and live incidents")

    class Meta:
        model = Service
        fields = (
            "id", "name", "url", "mode", "tier", "domain", "owner", "labels", "depends_on", "targets", "resolved_targets",
            "min_instances", "pool", "active", "from_file", "health",
        )  # fmt: skip

    def get_depends_on(self, service: Service) -> list[str]:
        return sorted(needed.name for needed in service.depends_on.all())

    @extend_schema_field(serializers.ChoiceField(choices=[health.value for health in Health]))
    def get_health(self, service: Service) -> str:
        known: dict[uuid.UUID, Health] = self.context.get("health") or health_of([service.pk], timezone.now())
        return known[service.pk]

    @extend_schema_field(TargetRow(many=True))
    def get_resolved_targets(self, service: Service) -> Any:
        return TargetRow(service.targets.all(), many=True).data


class ServiceBody(serializers.Serializer[Any]):
    """As in services.yaml. For the documentation: the catalog itself checks it, as it checks the file."""

    name = serializers.CharField()
    url = serializers.CharField(required=False)
    mode = serializers.ChoiceField(choices=[mode.value for mode in Mode], required=False)
    tier = serializers.CharField(required=False)
    domain = serializers.CharField(required=False)
    owner = serializers.CharField(required=False)
    labels = serializers.DictField(child=serializers.CharField(), required=False)
    depends_on = serializers.ListField(child=serializers.CharField(), required=False)
    targets = serializers.DictField(required=False)
    min_instances = serializers.IntegerField(required=False)
    pool = serializers.CharField(required=False, help_text="the runner pool whose workers heal it")


class Services(ApiView):
    ordering = ("name",)
    serializer_class = ServiceRow
    scopes = {"POST": "admin"}

    @extend_schema(
        operation_id="services_list",
        parameters=[OpenApiParameter("name", str), OpenApiParameter("mode", str)],
        responses=ServiceRow(many=True),
    )
    def get(self, request: Request) -> Response:
        """Services by name."""
        rows = Service.objects.prefetch_related("depends_on", "targets")
        if name := filters.text(request, "name"):
            rows = rows.filter(name=name)
        if mode := filters.choices(request, "mode", Mode):
            rows = rows.filter(mode__in=mode)
        found = self.paginate_queryset(rows) or []
        health = health_of([service.pk for service in found], timezone.now())
        return self.get_paginated_response(ServiceRow(found, many=True, context={"health": health}).data)

    @extend_schema(operation_id="services_upsert", request=ServiceBody, responses={200: ServiceRow, 201: ServiceRow})
    def post(self, request: Request) -> Response:
        """Declare a service, or change what is declared of it: 201 or 200."""
        if not isinstance(request.data, dict):
            raise Invalid("the body must be an object")
        service, created = catalog.upsert_service(dict(request.data), timezone.now(), request.user.get_username())
        return Response(ServiceRow(service).data, status=201 if created else 200)
