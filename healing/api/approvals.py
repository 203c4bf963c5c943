"""Approval requests, and answering them."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from django.db.models import Q, QuerySet
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from healing import approvals
from healing.api import filters
from healing.api.auth import caller, token_of
from healing.api.base import ApiView, Body, One, Text
from healing.api.runs import RunPage
from healing.models import ApprovalRequest, Run, Step, Vote
from selfheal.states import ApprovalStatus


class VoteRow(serializers.ModelSerializer[Vote]):
    user = serializers.CharField(source="user.username")

    class Meta:
        model = Vote
        fields = ("user", "approve", "comment", "via", "at")


class RequestRow(serializers.ModelSerializer[ApprovalRequest]):
    """Wants in its context `runs` (by the key of the request) and `approvers` (names by domain), so that rows cost no queries."""

    playbook = serializers.SerializerMethodField()
    service = serializers.SerializerMethodField()
    target = serializers.SerializerMethodField()
    run = serializers.SerializerMethodField()
    about = serializers.CharField(
        source="subject_type",
        help_text="run; step: the run is under way, and waits before a step; or what else is asked for: then `content` says it, "
        "and there is no playbook, service, target and run",
    )
    content = serializers.DictField(help_text="empty where it is about a run")
    votes = VoteRow(many=True)
    approvers = serializers.SerializerMethodField(help_text="who may approve it; empty: everyone with the role approver")

    class Meta:
        model = ApprovalRequest
        fields: tuple[str, ...] = (
            "id", "playbook", "service", "target", "run", "about", "content", "title", "impact", "status", "domain", "approvers",
            "needed", "votes", "why", "digest", "requested_by", "created_at", "expires_at", "escalations", "escalate_at",
            "decided_at", "reason",
        )  # fmt: skip

    def get_playbook(self, request: ApprovalRequest) -> str | None:
        return self._planned(request, "playbook")

    def get_service(self, request: ApprovalRequest) -> str | None:
        return self._planned(request, "service")

    def get_target(self, request: ApprovalRequest) -> str | None:
        return self._planned(request, "target")

    def get_approvers(self, request: ApprovalRequest) -> list[str]:
        named: dict[str, list[str]] = self.context["approvers"]
        return named.get(request.domain, [])

    def get_run(self, request: ApprovalRequest) -> uuid.UUID | None:
        run = self._run(request)
        return run.pk if run else None

    def _planned(self, request: ApprovalRequest, name: str) -> str | None:
        run = self._run(request)
        return str(run.plan[name]) if run else None

    def _run(self, request: ApprovalRequest) -> Run | None:
        runs: dict[uuid.UUID, Run] = self.context["runs"]
        return runs.get(request.pk)


class RequestPage(RequestRow):
    subject = serializers.SerializerMethodField(
        help_text="the run: exactly what would be done, and every rule that was looked at; null where it is about none"
    )

    class Meta(RequestRow.Meta):
        fields = (*RequestRow.Meta.fields, "subject")

    @extend_schema_field(RunPage(allow_null=True))
    def get_subject(self, request: ApprovalRequest) -> Any:
        run = self._run(request)
        return RunPage(run).data if run else None


class Approvals(ApiView):
    ordering = ("-created_at", "-pk")
    serializer_class = RequestRow

    @extend_schema(
        operation_id="approvals_list",
        parameters=[filters.STATUS, filters.SERVICE, filters.SINCE],
        responses=RequestRow(many=True),
    )
    def get(self, request: Request) -> Response:
        """Requests, newest first. `since` looks at when they were made."""
        rows = _requests()
        if status := filters.choices(request, "status", ApprovalStatus):
            rows = rows.filter(status__in=status)
        if service := filters.text(request, "service"):
            runs = Run.objects.filter(service__name=service).values("pk")
            rows = rows.filter(Q(subject_id__in=runs) | Q(subject_id__in=Step.objects.filter(run__in=runs).values("pk")))
        if since := filters.since(request):
            rows = rows.filter(created_at__gte=since)
        found = self.paginate_queryset(rows) or []
        return self.get_paginated_response(RequestRow(found, many=True, context=_context(found)).data)


class OneApproval(One):
    serializer_class = RequestPage

    @extend_schema(operation_id="approvals_get", responses=RequestPage)
    def get(self, request: Request, pk: uuid.UUID) -> Response:
        """One request with the run that it is about."""
        return Response(_page(pk))


class Answer(Body):
    comment = Text(required=False, allow_blank=True, default="", max_length=5_000)


class Approve(One):
    serializer_class = RequestRow
    scopes = {"POST": "approve"}

    @extend_schema(operation_id="approvals_approve", request=Answer, responses=RequestRow)
    def post(self, request: Request, pk: uuid.UUID) -> Response:
        """Approve it. 409 when it is not pending or you have answered already, 403 when you asked for it or others approve in its
        domain: `detail` says who."""
        get_object_or_404(ApprovalRequest, pk=pk)
        comment = self.read(Answer)["comment"]
        approvals.approve(pk, caller(request), comment, _via(request), timezone.now())
        return Response(_row(pk))


class Reject(One):
    serializer_class = RequestRow
    scopes = {"POST": "approve"}

    @extend_schema(operation_id="approvals_reject", request=Answer, responses=RequestRow)
    def post(self, request: Request, pk: uuid.UUID) -> Response:
        """Reject it. The comment is required: the next person on call will read it."""
        get_object_or_404(ApprovalRequest, pk=pk)
        comment = self.read(Answer)["comment"]
        approvals.reject(pk, caller(request), comment, _via(request), timezone.now())
        return Response(_row(pk))


def _requests() -> QuerySet[ApprovalRequest]:
    return ApprovalRequest.objects.prefetch_related("votes__user")


def _context(found: Sequence[ApprovalRequest], *prefetch: str) -> dict[str, Any]:
    about = approvals.runs_of(found)
    runs = Run.objects.select_related("service", "playbook").prefetch_related(*prefetch).in_bulk(about.values())
    return {"runs": {pk: runs[run] for pk, run in about.items()}, "approvers": approvals.approvers_by_domain()}


def _row(pk: uuid.UUID) -> Any:
    found = get_object_or_404(_requests(), pk=pk)
    return RequestRow(found, context=_context([found])).data


def _page(pk: uuid.UUID) -> Any:
    found = get_object_or_404(_requests(), pk=pk)
    return RequestPage(found, context=_context([found], "steps")).data


def _via(request: Request) -> str:
    token = token_of(request)
    return f"api, token {token.public_id}" if token else "api"
