"""What was learnt, for programs."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from healing.api import filters
from healing.api.base import ApiView, One
from healing.models import Playbook
from learning.aggregates import SPANS, learning
from learning.models import Lesson, Shadow
from learning.shadow import score
from selfheal.errors import Invalid
from selfheal.shadow import Judgement

PLAYBOOK = OpenApiParameter("playbook", str, description="the name of a playbook")
BUCKET = OpenApiParameter("time_bucket", str, enum=list(SPANS), description="all, if none is named")


class Rate(serializers.Serializer[Any]):
    total = serializers.IntegerField(help_text="runs that started")
    succeeded = serializers.IntegerField()
    failed = serializers.IntegerField()
    rolled_back = serializers.IntegerField()
    aborted = serializers.IntegerField()
    held = serializers.IntegerField(help_text="successes that held")
    not_held = serializers.IntegerField()
    success_rate = serializers.FloatField(allow_null=True, help_text="null over no runs")
    success_rate_lower_bound = serializers.FloatField(allow_null=True, help_text="one-sided 90 % Wilson bound")
    avg_duration_seconds = serializers.FloatField(allow_null=True)


class Repaired(Rate):
    mttr_seconds_p50 = serializers.FloatField(allow_null=True, help_text="from the incident to the success, to 5 %")
    mttr_seconds_p90 = serializers.FloatField(allow_null=True)


class OfDiagnosis(Repaired):
    diagnosis = serializers.CharField()


class OfPlaybook(Repaired):
    playbook = serializers.CharField()


class OfService(Repaired):
    service = serializers.CharField()


class Trend(serializers.Serializer[Any]):
    day = serializers.DateTimeField()
    total = serializers.IntegerField()
    succeeded = serializers.IntegerField()
    success_rate = serializers.FloatField(allow_null=True)


class LearningAnswer(serializers.Serializer[Any]):
    time_bucket = serializers.ChoiceField(choices=list(SPANS))
    time_range = serializers.DictField(child=serializers.DateTimeField(allow_null=True), help_text="{from, to}")
    total_runs = serializers.IntegerField(help_text="runs that started")
    overall_success_rate = serializers.FloatField(allow_null=True)
    by_status = serializers.DictField(child=serializers.IntegerField(), help_text="lessons of the time by status")
    by_diagnosis = OfDiagnosis(many=True)
    by_playbook = OfPlaybook(many=True)
    by_service = OfService(many=True)
    playbook_rankings = OfPlaybook(many=True, help_text="at most 10, by the lower bound")
    recent_trends = Trend(many=True, help_text="at most 10 days, the newest first")
    aggregates = serializers.DictField(child=Rate(), help_text="{all, 24h, 7d}")
    metadata = serializers.DictField(child=serializers.DateTimeField(), help_text="{timestamp}")


class LessonRow(serializers.ModelSerializer[Lesson]):
    class Meta:
        model = Lesson
        fields = (
            "index", "at", "run", "playbook", "service", "target", "diagnosis", "impact", "status", "result", "reason",
            "duration_seconds", "repair_seconds",
        )  # fmt: skip


class Learning(One):
    serializer_class = LearningAnswer

    @extend_schema(operation_id="learning", parameters=[BUCKET, filters.SERVICE, PLAYBOOK], responses=LearningAnswer)
    def get(self, request: Request) -> Response:
        """What worked where: rates with their lower bounds, times to repair, trends. Runs count in the hour of their start."""
        span = request.query_params.get("time_bucket", "all")
        if span not in SPANS:
            raise Invalid(f"is one of {', '.join(SPANS)}", field="time_bucket")
        chosen = {name: filters.text(request, name) for name in ("service", "playbook")}
        return Response(LearningAnswer(learning(span, timezone.now(), **chosen)).data)


class Outcomes(ApiView):
    ordering = ("-index",)
    serializer_class = LessonRow

    @extend_schema(operation_id="learning_outcomes", parameters=[filters.SERVICE, PLAYBOOK], responses=LessonRow(many=True))
    def get(self, request: Request) -> Response:
        """Each decision and outcome, the newest first."""
        chosen = {name: value for name in ("service", "playbook") if (value := filters.text(request, name))}
        return self.page(Lesson.objects.filter(**chosen), LessonRow)


class CourseRow(serializers.ModelSerializer[Shadow]):
    class Meta:
        model = Shadow
        fields = ("run", "incident", "service", "target", "diagnosis", "verdict", "proposed_at", "over_at")


class JudgedRow(serializers.Serializer[Any]):
    judgement = serializers.ChoiceField(choices=["", *Judgement], help_text="empty: it goes on")
    why = serializers.CharField()
    course = CourseRow(source="row")


class ScoreAnswer(serializers.Serializer[Any]):
    playbook = serializers.CharField()
    of = serializers.IntegerField(help_text="the newest so many incidents at most")
    counts = serializers.DictField(source="tally.counts", child=serializers.IntegerField(), help_text="by judgement")
    going_on = serializers.IntegerField(source="tally.going_on")
    courses = JudgedRow(many=True, help_text="the newest first")


class ShadowScore(One):
    serializer_class = ScoreAnswer

    @extend_schema(operation_id="playbooks_shadow", responses=ScoreAnswer)
    def get(self, request: Request, name: str) -> Response:
        """What would have come of a playbook where services are only observed: agreed, would have helped, would have harmed."""
        if not Playbook.objects.filter(name=filters.storable(name)).exists():
            raise Http404
        return Response(ScoreAnswer(score(name)).data)
