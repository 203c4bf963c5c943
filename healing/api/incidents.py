"""Incidents: lists, one, its timeline, why it was not healed; and what people do with it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from healing import incidents, scheduler, silences
from healing.api import filters
from healing.api.auth import caller, token_of
from healing.api.base import ApiView, Body, One, Text
from healing.api.runs import RunRow
from healing.models import Episode, Incident, LedgerEntry, Run, TimelineEvent
from healing.why import of_incident
from selfheal import whynot
from selfheal.states import IncidentStatus, Severity

EPISODES = 50
MUTE_MINUTES = 7 * 24 * 60


class IncidentRow(serializers.ModelSerializer[Incident]):
    service = serializers.CharField(source="service.name")
    assignee = serializers.CharField(source="assignee.username", allow_null=True, default=None, help_text="who works on it")
    part_of = serializers.UUIDField(source="part_of_id", allow_null=True, help_text="the incident of its root")
    why = serializers.DictField(help_text="the last look: {skip, reason, at, next_look_at, run, verdict}")
    labels = serializers.DictField(child=serializers.CharField())

    class Meta:
        model = Incident
        fields: tuple[str, ...] = (
            "id", "service", "target", "diagnosis", "confidence", "status", "severity", "source", "title", "labels",
            "opened_at", "resolved_at", "looked_at", "next_look_at", "assignee", "part_of", "why",
        )  # fmt: skip


class EpisodeRow(serializers.ModelSerializer[Episode]):
    class Meta:
        model = Episode
        fields = (
            "id", "fingerprint", "status", "severity", "title", "starts_at", "ends_at", "received_at", "labels",
            "annotations", "generator_url",
        )  # fmt: skip


class IncidentPage(IncidentRow):
    episodes = serializers.SerializerMethodField(help_text=f"the newest {EPISODES}")
    runs = serializers.SerializerMethodField(help_text="newest first, at most 50")
    parts = serializers.SerializerMethodField(help_text="the incidents whose root this one is, newest first, at most 50")

    class Meta(IncidentRow.Meta):
        fields = (*IncidentRow.Meta.fields, "episodes", "runs", "parts")

    @extend_schema_field(serializers.ListField(child=serializers.UUIDField()))
    def get_parts(self, incident: Incident) -> Any:
        return list(incident.parts.values_list("pk", flat=True)[:EPISODES])

    @extend_schema_field(EpisodeRow(many=True))
    def get_episodes(self, incident: Incident) -> Any:
        return EpisodeRow(incident.episodes.order_by("-starts_at")[:EPISODES], many=True).data

    @extend_schema_field(RunRow(many=True))
    def get_runs(self, incident: Incident) -> Any:
        runs = incident.runs.select_related("service", "playbook").order_by("-created_at")
        return RunRow(runs[:EPISODES], many=True).data


class TimelineRow(serializers.ModelSerializer[TimelineEvent]):
    run = serializers.UUIDField(source="run_id", allow_null=True)
    data = serializers.DictField()  # type: ignore[assignment]  # a field named as an attribute of the class
    log_index = serializers.SerializerMethodField(help_text="of its entry in the log; null until it is sequenced")

    class Meta:
        model = TimelineEvent
        fields = ("id", "at", "actor", "action", "reason", "run", "data", "log_index")

    def get_log_index(self, event: TimelineEvent) -> int | None:
        indexes: dict[int, int] = self.context["indexes"]
        return indexes.get(event.outbox_id)


class Ruling(serializers.Serializer[Any]):
    rule = serializers.CharField()
    verdict = serializers.CharField()
    reason = serializers.CharField()


class Answer(serializers.Serializer[Any]):
    """Why it is as it is, in one answer."""

    headline = serializers.CharField()
    kind = serializers.ChoiceField(choices=[str(kind) for kind in whynot.Kind])
    rule = serializers.CharField(help_text="the skip of the scheduler, or the rule of policy, that says it")
    missing = serializers.CharField(help_text="mapping, playbook, or nothing")
    since = serializers.DateTimeField(allow_null=True)
    next_look_at = serializers.DateTimeField(allow_null=True, help_text="null: not before something changes")
    detail = serializers.CharField()
    todo = serializers.CharField(help_text="what a person can do")


class Why(Answer):
    incident = serializers.UUIDField()
    status = serializers.CharField()
    skip = serializers.CharField(help_text="the rule of the scheduler that passed it over at the last look, if one did")
    reason = serializers.CharField(help_text="in words")
    looked_at = serializers.DateTimeField(allow_null=True)
    last_look = serializers.DictField()
    run = RunRow(allow_null=True, help_text="the last proposal")
    verdict = serializers.CharField(allow_null=True, help_text="what policy said of it")
    rules = Ruling(many=True, help_text="every rule that policy looked at for it")


class Incidents(ApiView):
    ordering = ("-opened_at", "-pk")
    serializer_class = IncidentRow

    @extend_schema(
        operation_id="incidents_list",
        parameters=[filters.STATUS, filters.SEVERITY, filters.SERVICE, filters.SINCE],
        responses=IncidentRow(many=True),
    )
    def get(self, request: Request) -> Response:
        """Incidents, newest first. `since` looks at when they were opened."""
        rows = Incident.objects.select_related("service", "assignee")
        if status := filters.choices(request, "status", IncidentStatus):
            rows = rows.filter(status__in=status)
        if severity := filters.choices(request, "severity", Severity):
            rows = rows.filter(severity__in=severity)
        if service := filters.text(request, "service"):
            rows = rows.filter(service__name=service)
        if since := filters.since(request):
            rows = rows.filter(opened_at__gte=since)
        return self.page(rows, IncidentRow)


class OneIncident(One):
    serializer_class = IncidentPage

    @extend_schema(operation_id="incidents_get", responses=IncidentPage)
    def get(self, request: Request, pk: uuid.UUID) -> Response:
        """One incident with its episodes and runs."""
        return Response(IncidentPage(_incident(pk)).data)


class Timeline(ApiView):
    ordering = ("outbox_id", "pk")
    serializer_class = TimelineRow

    @extend_schema(operation_id="incidents_timeline", responses=TimelineRow(many=True))
    def get(self, request: Request, pk: uuid.UUID) -> Response:
        """What happened, in order: each transition with actor, reason and the index of its entry in the log."""
        _incident(pk)
        events = self.paginate_queryset(TimelineEvent.objects.filter(incident=pk)) or []
        sequenced = LedgerEntry.objects.filter(outbox_id__in={event.outbox_id for event in events})
        indexes = dict(sequenced.values_list("outbox_id", "index"))
        return self.get_paginated_response(TimelineRow(events, many=True, context={"indexes": indexes}).data)


class WhyIncident(One):
    serializer_class = Why

    @extend_schema(operation_id="incidents_why", responses=Why)
    def get(self, request: Request, pk: uuid.UUID) -> Response:
        """Why it was not healed yet: what the last look found, and each rule that policy looked at for the last proposal."""
        incident = _incident(pk)
        run = _runs(incident).first()
        decision = run.decision if run else {}
        why = {
            **of_incident(incident, timezone.now(), run).plain(),
            "incident": incident.pk,
            "status": incident.status,
            "skip": incident.why.get("skip") or "",
            "reason": incident.why.get("reason") or "",
            "looked_at": incident.looked_at,
            "last_look": incident.why,
            "run": run,
            "verdict": decision.get("verdict"),
            "rules": decision.get("rules") or incident.why.get("rules") or [],
        }
        return Response(Why(why).data)


class Said(Body):
    text = Text(required=False, allow_blank=True, default="", max_length=incidents.MAX_TEXT)


class _Act(One):
    """What a person does with an incident; the subclass says what."""

    serializer_class = IncidentRow
    scopes = {"POST": "operate"}
    act: Callable[..., Incident]

    def _post(self, request: Request, pk: uuid.UUID) -> Response:
        _incident(pk)
        said = self.read(Said)["text"]
        type(self).act(pk, request.user.get_username(), said, timezone.now())
        return Response(IncidentRow(_incident(pk)).data)


class Acknowledge(_Act):
    act = staticmethod(incidents.acknowledge)

    @extend_schema(operation_id="incidents_ack", request=Said, responses=IncidentRow)
    def post(self, request: Request, pk: uuid.UUID) -> Response:
        """Somebody has it: nothing is proposed for it any more."""
        return self._post(request, pk)


class Resolve(_Act):
    act = staticmethod(incidents.resolve)

    @extend_schema(operation_id="incidents_resolve", request=Said, responses=IncidentRow)
    def post(self, request: Request, pk: uuid.UUID) -> Response:
        """The trouble is over; what waits for an answer is taken back."""
        return self._post(request, pk)


class Close(_Act):
    act = staticmethod(incidents.close)

    @extend_schema(operation_id="incidents_close", request=Said, responses=IncidentRow)
    def post(self, request: Request, pk: uuid.UUID) -> Response:
        """Nothing more will be done about it."""
        return self._post(request, pk)


class Comment(_Act):
    act = staticmethod(incidents.comment)

    @extend_schema(operation_id="incidents_comment", request=Said, responses=IncidentRow)
    def post(self, request: Request, pk: uuid.UUID) -> Response:
        """A line for the timeline, and so for the log."""
        return self._post(request, pk)


class Given(Said):
    user = Text(allow_null=True, max_length=150, help_text="who works on it from now on; null: nobody in particular")


class Assign(One):
    serializer_class = IncidentRow
    scopes = {"POST": "operate"}

    @extend_schema(operation_id="incidents_assign", request=Given, responses=IncidentRow)
    def post(self, request: Request, pk: uuid.UUID) -> Response:
        """Say who works on it. 400 for a user who may not."""
        _incident(pk)
        said = self.read(Given)
        incidents.assign(pk, said["user"], request.user.get_username(), said["text"], timezone.now())
        return Response(IncidentRow(_incident(pk)).data)


class Muting(Body):
    minutes = serializers.IntegerField(min_value=1, max_value=MUTE_MINUTES, help_text="for how long nothing is proposed for it")
    reason = Text(max_length=incidents.MAX_TEXT)


class Muted(serializers.Serializer[Any]):
    silence = serializers.UUIDField(help_text="the silence that does it, which can be ended before its time")
    ends_at = serializers.DateTimeField()


class Mute(One):
    serializer_class = Muted
    scopes = {"POST": "operate"}

    @extend_schema(operation_id="incidents_mute", request=Muting, responses={201: Muted})
    def post(self, request: Request, pk: uuid.UUID) -> Response:
        """A silence for this incident alone, with an end."""
        _incident(pk)
        said, at = self.read(Muting), timezone.now()
        ends_at = at + timedelta(minutes=said["minutes"])
        made = silences.create(caller(request), reason=said["reason"], ends_at=ends_at, at=at, incident=pk)
        return Response(Muted({"silence": made.pk, "ends_at": made.ends_at}).data, status=201)


class Proposal(Body):
    playbook = Text(max_length=100)
    parameters = serializers.DictField(required=False, default=dict)


class Propose(One):
    serializer_class = RunRow
    scopes = {"POST": "operate"}

    @extend_schema(operation_id="incidents_propose", request=Proposal, responses={201: RunRow})
    def post(self, request: Request, pk: uuid.UUID) -> Response:
        """Propose a playbook for it. 409 with the reason when the scheduler would pass it over."""
        _incident(pk)
        wanted = self.read(Proposal)
        token = token_of(request)
        road = f"api, token {token.public_id}" if token and "approve" in token.scopes else ""
        about = (pk, wanted["playbook"], wanted["parameters"], caller(request), timezone.now())
        run = scheduler.propose(*about, approves_via=road, token=str(token.public_id) if token else "")
        return Response(RunRow(run).data, status=201)


def _incident(pk: uuid.UUID) -> Incident:
    return get_object_or_404(Incident.objects.select_related("service", "assignee"), pk=pk)


def _runs(incident: Incident) -> QuerySet[Run]:
    return incident.runs.select_related("service", "playbook").order_by("-created_at")
