"""Why nothing happened for the alerts of one name."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from healing.api import filters
from healing.api.base import One
from healing.api.incidents import Answer
from healing.why import SHOWN, of_alert
from selfheal.errors import Invalid

ALERTNAME = OpenApiParameter("alertname", str, required=True, description="the name of an alert")


class IncidentAnswer(Answer):
    incident = serializers.UUIDField()
    service = serializers.CharField()
    target = serializers.CharField()
    diagnosis = serializers.CharField()
    status = serializers.CharField()
    title = serializers.CharField()


class UnmatchedAnswer(Answer):
    id = serializers.UUIDField(help_text="of the unmatched alert")
    labels = serializers.DictField(child=serializers.CharField())
    suggestion = serializers.CharField(help_text="the line for `map:` in services.yaml that would match")


class AlertWhy(serializers.Serializer[Any]):
    alertname = serializers.CharField()
    why = Answer(help_text="the first answer of those below; where there is none, that nothing came, and since when we listen")
    incidents = IncidentAnswer(many=True, help_text=f"live ones, else those that were over last; at most {SHOWN}")
    unmatched = UnmatchedAnswer(many=True, help_text=f"at most {SHOWN}")


class WhyAlert(One):
    serializer_class = AlertWhy

    @extend_schema(operation_id="alerts_why", parameters=[ALERTNAME], responses=AlertWhy)
    def get(self, request: Request) -> Response:
        """Why nothing happened for an alert, by its name: its incidents, the mapping that is missing, or that it never came."""
        name = filters.text(request, "alertname")
        if not name:
            raise Invalid("must be given", field="alertname")
        found = of_alert(name, timezone.now())
        return Response(
            AlertWhy(
                {
                    "alertname": name,
                    "why": found["why"].plain(),
                    "incidents": [_of_incident(*pair) for pair in found["incidents"]],
                    "unmatched": [_of_unmatched(*pair) for pair in found["unmatched"]],
                }
            ).data
        )


def _of_incident(incident: Any, answer: Any) -> dict[str, Any]:
    said = {name: getattr(incident, name) for name in ("target", "diagnosis", "status", "title")}
    return {**answer.plain(), "incident": incident.pk, "service": incident.service.name, **said}


def _of_unmatched(row: Any, answer: Any) -> dict[str, Any]:
    return {**answer.plain(), "id": row.pk, "labels": row.labels, "suggestion": row.suggestion}
