"""The scheduler: what it counted, what waits, how it stands."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from healing import scheduler_state
from healing.api.base import One
from healing.counters import SHOWN

NUMBERS: dict[str, serializers.Field] = {
    **{name: serializers.IntegerField(help_text="since the installation began") for name in SHOWN},
    "last_updated": serializers.DateTimeField(allow_null=True),
}


class SchedulerState(serializers.Serializer[Any]):
    poll_interval_seconds = serializers.IntegerField()
    running = serializers.BooleanField(help_text="there was a tick within three poll intervals")
    last_tick_at = serializers.DateTimeField(allow_null=True)
    last_tick_seconds = serializers.FloatField(allow_null=True)


class WaitingPlace(serializers.Serializer[Any]):
    service = serializers.CharField()
    target = serializers.CharField()
    diagnosis = serializers.CharField()
    backoff_factor = serializers.IntegerField(help_text="of the base, before the wait is cut off at the longest and spread")
    next_allowed_at = serializers.DateTimeField()
    suppressed_until = serializers.DateTimeField(help_text="when the wait for duplicates is over, too")


class Waiting(serializers.Serializer[Any]):
    active_count = serializers.IntegerField()
    services = WaitingPlace(many=True, help_text=f"at most {scheduler_state.MOST:,}")


class ServiceRate(serializers.Serializer[Any]):
    service = serializers.CharField()
    proposals_last_hour = serializers.IntegerField(help_text="for its busiest target: the limit is one for each")
    limit = serializers.IntegerField()


class Rates(serializers.Serializer[Any]):
    active_count = serializers.IntegerField(help_text="services for which something was proposed in the last hour")
    services = ServiceRate(many=True, help_text=f"at most {scheduler_state.MOST:,}")


class Statistics(serializers.Serializer[Any]):
    total_backoff_entries = serializers.IntegerField(help_text="those that are over too, until a success held")
    total_rate_tracked_services = serializers.IntegerField()


class Metadata(serializers.Serializer[Any]):
    timestamp = serializers.DateTimeField()
    observe_only = serializers.BooleanField()
    execute_enabled = serializers.BooleanField()


Numbers = type(inline_serializer("SchedulerNumbers", NUMBERS))


class SchedulerCounters(serializers.Serializer[Any]):
    scheduler_state = SchedulerState()
    per_service = serializers.DictField(child=Numbers())
    backoff = Waiting()
    rate_limiting = Rates()
    statistics = Statistics()
    metadata = Metadata()

    def get_fields(self) -> dict[str, serializers.Field]:
        return {**super().get_fields(), "global": Numbers()}  # a word of Python, so no attribute


class SchedulerHealth(serializers.Serializer[Any]):
    status = serializers.ChoiceField(choices=["running", "stopped", "error"])
    poll_interval_seconds = serializers.IntegerField()
    backoff_entries = serializers.IntegerField()
    rate_tracked_services = serializers.IntegerField()
    healthy = serializers.BooleanField()


class Counters(One):
    serializer_class = SchedulerCounters

    @extend_schema(operation_id="scheduler_counters", responses=SchedulerCounters)
    def get(self, request: Request) -> Response:
        """What was proposed and what was passed over, why; who waits and for how long. A skip is counted when it begins."""
        return Response(SchedulerCounters(scheduler_state.scheduler_counters(timezone.now())).data)


class Health(One):
    serializer_class = SchedulerHealth

    @extend_schema(operation_id="scheduler_health", responses=SchedulerHealth)
    def get(self, request: Request) -> Response:
        """Whether the scheduler ticks, and whether its last tick went well."""
        return Response(SchedulerHealth(scheduler_state.scheduler_health(timezone.now())).data)
