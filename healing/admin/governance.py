"""What stands over every decision: the kill switch, records and autonomy, waits."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from unfold.decorators import display
from unfold.widgets import UnfoldAdminIntegerFieldWidget

from healing import autonomy, governance
from healing.admin import words
from healing.admin.base import Act, PageAdmin, ReadOnlyAdmin, Reason
from healing.models import Backoff, Control, Record
from selfheal import trust
from selfheal.states import Impact, KillState
from selfheal.trust import GRANT_DAYS


def switch_to(state: KillState, done: str) -> Callable[..., str]:
    def call(request: HttpRequest, thing: Control, said: dict[str, Any], at: datetime) -> str:
        after = governance.set_kill_switch(state, reason=said["comment"], actor=request.user.get_username(), at=at)
        half = len(after["half_done"])
        return f"{done}; {half} half-done steps stand below" if half else done

    return call


@admin.register(Control)
class ControlAdmin(PageAdmin):
    """One row, so its list is its page. Pulling needs an operator, releasing an approver."""

    page_template = "admin/healing/kill_switch.html"
    acts = (
        Act(
            "pause",
            "Pause",
            "healing.operate",
            switch_to(KillState.PAUSE, "paused: current steps finish, nothing starts"),
            "Pause all healing? Current steps finish, nothing new starts.",
            Reason,
            applies=lambda control: control.kill_switch == KillState.OFF,
        ),
        Act(
            "kill",
            "Kill",
            "healing.operate",
            switch_to(KillState.KILL, "killed: everything that runs ends within 5 s"),
            "End everything that runs within 5 s, and start nothing?",
            Reason,
            "danger",
            applies=lambda control: control.kill_switch != KillState.KILL,
        ),
        Act(
            "release",
            "Release",
            "healing.approve_approvalrequest",
            switch_to(KillState.OFF, "released: nothing old is revived, new proposals may start"),
            "Release the kill switch? Nothing old is revived.",
            Reason,
            "primary",
            applies=lambda control: control.kill_switch != KillState.OFF,
        ),
    )

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        return Control.objects.filter(pk=1).first() or Control(pk=1)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:healing_control_change", args=[1]))

    def page(self, request: HttpRequest, thing: Control, at: datetime) -> dict[str, Any]:
        return {
            "title": "Kill switch",
            "state": governance.kill_state(),
            "stop_file": governance.stop_file_is_there(),
            "half_done": [{**half, "put_back_at": words.moment(half["put_back_at"])} for half in governance.half_done()],
        }


class Grant(Reason):
    """For how long, and why."""

    days = forms.IntegerField(
        label=f"Days (1 to {GRANT_DAYS})", min_value=1, max_value=GRANT_DAYS, initial=30, widget=UnfoldAdminIntegerFieldWidget()
    )
    field_order = ("days", "comment")


def grant(request: HttpRequest, thing: Record, said: dict[str, Any], at: datetime) -> str:
    after = autonomy.grant(thing.playbook, thing.diagnosis, said["days"], said["comment"], request.user, at)  # type: ignore[arg-type]
    return after.why


def revoke(request: HttpRequest, thing: Record, said: dict[str, Any], at: datetime) -> str:
    after = autonomy.revoke(thing.playbook, thing.diagnosis, said["comment"], request.user, at)  # type: ignore[arg-type]
    return f"the grant has ended: {after.why}"


@admin.register(Record)
class RecordAdmin(PageAdmin):
    page_template = "admin/healing/record.html"
    list_display = ("playbook", "diagnosis", "started", "succeeded", "failed", "rolled_back", "held", "not_held", "rate", "alone")
    search_fields = ("playbook", "diagnosis")
    acts = (
        Act("grant", "Grant autonomy", autonomy.PERMISSION, grant, "Let it act alone for a while?", Grant, "primary"),
        Act("revoke", "End the grant", autonomy.PERMISSION, revoke, "End the grant now? What it earned stays.", Reason, "danger"),
    )
    empty_title = "No record yet"
    empty_hint = "A playbook has a record for a diagnosis once it ran for it. Successes count when they held for 15 minutes."
    empty_next = (("Playbooks", "/admin/healing/playbook/"), ("What would happen if", "/admin/what-if/"))

    @display(description="success, at least")
    def rate(self, row: Record) -> str:
        bound = trust.wilson_lower(row.succeeded, row.started)
        return "–" if bound is None else f"{bound:.0%}"

    @display(description="autonomy")
    def alone(self, row: Record) -> str:
        """What autonomy would say at medium impact, the only one at which it is earned."""
        return trust.autonomy(row.standing, Impact.MEDIUM, timezone.now())[1]

    def offered(self, request: HttpRequest, thing: Record) -> list[Act]:
        """A grant where the impact allows one, its end where there is one."""
        standing = autonomy.standing_of(thing, timezone.now())
        fits = {"grant": standing is not None and not standing.refused, "revoke": thing.granted(timezone.now())}
        return [act for act in super().offered(request, thing) if fits[act.name]]

    def page(self, request: HttpRequest, thing: Record, at: datetime) -> dict[str, Any]:
        standing = autonomy.standing_of(thing, at)
        return {
            "standing": standing,
            "why": standing.why if standing else "the playbook is not there any more, or is for something else now",
            "bound": standing and standing.bound,
            "refused": standing and standing.refused,
            "granted": thing.granted(at),
        }


@admin.register(Backoff)
class BackoffAdmin(ReadOnlyAdmin):
    list_display = ("service", "target", "diagnosis", "proposals", "next_allowed")
    list_display_links = None
    list_select_related = ("service",)
    search_fields = ("service__name", "target", "diagnosis")
    empty_title = "Nothing is held back"
    empty_hint = "After each proposal in a row the next one waits longer; a success that held ends the wait."
    empty_next = (("Open incidents", "/admin/healing/incident/"),)

    @display(description="next allowed", ordering="next_allowed_at")
    def next_allowed(self, row: Backoff) -> str:
        return words.relative_tag(row.next_allowed_at, timezone.now())
