"""Playbooks with their record and autonomy, and dry runs."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import Any

from django.http import Http404
from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from healing import scheduler
from healing.api import filters
from healing.api.base import ApiView, Body, One, Text
from healing.models import Playbook, Record
from selfheal import trust
from selfheal.states import Impact


class RecordRow(serializers.Serializer[Any]):
    diagnosis = serializers.CharField()
    started = serializers.IntegerField()
    succeeded = serializers.IntegerField()
    failed = serializers.IntegerField()
    rolled_back = serializers.IntegerField()
    aborted = serializers.IntegerField()
    held = serializers.IntegerField()
    not_held = serializers.IntegerField()
    autonomous = serializers.BooleanField(help_text="whether it may run alone for this diagnosis, as far as its record goes")
    autonomy = serializers.CharField(help_text="why, in words")


class PlaybookRow(serializers.ModelSerializer[Playbook]):
    """Wants `records` in its context, by the name of the playbook, and `at`."""

    diagnoses = serializers.ListField(child=serializers.CharField())
    record = serializers.SerializerMethodField(help_text="one for each diagnosis")

    class Meta:
        model = Playbook
        fields = (
            "id", "name", "version", "digest", "title", "domain", "impact", "diagnoses", "reversible", "path", "created_at",
            "record",
        )  # fmt: skip

    @extend_schema_field(RecordRow(many=True))
    def get_record(self, playbook: Playbook) -> list[dict[str, Any]]:
        known: dict[str, Record] = self.context["records"][playbook.name]
        impact, at = Impact(playbook.impact), self.context["at"]
        return [_record(known.get(diagnosis) or Record(diagnosis=diagnosis), impact, at) for diagnosis in playbook.diagnoses]


class Playbooks(ApiView):
    ordering = ("name",)
    serializer_class = PlaybookRow

    @extend_schema(operation_id="playbooks_list", responses=PlaybookRow(many=True))
    def get(self, request: Request) -> Response:
        """The active version of each playbook, by name, with its record and autonomy for each diagnosis."""
        found = self.paginate_queryset(Playbook.objects.filter(active=True).defer("source", "document")) or []
        records: dict[str, dict[str, Record]] = defaultdict(dict)
        for record in Record.objects.filter(playbook__in=[playbook.name for playbook in found]):
            records[record.playbook][record.diagnosis] = record
        context = {"records": records, "at": timezone.now()}
        return self.get_paginated_response(PlaybookRow(found, many=True, context=context).data)


class Wanted(Body):
    service = Text(max_length=100)
    target = Text(required=False, allow_blank=True, default="", max_length=253, help_text="default: the service's own name")
    diagnosis = Text(max_length=60)
    parameters = serializers.DictField(required=False, default=dict)


class WouldBe(serializers.Serializer[Any]):
    not_applicable = serializers.CharField(allow_null=True, help_text="why it does not apply")
    plan = serializers.DictField(allow_null=True)
    digest = serializers.CharField(allow_null=True)
    decision = serializers.DictField(allow_null=True)
    reasons = serializers.ListField(child=serializers.CharField(), help_text="what keeps it from running alone, in words")


class DryRun(One):
    serializer_class = WouldBe
    scopes = {"POST": "read"}

    @extend_schema(operation_id="playbooks_dry_run", request=Wanted, responses=WouldBe)
    def post(self, request: Request, name: str) -> Response:
        """What would be done and decided now; touches nothing."""
        wanted = self.read(Wanted)
        if not Playbook.objects.filter(name=filters.storable(name), active=True).exists():
            raise Http404
        target = wanted["target"] or wanted["service"]
        found = scheduler.dry_run(wanted["service"], target, wanted["diagnosis"], name, wanted["parameters"], timezone.now())
        return Response({**found, "reasons": _reasons(found)})


def _record(record: Record, impact: Impact, at: datetime) -> dict[str, Any]:
    autonomous, why = trust.autonomy(record.standing, impact, at)
    counts = ("started", "succeeded", "failed", "rolled_back", "aborted", "held", "not_held")
    return {
        "diagnosis": record.diagnosis,
        **{name: getattr(record, name) for name in counts},
        "autonomous": autonomous,
        "autonomy": why,
    }


def _reasons(found: dict[str, Any]) -> list[str]:
    if found["not_applicable"]:
        return [found["not_applicable"]]
    rules = (found["decision"] or {}).get("rules", [])
    return [f"{rule['rule']}: {rule['reason']}" for rule in rules if rule["verdict"] != "auto"]
