"""What playbooks may do alone, and the grants of people."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from healing import autonomy
from healing.api import filters
from healing.api.auth import caller
from healing.api.base import ApiView, Body, Text
from healing.models import Playbook
from selfheal.trust import GRANT_DAYS


class StandingRow(serializers.Serializer[Any]):
    playbook = serializers.CharField(source="playbook.name")
    diagnosis = serializers.CharField(source="record.diagnosis")
    impact = serializers.CharField(source="playbook.impact")
    autonomous = serializers.BooleanField(source="alone", help_text="whether it may run alone, as far as its record goes")
    autonomy = serializers.CharField(source="why", help_text="why, in words")
    streak = serializers.IntegerField(source="record.streak", help_text="held runs since the last bad one")
    bound = serializers.FloatField(allow_null=True, help_text="one-sided 90 % Wilson bound of the streak; 0.70 is needed")
    held = serializers.IntegerField(source="record.held")
    not_held = serializers.IntegerField(source="record.not_held")
    demoted_at = serializers.DateTimeField(source="record.demoted_at", allow_null=True)
    granted_until = serializers.DateTimeField(source="record.granted_until", allow_null=True)
    granted_by = serializers.CharField(source="record.granted_by.username", allow_null=True, default=None)
    granted_reason = serializers.CharField(source="record.granted_reason")


class Grant(Body):
    playbook = Text(max_length=100)
    diagnosis = Text(max_length=60)
    action = serializers.ChoiceField(choices=["grant", "revoke"], default="grant")
    days = serializers.IntegerField(required=False, default=GRANT_DAYS, help_text=f"1 to {GRANT_DAYS}; of no use to `revoke`")
    reason = Text(max_length=autonomy.MAX_REASON)


class Autonomy(ApiView):
    ordering = ("name",)
    serializer_class = StandingRow
    scopes = {"POST": "admin"}

    @extend_schema(operation_id="autonomy_list", parameters=[OpenApiParameter("playbook", str)], responses=StandingRow(many=True))
    def get(self, request: Request) -> Response:
        """Each active playbook for each of its diagnoses: whether it may act alone, and why. A page holds whole playbooks."""
        rows = Playbook.objects.filter(active=True).defer("source", "document")
        if name := filters.text(request, "playbook"):
            rows = rows.filter(name=name)
        found = self.paginate_queryset(rows) or []
        return self.get_paginated_response(StandingRow(autonomy.standings(found, timezone.now()), many=True).data)

    @extend_schema(operation_id="autonomy_set", request=Grant, responses=StandingRow)
    def post(self, request: Request) -> Response:
        """Grant autonomy for a while, or end a grant. 403 for high and critical impact: those always need a person."""
        said = self.read(Grant)
        place, user, at = (said["playbook"], said["diagnosis"]), caller(request), timezone.now()
        if said["action"] == "revoke":
            return Response(_row(autonomy.revoke(*place, said["reason"], user, at)))
        return Response(_row(autonomy.grant(*place, said["days"], said["reason"], user, at)))


def _row(standing: autonomy.Standing) -> Any:
    return StandingRow(standing).data
