"""Memory, for programs: asking, storing, numbers, and asking people for a cross-domain approval. On in every mode."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from healing.api.auth import caller as user_of
from healing.api.auth import token_of
from healing.api.base import Body, One, Text
from learning.broker import grants, pipeline, standing, storing
from learning.broker.callers import Caller, caller_of
from selfheal.memory.rights import AccessLevel, MemoryType
from selfheal.memory.words import MOST_ASKED

TYPES = [kind.value for kind in MemoryType]


@extend_schema_field(OpenApiTypes.ANY)
class Scalar(serializers.Field[Any, Any, Any, Any]):
    """A text, a number or a boolean."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str | int | float) or len(str(data)) > 300:
            raise serializers.ValidationError("must be a string of at most 300 characters, a number or a boolean")
        return data

    def to_representation(self, value: Any) -> Any:
        return value


class Pairs(serializers.DictField):
    """`{service: web, …}`"""

    child = Scalar()

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict) and len(data) > MOST_ASKED:
            raise serializers.ValidationError(f"has at most {MOST_ASKED} pairs")
        return super().to_internal_value(data)


def tags_of() -> serializers.ListField:
    return serializers.ListField(child=Text(max_length=64), required=False, default=list, max_length=MOST_ASKED)


def ids() -> serializers.ListField:
    said = "memories that an earlier answer returned to you, and that were of use: they count"
    return serializers.ListField(child=serializers.UUIDField(), required=False, default=list, max_length=100, help_text=said)


class QueryBody(Body):
    domain = Text(max_length=30, help_text="whose memory is asked, and for whom")
    memory_type = serializers.ChoiceField(choices=TYPES, required=False, allow_null=True, default=None, help_text="none: any")
    query = Text(required=False, allow_blank=True, default="", max_length=2_000, help_text="words; any of them is enough")
    tags = tags_of()
    context = Pairs(  # type: ignore[assignment]  # the name of a property of fields, which no field of ours asks for
        required=False, default=dict, help_text="what is the case: `{service: web, diagnosis: service_down}`"
    )
    limit = serializers.IntegerField(required=False, default=20, min_value=1, max_value=pipeline.MOST)
    include_cross_domain = serializers.BooleanField(required=False, default=False, help_text="needs trust of 0.8, or an approval")
    used = ids()


class StoreBody(Body):
    domain = Text(max_length=30)
    memory_type = serializers.ChoiceField(choices=TYPES)
    content = serializers.JSONField(help_text=f"any JSON; at most {storing.MOST_BYTES:,} bytes")
    tags = tags_of()
    context = Pairs(  # type: ignore[assignment]
        required=False, default=dict, help_text="when it is of use: `{service: web, diagnosis: service_down}`"
    )
    sensitive = serializers.BooleanField(required=False, default=False, help_text="what looks so is, whatever this says")
    used = ids()


class CrossDomainBody(Body):
    domain = Text(max_length=30, help_text="that wants to ask")
    domains = serializers.ListField(child=Text(max_length=30), min_length=1, max_length=grants.MOST_DOMAINS)
    hours = serializers.IntegerField(min_value=1, max_value=grants.MOST_HOURS, help_text="how long it lasts, once approved")
    reason = Text(max_length=300)


class Four(serializers.Serializer[Any]):
    """The numbers of a ranking, or their weights."""

    recency = serializers.FloatField()
    frequency = serializers.FloatField()
    tags = serializers.FloatField(help_text="share of the words and tags that are in it")
    context = serializers.FloatField(help_text="share of the pairs that are in it")  # type: ignore[assignment]


class MemoryRow(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    domain = serializers.CharField()
    memory_type = serializers.ChoiceField(choices=TYPES)
    content = serializers.JSONField()
    tags = serializers.ListField(child=serializers.CharField())
    timestamp = serializers.DateTimeField()
    relevance = serializers.FloatField(help_text="from 0 to 1")
    why = Four()


class MemoryAnswer(serializers.Serializer[Any]):
    memories = MemoryRow(many=True)
    total_found = serializers.IntegerField()
    filtered = serializers.IntegerField(help_text="left out by a policy")
    access_level = serializers.ChoiceField(choices=[level.value for level in AccessLevel])
    policies_applied = serializers.ListField(child=serializers.CharField())
    explanation = serializers.CharField()
    suggestions = serializers.ListField(child=serializers.CharField())


class Stored(serializers.Serializer[Any]):
    id = serializers.UUIDField(source="public_id")
    domain = serializers.CharField()
    memory_type = serializers.ChoiceField(choices=TYPES)
    tags = serializers.ListField(child=serializers.CharField())
    sensitive = serializers.BooleanField()
    timestamp = serializers.DateTimeField(source="at")
    expires_at = serializers.DateTimeField(allow_null=True)


class Quota(serializers.Serializer[Any]):
    limit = serializers.IntegerField()
    used = serializers.IntegerField()
    window_seconds = serializers.IntegerField()


class DomainRow(serializers.Serializer[Any]):
    domain = serializers.CharField()
    total = serializers.IntegerField()
    by_type = serializers.DictField(child=serializers.IntegerField())
    sensitive = serializers.IntegerField()
    quota = Quota()
    weights = Four()
    asked_24h = serializers.IntegerField()
    violations_24h = serializers.IntegerField()
    last_asked_at = serializers.DateTimeField(allow_null=True)


class StatsAnswer(serializers.Serializer[Any]):
    domains = DomainRow(many=True, help_text="those that the caller may ask")
    total = serializers.IntegerField()
    by_type = serializers.DictField(child=serializers.IntegerField())
    metadata = serializers.DictField(child=serializers.DateTimeField(), help_text="{timestamp}")


class Asking(serializers.Serializer[Any]):
    approval = serializers.UUIDField(source="pk", help_text="answered as every approval is")
    title = serializers.CharField()
    status = serializers.CharField()
    expires_at = serializers.DateTimeField(help_text="until when it can be answered")


class MemoryView(One):
    gated = False
    scopes = {"POST": "memory", "GET": ("memory", "read")}


class Query(MemoryView):
    serializer_class = MemoryAnswer

    @extend_schema(operation_id="memory_query", request=QueryBody, responses=MemoryAnswer)
    def post(self, request: Request) -> Response:
        """Ask the memory of a domain. 403 with `access_level: denied` for a domain that is not the token's, or that is not
        trusted; 429 above the domain's quota. Each question is in the log."""
        given = self.read(QueryBody)
        asked = pipeline.Ask(cross=given.pop("include_cross_domain"), memory_type=given.pop("memory_type") or "", **given)
        return Response(MemoryAnswer(pipeline.ask(asked, _caller(request), timezone.now())).data)


class Store(MemoryView):
    serializer_class = Stored

    @extend_schema(operation_id="memory_store", request=StoreBody, responses={201: Stored})
    def post(self, request: Request) -> Response:
        """Remember something. It expires by its type: episodic after 168 hours, working after 24, others not."""
        given = self.read(StoreBody)
        new = storing.New(memory_type=MemoryType(given.pop("memory_type")), **given)
        return Response(Stored(storing.store(new, _caller(request), timezone.now())).data, status=201)


class Stats(MemoryView):
    serializer_class = StatsAnswer

    @extend_schema(operation_id="memory_stats", responses=StatsAnswer)
    def get(self, request: Request) -> Response:
        """How much is remembered, what is asked, what was refused, for each domain that the caller may ask."""
        return Response(StatsAnswer(standing.stats(_caller(request).domains, timezone.now())).data)


class CrossDomain(MemoryView):
    serializer_class = Asking

    @extend_schema(operation_id="memory_approvals", request=CrossDomainBody, responses={201: Asking})
    def post(self, request: Request) -> Response:
        """Ask people to let a domain ask others for a while. It stands in the queue of all approvals."""
        asked = grants.ask_for(**self.read(CrossDomainBody), caller=_caller(request), at=timezone.now())
        return Response(Asking(asked).data, status=201)


def _caller(request: Request) -> Caller:
    return caller_of(user_of(request), token_of(request))
