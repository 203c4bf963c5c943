"""Problems: what is healed again and again, and who has its cause."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from unfold.decorators import display

from healing import debt
from healing.admin import labels, words
from healing.admin.base import Act, Reason
from healing.admin.filters import DiagnosisFilter, StatusFilter
from healing.admin.saved_filters import FilteredAdmin
from healing.models import Problem
from selfheal.states import ProblemStatus, may_move

SHOWN = 50  # incidents and runs on a page


class ProblemFilter(StatusFilter):
    """What nobody has yet comes first."""

    default = ProblemStatus.OPEN
    choices_of = ProblemStatus


class Cause(Reason):
    """What is done about it."""

    comment = forms.CharField(
        label="What is done about the cause (required)",
        max_length=debt.MAX_NOTE,
        widget=forms.Textarea(attrs={"rows": 3, "maxlength": debt.MAX_NOTE}),
        error_messages={"required": "Say what is done about the cause."},
    )


def acknowledge(request: HttpRequest, thing: Problem, said: dict[str, Any], at: datetime) -> str:
    debt.acknowledge(thing.pk, request.user, said["comment"], at)  # type: ignore[arg-type]  # signed in
    return "acknowledged: policy decides again, and what is healed from now on is counted anew"


@admin.register(Problem)
class ProblemAdmin(FilteredAdmin):
    page_template = "admin/healing/problem.html"
    list_display = ("what", "status_label", "heals", "cost", "owner", "since", "last", "by")
    list_filter = (ProblemFilter, "service", DiagnosisFilter)
    list_select_related = ("service", "acknowledged_by")
    search_fields = ("service__name", "diagnosis", "owner", "note")
    search_help_text = "Service, diagnosis, owner, or what is done about it"
    empty_title = "Nothing is healed again and again"
    empty_hint = (
        "A diagnosis that was healed SELF_HEAL_PROBLEM_HEALS times on a service within SELF_HEAL_PROBLEM_DAYS days becomes a"
        " problem: people are asked about it until somebody has its cause."
    )
    empty_next = (("Acknowledged problems", "?status=ack"), ("Runs", "/admin/healing/run/"))
    acts = (
        Act(
            "acknowledge",
            "Acknowledge",
            debt.PERMISSION,
            acknowledge,
            "Take this problem? Healing goes on as policy decides, and what is healed from now on is counted anew.",
            Cause,
            "primary",
            applies=lambda problem: may_move("problem", problem.status, ProblemStatus.ACK),
        ),
    )

    @display(description="what")
    def what(self, row: Problem) -> str:
        return f"{words.words(row.diagnosis)} of {row.service.name}"

    @display(description="status", label=labels.PROBLEM)
    def status_label(self, row: Problem) -> tuple[str, str]:
        return row.status, "acknowledged" if row.status == ProblemStatus.ACK else "open"

    @display(description="cost", ordering="seconds")
    def cost(self, row: Problem) -> str:
        return f"{row.minutes:,} min"

    @display(description="since", ordering="first_at")
    def since(self, row: Problem) -> str:
        return words.relative_tag(row.first_at, timezone.now())

    @display(description="healed last", ordering="last_at")
    def last(self, row: Problem) -> str:
        return words.relative_tag(row.last_at, timezone.now())

    @display(description="acknowledged by")
    def by(self, row: Problem) -> str:
        return row.acknowledged_by.username if row.acknowledged_by else "–"

    def page(self, request: HttpRequest, thing: Problem, at: datetime) -> dict[str, Any]:
        return {"parts": thing.parts.select_related("incident")[:SHOWN]}
