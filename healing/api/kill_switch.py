"""The kill switch. Pulling it needs `operate`; anything that makes it looser is a release and needs `approve`."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from healing import governance
from healing.api import auth
from healing.api.base import Body, One, Text
from selfheal.states import KillState

STATES = [state.value for state in KillState]  # from the loosest to the strictest


class HalfDone(serializers.Serializer[Any]):
    run = serializers.UUIDField()
    service = serializers.CharField()
    target = serializers.CharField()
    step = serializers.CharField()
    status = serializers.CharField()
    undo = serializers.CharField(help_text="the action that undoes it, or `nothing`")
    put_back_at = serializers.DateTimeField(allow_null=True, help_text="when it is put back by itself")


class SwitchPage(serializers.Serializer[Any]):
    state = serializers.ChoiceField(choices=STATES, help_text="now; a file STOP in the home counts as kill")
    reason = serializers.CharField()
    actor = serializers.CharField()
    at = serializers.DateTimeField(allow_null=True)
    stop_file = serializers.BooleanField(help_text="the file STOP is there; only removing it releases")
    half_done = HalfDone(many=True)


class Switch(Body):
    state = serializers.ChoiceField(choices=STATES)
    reason = Text(max_length=1_000)


class KillSwitch(One):
    serializer_class = SwitchPage
    scopes = {"POST": ("operate", "approve")}
    throttle_classes = ()  # whoever called too often must still be able to stop everything

    @extend_schema(operation_id="kill_switch_get", responses=SwitchPage)
    def get(self, request: Request) -> Response:
        """Its state, and what is half-done with what undoes it."""
        return Response(_page())

    @extend_schema(operation_id="kill_switch_set", request=Switch, responses=SwitchPage)
    def post(self, request: Request) -> Response:
        """pause: current steps finish; kill: all ends within 5 s; off: released, which revives nothing."""
        wanted = self.read(Switch)
        looser = governance.is_release(wanted["state"])
        auth.check(request.user, auth.token_of(request), "approve" if looser else "operate")
        governance.set_kill_switch(wanted["state"], reason=wanted["reason"], actor=request.user.get_username(), at=timezone.now())
        return Response(_page())


def _page() -> Any:
    row = governance.control()
    return SwitchPage(
        {
            "state": governance.kill_state(),
            "reason": row.kill_reason,
            "actor": row.kill_actor,
            "at": row.kill_at,
            "stop_file": governance.stop_file_is_there(),
            "half_done": governance.half_done(),
        }
    ).data
