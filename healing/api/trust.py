"""How far actors are trusted, by what came of what they asked for or did; and what people set."""

from __future__ import annotations

from typing import Any

from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from healing import trust
from healing.api import filters
from healing.api.auth import caller
from healing.api.base import ApiView, Body, One, Text
from healing.models import TrustEvidence, TrustScore
from selfheal.scores import LONGEST, Kind


class TrustRow(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(source="row.kind", choices=list(Kind))
    name = serializers.CharField(source="row.name")
    score = serializers.FloatField(source="trust.score", help_text="0 to 1; 0.5: nothing is known")
    lower_bound = serializers.FloatField(
        source="trust.lower_bound", help_text="one-sided 90 % Wilson bound of the evidence alone"
    )
    seen = serializers.FloatField(source="trust.seen", help_text="evidence, by its age")
    low = serializers.BooleanField(source="trust.low", help_text="below 0.30: it starts nothing alone")
    reasons = serializers.ListField(source="trust.reasons", child=serializers.CharField())
    set_to = serializers.FloatField(
        source="row.set_to", allow_null=True, help_text="by a person, in the place of what was earned"
    )
    set_until = serializers.DateTimeField(source="row.set_until", allow_null=True)
    set_by = serializers.CharField(source="row.set_by.username", allow_null=True, default=None)


class EvidenceRow(serializers.ModelSerializer[TrustEvidence]):
    class Meta:
        model = TrustEvidence
        fields = ("index", "at", "good", "reason", "score")


class ChangeRow(serializers.Serializer[Any]):
    index = serializers.IntegerField(help_text="of the entry in the log")
    at = serializers.DateTimeField()
    actor = serializers.CharField()
    action = serializers.CharField(help_text="trust.lost, trust.regained, trust.set or trust.taken_back")
    reason = serializers.CharField()
    before = serializers.CharField()
    after = serializers.CharField()


class TrustPage(TrustRow):
    history = serializers.SerializerMethodField(help_text=f"the newest {trust.SHOWN} things that spoke for or against it")
    changes = serializers.SerializerMethodField(help_text=f"the newest {trust.SHOWN} entries of the log about it")

    def get_history(self, known: trust.Known) -> list[dict[str, Any]]:
        return list(EvidenceRow(trust.evidence_of(known.row), many=True).data)

    def get_changes(self, known: trust.Known) -> list[dict[str, Any]]:
        return list(ChangeRow(trust.changes_of(known.row), many=True).data)


class SetTrust(Body):
    kind = serializers.ChoiceField(choices=list(Kind))
    name = Text(max_length=trust.MAX_NAME)
    action = serializers.ChoiceField(choices=["set", "take_back"], default="set")
    score = serializers.FloatField(required=False, allow_null=True, default=None, help_text="0 to 1; of no use to `take_back`")
    days = serializers.IntegerField(
        required=False, allow_null=True, default=None, help_text=f"1 to {LONGEST.days}; left out: until it is taken back"
    )
    reason = Text(max_length=trust.MAX_REASON)


class TrustList(ApiView):
    ordering = ("kind", "name")
    serializer_class = TrustRow
    scopes = {"POST": "admin"}

    @extend_schema(
        operation_id="trust_list", parameters=[OpenApiParameter("kind", str, enum=list(Kind))], responses=TrustRow(many=True)
    )
    def get(self, request: Request) -> Response:
        """Each actor of whom anything is known: trigger sources, playbooks, domains, people and programs, tokens."""
        rows = TrustScore.objects.select_related("set_by")
        if kinds := filters.choices(request, "kind", Kind):
            rows = rows.filter(kind__in=kinds)
        found = self.paginate_queryset(rows) or []
        return self.get_paginated_response(TrustRow(trust.known(found, timezone.now()), many=True).data)

    @extend_schema(operation_id="trust_set", request=SetTrust, responses=TrustRow)
    def post(self, request: Request) -> Response:
        """Let a person's word stand in the place of what was earned, or let what was earned stand again; logged."""
        said, user, at = self.read(SetTrust), caller(request), timezone.now()
        actor = (said["kind"], said["name"])
        if said["action"] == "take_back":
            trust.take_back(*actor, said["reason"], user, at)
        else:
            trust.set_by_hand(*actor, said["score"], said["days"], said["reason"], user, at)
        return Response(TrustRow(_known(*actor)).data)


class OneTrust(One):
    serializer_class = TrustPage

    @extend_schema(operation_id="trust_get", responses=TrustPage)
    def get(self, request: Request, kind: str, name: str) -> Response:
        """One actor with the reasons for its score and its history."""
        return Response(TrustPage(_known(kind, filters.storable(name))).data)


def _known(kind: str, name: str) -> trust.Known:
    row = get_object_or_404(TrustScore.objects.select_related("set_by"), kind=kind, name=name)
    return trust.known([row], timezone.now())[0]
