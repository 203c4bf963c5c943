"""Trust: how far each actor is trusted, why, and since when; changed by people only by an act that is logged."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminDecimalFieldWidget, UnfoldAdminIntegerFieldWidget

from healing import trust
from healing.admin import labels, words
from healing.admin.base import REFUSALS, Act, PageAdmin, Reason, address_of
from healing.admin.forms import PageForm, form_page, reason_field, refused
from healing.models import Token, TrustEvidence, TrustScore
from healing.plots import Plot, Series, lines
from selfheal.scores import FLOOR, LONGEST, Kind

DAYS = LONGEST.days


class Setting(Reason):
    """To what, for how long, and why."""

    score = forms.FloatField(
        label="Score (0 to 1)", min_value=0, max_value=1, widget=UnfoldAdminDecimalFieldWidget(attrs={"step": "0.01"})
    )
    days = forms.IntegerField(
        label=f"Days (1 to {DAYS}; empty: until it is taken back, only for less than it earned)",
        required=False,
        min_value=1,
        max_value=DAYS,
        widget=UnfoldAdminIntegerFieldWidget(),
    )
    field_order = ("score", "days", "comment")


def set_trust(request: HttpRequest, thing: TrustScore, said: dict[str, Any], at: datetime) -> str:
    after = trust.set_by_hand(thing.kind, thing.name, said["score"], said["days"], said["comment"], request.user, at)  # type: ignore[arg-type]
    return after.words


def take_back(request: HttpRequest, thing: TrustScore, said: dict[str, Any], at: datetime) -> str:
    after = trust.take_back(thing.kind, thing.name, said["comment"], request.user, at)  # type: ignore[arg-type]
    return f"what was earned stands again: {after.words}"


class NewForm(PageForm):
    """Somebody, or something, of whom nothing may be known yet."""

    kind = forms.ChoiceField(choices=[(kind.value, kind.value) for kind in Kind], initial=Kind.AGENT)
    name = forms.CharField(max_length=trust.MAX_NAME, help_text="as the log names it; of a token its public id")
    score = forms.FloatField(label="Score (0 to 1)", widget=UnfoldAdminDecimalFieldWidget(attrs={"step": "0.01"}))
    days = forms.IntegerField(
        label=f"Days (1 to {DAYS})",
        required=False,
        widget=UnfoldAdminIntegerFieldWidget(),
        help_text="empty: until it is taken back",
    )
    reason = reason_field(trust.MAX_REASON)


@admin.register(TrustScore)
class TrustAdmin(PageAdmin):
    page_template = "admin/healing/trust.html"
    list_display = ("name", "kind", "score", "bound", "seen", "by_hand")
    list_filter = ("kind",)
    search_fields = ("name",)
    empty_title = "Nothing is known of anybody yet"
    empty_hint = "What comes of runs speaks for or against what set them off, what ran, its domain, and who asked by which token."
    empty_next = (("Runs", "/admin/healing/run/"), ("Set trust", "new/", trust.PERMISSION))
    actions_list = ("new",)
    acts = (
        Act("set", "Set trust", trust.PERMISSION, set_trust, "Let your word stand in the place of what it earned?", Setting),
        Act(
            "take_back",
            "Take it back",
            trust.PERMISSION,
            take_back,
            "Let what was earned stand again?",
            Reason,
            applies=lambda row: row.standing.is_set(timezone.now()),
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[TrustScore]:
        return super().get_queryset(request).select_related("set_by")

    @display(description="trusted", label=labels.TRUST)
    def score(self, row: TrustScore) -> tuple[str, str]:
        found = _of(row).trust
        return ("low" if found.low else "enough"), f"{found.score:.2f}"

    @display(description="at least")
    def bound(self, row: TrustScore) -> str:
        found = _of(row).trust
        return f"{found.lower_bound:.2f}" if found.seen >= 0.05 else "–"

    @display(description="evidence, by its age")
    def seen(self, row: TrustScore) -> str:
        return f"{_of(row).trust.seen:.1f}"

    @display(description="set")
    def by_hand(self, row: TrustScore) -> str:
        if not row.standing.is_set(timezone.now()):
            return "–"
        until = f", until {words.clock(row.set_until, timezone.now())}" if row.set_until else ""
        return f"by {row.set_by}{until}"

    def has_configure_permission(self, request: HttpRequest, *args: Any) -> bool:
        return bool(request.user.has_perm(trust.PERMISSION))

    @action(description="Set trust", url_path="new", permissions=["configure"])
    def new(self, request: HttpRequest) -> HttpResponse:
        if not self.has_configure_permission(request):
            raise PermissionDenied
        form = NewForm(request.POST or None)
        if request.method == "POST" and form.is_valid() and self._set(request, form):
            row = TrustScore.objects.get(kind=form.cleaned_data["kind"], name=form.cleaned_data["name"])
            return HttpResponseRedirect(address_of(row))
        return form_page(self, request, "trust_form", form, None, "Set trust")

    def _set(self, request: HttpRequest, form: NewForm) -> bool:
        said = form.cleaned_data
        try:
            trust.set_by_hand(**said, user=request.user, at=timezone.now())  # type: ignore[arg-type]  # signed in
        except REFUSALS as refusal:
            refused(request, form, refusal)
            return False
        return True

    def page(self, request: HttpRequest, thing: TrustScore, at: datetime) -> dict[str, Any]:
        evidence = trust.evidence_of(thing)
        return {
            "known": trust.known([thing], at)[0],
            "floor": FLOOR,
            "evidence": evidence,
            "changes": trust.changes_of(thing),
            "plot": course(evidence),
            "token": _token(thing),
        }


def course(evidence: list[TrustEvidence]) -> Plot:
    """What it earned after each of the newest things that were said of it."""
    rows = list(reversed(evidence))
    series = (Series("earned", "plot-good", [row.score for row in rows]),)
    names = [f"{row.at.day} {row.at:%b}" for row in rows]
    return lines("trust", "What it earned", names, series, text=lambda value: f"{value:.2f}", empty="Nothing was said of it yet.")


def _token(row: TrustScore) -> Token | None:
    """The token that is meant, while it is there."""
    try:
        public_id = uuid.UUID(row.name) if row.kind == Kind.TOKEN else None
    except ValueError:
        return None
    return Token.objects.select_related("user").filter(public_id=public_id).first() if public_id else None


def _of(row: TrustScore) -> trust.Known:
    return trust.known([row], timezone.now())[0]
