"""Runs: lists, one with its plan, decision, steps and output; and stopping it."""

from __future__ import annotations

import uuid
from typing import Any

from django.db.models import Prefetch
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from healing import runs, shadow
from healing.api import filters
from healing.api.auth import caller
from healing.api.base import ApiView, Body, One, Text
from healing.models import PutBack, Run, Step
from selfheal.shadow import Judgement
from selfheal.states import RunStatus


class RunRow(serializers.ModelSerializer[Run]):
    incident = serializers.UUIDField(source="incident_id", allow_null=True)
    service = serializers.CharField(source="service.name")
    playbook = serializers.CharField(source="playbook.name")
    version = serializers.IntegerField(source="playbook.version", help_text="of the playbook")
    verdict = serializers.SerializerMethodField(help_text="what policy said: auto, approval, defer or deny")

    class Meta:
        model = Run
        fields: tuple[str, ...] = (
            "id", "incident", "service", "target", "diagnosis", "playbook", "version", "trigger", "requested_by", "impact",
            "status", "outcome", "abort_reason", "reason", "held", "verdict", "digest", "created_at", "approved_at",
            "started_at", "finished_at", "deadline_at",
        )  # fmt: skip

    def get_verdict(self, run: Run) -> str | None:
        verdict = run.decision.get("verdict")
        return str(verdict) if verdict else None


class PutBackRow(serializers.ModelSerializer[PutBack]):
    arguments = serializers.DictField(help_text="of the action, that put the change back")

    class Meta:
        model = PutBack
        fields = ("due_at", "done_at", "attempts", "message", "arguments")


class StepRow(serializers.ModelSerializer[Step]):
    arguments = serializers.DictField()
    result = serializers.DictField()
    put_back = PutBackRow(allow_null=True, default=None, help_text="when what it changed for a while is put back; null: never")

    class Meta:
        model = Step
        fields = (
            "id", "phase", "position", "target", "name", "action", "arguments", "status", "attempt", "bound_seconds",
            "started_at", "finished_at", "message", "result", "stdout", "stderr", "stdout_bytes", "stderr_bytes",
            "put_back",
        )  # fmt: skip


class RunPage(RunRow):
    plan = serializers.DictField(help_text="frozen when it was proposed; `digest` is the SHA-256 of its RFC 8785 form")
    decision = serializers.DictField(help_text="{verdict, why, rules: [{rule, verdict, reason}], …}")
    choice = serializers.SerializerMethodField(
        help_text="why this playbook: {ranker, chosen, advised, why, fallback, seed, of, candidates}; null: a person chose it"
    )
    steps = serializers.SerializerMethodField(help_text="with their output, at most 64 KiB a stream, in order")
    verification = serializers.SerializerMethodField(help_text="the steps of the phase `verify`")

    class Meta(RunRow.Meta):
        fields = (*RunRow.Meta.fields, "plan", "decision", "choice", "steps", "verification")

    def get_choice(self, run: Run) -> dict[str, Any] | None:
        return run.decision.get("choice")

    @extend_schema_field(StepRow(many=True))
    def get_steps(self, run: Run) -> Any:
        return StepRow([step for step in run.steps.all() if step.phase != "verify"], many=True).data

    @extend_schema_field(StepRow(many=True))
    def get_verification(self, run: Run) -> Any:
        return StepRow([step for step in run.steps.all() if step.phase == "verify"], many=True).data


class Runs(ApiView):
    ordering = ("-created_at", "-pk")
    serializer_class = RunRow

    @extend_schema(
        operation_id="runs_list",
        parameters=[filters.STATUS, filters.SERVICE, filters.INCIDENT, OpenApiParameter("playbook", str), filters.SINCE],
        responses=RunRow(many=True),
    )
    def get(self, request: Request) -> Response:
        """Runs, newest first. `since` looks at when they were proposed."""
        rows = Run.objects.select_related("service", "playbook").defer("plan")
        if status := filters.choices(request, "status", RunStatus):
            rows = rows.filter(status__in=status)
        if service := filters.text(request, "service"):
            rows = rows.filter(service__name=service)
        if incident := filters.identity(request, "incident"):
            rows = rows.filter(incident=incident)
        if playbook := filters.text(request, "playbook"):
            rows = rows.filter(playbook__name=playbook)
        if since := filters.since(request):
            rows = rows.filter(created_at__gte=since)
        return self.page(rows, RunRow)


class OneRun(One):
    serializer_class = RunPage

    @extend_schema(operation_id="runs_get", responses=RunPage)
    def get(self, request: Request, pk: uuid.UUID) -> Response:
        """One run: plan, digest, decision, steps with their output, verification, outcome, held."""
        return Response(RunPage(_run(pk)).data)


class Reason(Body):
    reason = Text(required=False, allow_blank=True, default="", max_length=5_000)


class Abort(One):
    serializer_class = RunRow
    scopes = {"POST": "operate"}

    @extend_schema(operation_id="runs_abort", request=Reason, responses=RunRow)
    def post(self, request: Request, pk: uuid.UUID) -> Response:
        """Stop it: at once when it has not started, else its worker ends it within seconds. 409 when it is over."""
        _run(pk)
        reason = self.read(Reason)["reason"]
        runs.abort(pk, actor=request.user.get_username(), reason=reason, at=timezone.now())
        return Response(RunRow(_run(pk)).data)


class Word(Body):
    judgement = serializers.ChoiceField(choices=list(Judgement))
    reason = Text(max_length=shadow.MAX_NOTE)


class Judge(One):
    serializer_class = RunRow
    scopes = {"POST": "operate"}

    @extend_schema(operation_id="runs_judge", request=Word, responses=RunRow)
    def post(self, request: Request, pk: uuid.UUID) -> Response:
        """Say what a run would have done that only the mode kept from starting. 409 for any other."""
        _run(pk)
        said = self.read(Word)
        shadow.say(pk, said["judgement"], said["reason"], caller(request), timezone.now())
        return Response(RunRow(_run(pk)).data)


def _run(pk: uuid.UUID) -> Run:
    steps = Prefetch("steps", Step.objects.select_related("put_back"))
    rows = Run.objects.select_related("service", "playbook").prefetch_related(steps)
    return get_object_or_404(rows, pk=pk)
