"""The meta loop for programs, in every mode. The pin of the guardrail and the terms of the sources can be set; the rest reads."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

from django.http import Http404
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from healing import found, guardrail
from healing.api.auth import caller
from healing.api.base import Body, One, Text
from learning.consulting import standings
from metafocus.models import Cycle
from metafocus.replaying import replay_cycle
from metafocus.sources import SOURCES
from metafocus.sources.statistics import DAYS, statistics
from metafocus.summary import summary
from selfheal.errors import Invalid
from selfheal.guardrails import SHOWN as SHOWN_LEVEL
from selfheal.states import FocusArea, IncidentStatus, Level, Severity, Trigger

MOST, SHOWN = 500, 10
LIMIT = OpenApiParameter("limit", int, description=f"how many, the newest first: 1 to {MOST}, {SHOWN} if none is named")
AREAS, LEVELS = [area.value for area in FocusArea], [level.value for level in Level]


def _count() -> serializers.IntegerField:
    return serializers.IntegerField(min_value=0)


class HealthDistress(serializers.Serializer[Any]):
    score = serializers.IntegerField(
        min_value=0, max_value=100, help_text="min(100, 30·critical + 10·degraded + 20·open incidents)"
    )
    critical_count = _count()
    degraded_count = _count()
    healthy_count = _count()
    unknown_count = _count()
    open_incidents = _count()


class OpenIncident(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    service = serializers.CharField()
    target = serializers.CharField()
    diagnosis = serializers.CharField()
    severity = serializers.ChoiceField(choices=[each.value for each in Severity])
    status = serializers.ChoiceField(choices=[each.value for each in IncidentStatus])
    title = serializers.CharField()
    opened_at = serializers.DateTimeField()


class Incidents(serializers.Serializer[Any]):
    by_severity = serializers.DictField(child=serializers.IntegerField())
    oldest_open_seconds = serializers.IntegerField(allow_null=True)


class SelfHeal(serializers.Serializer[Any]):
    proposed_last_hour = _count()
    failed_last_hour = _count()
    pending_approvals = _count()
    active_runs = _count()


class Recommendations(serializers.Serializer[Any]):
    focus_area = serializers.ChoiceField(choices=AREAS)
    guardrail_adjustment = serializers.ChoiceField(choices=LEVELS, help_text="by the distress; it only recommends")
    reasoning = serializers.ListField(child=serializers.CharField())


class MetaMetadata(serializers.Serializer[Any]):
    timestamp = serializers.DateTimeField()
    guardrail_state = serializers.ChoiceField(choices=LEVELS, help_text="the level that counts now")
    guardrail_reason = serializers.CharField()
    guardrail_pinned_by = serializers.CharField(allow_null=True, help_text="the person, where one has pinned it")
    total_cycles = _count()


class FocusAnswer(serializers.Serializer[Any]):
    current_cycle = serializers.UUIDField(allow_null=True, help_text="the last one; null: there was none yet")
    health_distress = HealthDistress()
    critical_services = serializers.ListField(child=serializers.CharField(), help_text="at most 10")
    degraded_services = serializers.ListField(child=serializers.CharField(), help_text="at most 10")
    open_incidents = OpenIncident(many=True, help_text="the 10 newest")
    incidents = Incidents()
    self_heal = SelfHeal()
    recommendations = Recommendations()
    metadata = MetaMetadata()


class Probe(serializers.Serializer[Any]):
    metric = serializers.CharField()
    until = serializers.DateTimeField()


class Priority(serializers.Serializer[Any]):
    playbook = serializers.CharField()
    diagnosis = serializers.CharField()
    at_least = serializers.CharField(allow_null=True, help_text="lower bound of its success in 7 days; null: it was not tried")


class CycleRow(serializers.ModelSerializer[Cycle]):
    cycle_id = serializers.UUIDField(source="pk")
    confidence = serializers.FloatField(min_value=0, max_value=1)
    reasoning = serializers.ListField(child=serializers.CharField())
    extra_probes = Probe(source="directives.extra_probes", many=True)
    playbook_priorities = Priority(source="directives.playbook_priorities", many=True)
    time_budget_seconds = serializers.IntegerField(source="directives.time_budget_seconds")

    class Meta:
        model = Cycle
        fields: tuple[str, ...] = (
            "cycle_id", "number", "focus_area", "confidence", "guardrail_adjustment", "reasoning", "extra_probes",
            "playbook_priorities", "time_budget_seconds", "created_at",
        )  # fmt: skip


class CyclesAnswer(serializers.Serializer[Any]):
    cycles = CycleRow(many=True)
    count = serializers.IntegerField(help_text="of those in this answer")
    current_cycle = serializers.UUIDField(allow_null=True)


class Entry(serializers.Serializer[Any]):
    index = serializers.IntegerField(allow_null=True, help_text="in the log; null: not sequenced yet")
    at = serializers.CharField()
    actor = serializers.CharField()
    action = serializers.CharField()
    resource = serializers.CharField()
    subsystem = serializers.CharField()
    result = serializers.CharField()
    payload = serializers.DictField()


class Replay(serializers.Serializer[Any]):
    agrees = serializers.BooleanField(help_text="the entry says what the row says, and the decision follows from it again")
    faults = serializers.ListField(child=serializers.CharField())
    differences = serializers.ListField(child=serializers.DictField())


class CyclePage(CycleRow):
    advice = serializers.DictField(help_text="{distress, recommends, reason}")
    directives = serializers.DictField(help_text="{extra_probes, playbook_priorities, attention, time_budget_seconds}")
    seen = serializers.DictField(help_text="what the focus follows from")
    grounds = serializers.DictField(help_text="what the guardrail follows from")
    came_of = serializers.DictField(allow_null=True, help_text="what came of the cycle before")
    entries = Entry(many=True, help_text="from which it can be replayed")
    replay = Replay()

    class Meta(CycleRow.Meta):
        fields = (*CycleRow.Meta.fields, "advice", "directives", "seen", "grounds", "came_of", "entries", "replay")


class MetaView(One):
    gated = False  # what stands under /api/self_heal is off with the mode


class FocusView(MetaView):
    serializer_class = FocusAnswer

    @extend_schema(operation_id="meta_focus", responses=FocusAnswer)
    def get(self, request: Request) -> Response:
        """Where to look, how bad it is, and how tight the guardrail is, as it stands at this moment."""
        return Response(FocusAnswer(summary(timezone.now())).data)


class CyclesView(MetaView):
    serializer_class = CyclesAnswer

    @extend_schema(operation_id="meta_cycles", parameters=[LIMIT], responses=CyclesAnswer)
    def get(self, request: Request) -> Response:
        """The last cycles of the meta loop, the newest first."""
        limit = request.query_params.get("limit", str(SHOWN))
        if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:9]) <= MOST):
            raise Invalid(f"is a number from 1 to {MOST}", field="limit")
        rows = list(Cycle.objects.all()[: int(limit)])
        return Response(CyclesAnswer({"cycles": rows, "count": len(rows), "current_cycle": rows[0].pk if rows else None}).data)


class CycleView(MetaView):
    serializer_class = CyclePage

    @extend_schema(operation_id="meta_cycle", responses=CyclePage)
    def get(self, request: Request, pk: uuid.UUID) -> Response:
        """One of the newest 5,000 cycles with everything that it saw, and its entry in the log, by which it is replayed."""
        row = Cycle.objects.filter(pk=pk).first()
        if row is None:
            raise Http404
        said = replay_cycle(row.pk).document()
        row.entries, row.replay = said["entries"], said  # type: ignore[attr-defined]
        return Response(CyclePage(row).data)


class SourceRow(serializers.Serializer[Any]):
    source = serializers.ChoiceField(choices=[trigger.value for trigger in SOURCES])  # type: ignore[assignment]
    shown = serializers.CharField(help_text="as people read it")
    says = serializers.CharField(help_text="what it finds")
    enabled = serializers.BooleanField()
    shadow = serializers.BooleanField(help_text="what it finds is recorded and judged, and opens nothing")
    least_confidence = serializers.FloatField(min_value=0, max_value=1)
    hourly_limit = _count()
    opened_last_hour = _count()
    found = _count()
    opened = _count()
    right = serializers.IntegerField(help_text="of what was found: it came to something")
    wrong = _count()
    foreseen = serializers.IntegerField(help_text="alerts that came and had been found in the hour before")
    missed = _count()
    precision = serializers.FloatField(allow_null=True, help_text="right of those that are judged; null over none")
    recall = serializers.FloatField(allow_null=True, help_text="foreseen of the alerts that it is there for; null over none")


class SourcesAnswer(serializers.Serializer[Any]):
    sources = SourceRow(many=True)
    days = serializers.IntegerField(help_text="that the counts are of")


class TermsBody(Body):
    enabled = serializers.BooleanField(required=False)
    least_confidence = serializers.FloatField(required=False)
    hourly_limit = serializers.IntegerField(required=False)
    reason = Text(max_length=found.MAX_REASON)


class SourcesView(MetaView):
    serializer_class = SourcesAnswer

    @extend_schema(operation_id="meta_sources", responses=SourcesAnswer)
    def get(self, request: Request) -> Response:
        """The trigger sources: their terms, and how right they were in the last seven days."""
        return Response(SourcesAnswer({"sources": statistics(timezone.now()), "days": DAYS}).data)


class SourceView(MetaView):
    serializer_class = SourceRow
    scopes = {"POST": "admin"}

    @extend_schema(operation_id="meta_source_set", request=TermsBody, responses=SourceRow)
    def post(self, request: Request, name: str) -> Response:
        """Change the terms on which a source may open incidents. What is not named stays."""
        said, at = self.read(TermsBody), timezone.now()
        if name not in found.WITHOUT_ALERT:
            raise Http404
        reason = said.pop("reason")
        found.set_terms(name, replace(found.terms(Trigger(name)), **said), reason, caller(request), at)
        return Response(SourceRow(next(row for row in statistics(at) if row["source"] == name)).data)


class AdviserRow(serializers.Serializer[Any]):
    adviser = serializers.CharField()
    asked = serializers.BooleanField(help_text="by the meta loop now (SELF_HEAL_FORECASTER)")
    state = serializers.ChoiceField(choices=["on", "off", "trial"], help_text="trial: its next call says how it goes on")
    failures = serializers.IntegerField(min_value=0, help_text="in a row")
    off_until = serializers.DateTimeField(allow_null=True)
    reason = serializers.CharField(help_text="of the last failure")
    questions = serializers.IntegerField(min_value=0, help_text="things that it was asked about in the last day")
    waiting = serializers.IntegerField(min_value=0, help_text="of these, those that wait for an answer")
    answered_at = serializers.DateTimeField(allow_null=True, help_text="its last answer")


class AdvisersAnswer(serializers.Serializer[Any]):
    advisers = AdviserRow(many=True)


class AdvisersView(MetaView):
    serializer_class = AdvisersAnswer

    @extend_schema(operation_id="meta_advisers", responses=AdvisersAnswer)
    def get(self, request: Request) -> Response:
        """The advisers: whether each is asked, on or switched off, and why."""
        return Response(AdvisersAnswer({"advisers": standings(timezone.now())}).data)


class GuardrailPage(serializers.Serializer[Any]):
    level = serializers.ChoiceField(choices=LEVELS, help_text="that counts now")
    shown = serializers.CharField(help_text="as people read it")
    reason = serializers.CharField()
    said = serializers.ChoiceField(choices=LEVELS, help_text="by the meta loop; counts while nobody has pinned another")
    since = serializers.DateTimeField(allow_null=True, help_text="of what was said; null: nothing that still counts")
    ceiling = serializers.ChoiceField(choices=LEVELS, help_text="of the meta loop")
    pinned_by = serializers.CharField(allow_null=True)
    pinned_at = serializers.DateTimeField(allow_null=True)


class PinBody(Body):
    level = serializers.ChoiceField(choices=LEVELS, allow_null=True, help_text="null: take the pin away")
    reason = Text(max_length=guardrail.MAX_REASON)


class GuardrailView(MetaView):
    serializer_class = GuardrailPage
    scopes = {"POST": "admin"}

    @extend_schema(operation_id="meta_guardrail", responses=GuardrailPage)
    def get(self, request: Request) -> Response:
        """The guardrail level that counts now, and why."""
        return Response(_guardrail(guardrail.standing(timezone.now())))

    @extend_schema(operation_id="meta_guardrail_set", request=PinBody, responses=GuardrailPage)
    def post(self, request: Request) -> Response:
        """Pin the level, whatever the meta loop says, or take the pin away."""
        said, at = self.read(PinBody), timezone.now()
        how = (said["reason"], caller(request), at)
        return Response(_guardrail(guardrail.unpin(*how) if said["level"] is None else guardrail.pin(said["level"], *how)))


def _guardrail(standing: guardrail.Standing) -> Any:
    shown = {"shown": SHOWN_LEVEL[standing.level], "ceiling": guardrail.ceiling(), "pinned_by": standing.pinned_by or None}
    names = ("level", "reason", "said", "since", "pinned_at")
    return GuardrailPage({**shown, **{name: getattr(standing, name) for name in names}}).data
