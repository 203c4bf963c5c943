"""Problems: what is healed again and again, and who has its cause."""

from __future__ import annotations

import uuid
from typing import Any

from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from healing import debt
from healing.api import filters
from healing.api.auth import caller
from healing.api.base import ApiView, Body, One, Text
from healing.models import Problem, ProblemIncident
from selfheal.states import ProblemStatus

SHOWN = 100  # incidents of one problem, the newest


class ProblemRow(serializers.ModelSerializer[Problem]):
    service = serializers.CharField(source="service.name")
    minutes = serializers.IntegerField(help_text="for which its incidents were open, together")
    acknowledged_by = serializers.CharField(source="acknowledged_by.username", allow_null=True, default=None)

    class Meta:
        model = Problem
        fields: tuple[str, ...] = (
            "id", "service", "diagnosis", "status", "owner", "heals", "minutes", "first_at", "last_at", "opened_at",
            "acknowledged_at", "acknowledged_by", "note",
        )  # fmt: skip


class PartRow(serializers.ModelSerializer[ProblemIncident]):
    id = serializers.UUIDField(source="incident_id")
    target = serializers.CharField(source="incident.target")
    title = serializers.CharField(source="incident.title")
    opened_at = serializers.DateTimeField(source="incident.opened_at")

    class Meta:
        model = ProblemIncident
        fields = ("id", "target", "title", "opened_at", "seconds")


class ProblemPage(ProblemRow):
    incidents = serializers.SerializerMethodField(help_text=f"the newest {SHOWN}: {{id, target, title, opened_at, seconds}}")

    class Meta(ProblemRow.Meta):
        fields = (*ProblemRow.Meta.fields, "incidents")

    def get_incidents(self, problem: Problem) -> list[dict[str, Any]]:
        return list(PartRow(problem.parts.select_related("incident")[:SHOWN], many=True).data)


class Problems(ApiView):
    ordering = ("-opened_at", "-pk")
    serializer_class = ProblemRow

    @extend_schema(
        operation_id="problems_list",
        parameters=[filters.STATUS, filters.SERVICE, OpenApiParameter("owner", str), OpenApiParameter("diagnosis", str)],
        responses=ProblemRow(many=True),
    )
    def get(self, request: Request) -> Response:
        """What is healed again and again, newest first: how often, what it cost, whose it is, and who has its cause."""
        rows = Problem.objects.select_related("service", "acknowledged_by")
        if status := filters.choices(request, "status", ProblemStatus):
            rows = rows.filter(status__in=status)
        for name, field in (("service", "service__name"), ("owner", "owner"), ("diagnosis", "diagnosis")):
            if value := filters.text(request, name):
                rows = rows.filter(**{field: value})
        return self.page(rows, ProblemRow)


class OneProblem(One):
    serializer_class = ProblemPage

    @extend_schema(operation_id="problems_get", responses=ProblemPage)
    def get(self, request: Request, pk: uuid.UUID) -> Response:
        """One problem with its incidents."""
        return Response(ProblemPage(_problem(pk)).data)


class Acknowledgement(Body):
    reason = Text(max_length=debt.MAX_NOTE, help_text="what is done about the cause")


class Acknowledge(One):
    serializer_class = ProblemRow
    scopes = {"POST": "operate"}

    @extend_schema(operation_id="problems_ack", request=Acknowledgement, responses=ProblemRow)
    def post(self, request: Request, pk: uuid.UUID) -> Response:
        """Take it, and say what is done about the cause: policy decides again. 409 where somebody has it already."""
        _problem(pk)
        debt.acknowledge(pk, caller(request), self.read(Acknowledgement)["reason"], timezone.now())
        return Response(ProblemRow(_problem(pk)).data)


def _problem(pk: uuid.UUID) -> Problem:
    return get_object_or_404(Problem.objects.select_related("service", "acknowledged_by"), pk=pk)
