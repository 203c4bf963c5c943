"""Silences: which hold, a new one, the end of one.

Rules that this module keeps:
1. Who may operate makes and ends them; a silence is never changed.
2. What the service refuses stands at its field.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from unfold.decorators import action, display

from healing import silences
from healing.admin import labels, words
from healing.admin.base import REFUSALS, Act, PageAdmin, Reason, address_of, sentence
from healing.admin.forms import PageForm, form_page, reason_field, refused, services
from healing.models import Silence

OPERATE = "healing.operate"
LASTING = (
    ("30", "30 minutes"),
    ("60", "1 hour"),
    ("120", "2 hours"),
    ("240", "4 hours"),
    ("480", "8 hours"),
    ("1440", "1 day"),
    ("4320", "3 days"),
    ("10080", "7 days"),
    ("43200", "30 days"),
)


class SilenceForm(PageForm):
    """A new silence, from now on."""

    service = forms.ChoiceField(required=False, help_text="of labels alone: any")
    labels = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "placeholder": "team=shop"}),
        help_text="a line NAME=VALUE for each; an incident that carries all of them is silent",
    )
    lasting = forms.ChoiceField(label="For how long", choices=LASTING, initial="120")
    reason = reason_field(silences.MAX_REASON)

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.offer("service", ("", "any"), *services())

    def clean_labels(self) -> dict[str, str]:
        lines = [line.strip() for line in self.cleaned_data["labels"].splitlines() if line.strip()]
        for line in lines:
            if "=" not in line:
                raise forms.ValidationError(f"{line[:60]!r} is no NAME=VALUE")
        return {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in lines)}


def end(request: HttpRequest, thing: Silence, said: dict[str, Any], at: datetime) -> str:
    silences.end(thing.pk, request.user, said["comment"], at)  # type: ignore[arg-type]  # signed in
    return f"the silence for {silences.about(thing)} is over, what it kept back is looked at"


def is_not_over(row: Silence) -> bool:
    return row.ends_at > timezone.now()


@admin.register(Silence)
class SilenceAdmin(PageAdmin):
    page_template = "admin/healing/silence.html"
    list_display = ("about", "status_label", "reason_shown", "by", "begins", "ends")
    list_filter = ("service",)
    list_select_related = ("service", "created_by", "incident")
    search_fields = ("reason", "service__name")
    ordering = ("-ends_at",)
    actions_list = ("new",)
    empty_title = "Nothing is silenced"
    empty_hint = (
        "Make a silence before maintenance: incidents are shown as always, and nothing is proposed for them until it ends."
    )
    empty_next = (("New silence", "new/", OPERATE),)
    acts = (Act("end", "End it now", OPERATE, end, "End this silence?", Reason, "danger", applies=is_not_over),)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Silence]:
        return super().get_queryset(request).select_related("service", "created_by", "incident__service")

    def has_operate_permission(self, request: HttpRequest, *args: Any) -> bool:
        return bool(request.user.has_perm(OPERATE))

    @display(description="for")
    def about(self, row: Silence) -> str:
        return str(row.incident) if row.incident else silences.about(row)

    @display(description="status", label=labels.SILENCE)
    def status_label(self, row: Silence) -> str:
        return silences.status(row, timezone.now())

    @display(description="reason")
    def reason_shown(self, row: Silence) -> str:
        return row.reason[:100]

    @display(description="by")
    def by(self, row: Silence) -> str:
        return str(row.created_by.get_username())

    @display(description="from", ordering="starts_at")
    def begins(self, row: Silence) -> str:
        return words.clock_tag(row.starts_at, timezone.now())

    @display(description="until", ordering="ends_at")
    def ends(self, row: Silence) -> str:
        return words.clock_tag(row.ends_at, timezone.now())

    def page(self, request: HttpRequest, thing: Silence, at: datetime) -> dict[str, Any]:
        return {"status": silences.status(thing, at), "about": silences.about(thing)}

    @action(description="New silence", url_path="new", permissions=["operate"])
    def new(self, request: HttpRequest) -> HttpResponse:
        if not self.has_operate_permission(request):
            raise PermissionDenied
        form = SilenceForm(request.POST or None, initial={"service": request.GET.get("service", "")})
        if request.method == "POST" and form.is_valid() and (made := self._make(request, form)):
            return HttpResponseRedirect(address_of(made))
        return form_page(self, request, "silence_form", form, None, "New silence")

    def _make(self, request: HttpRequest, form: SilenceForm) -> Silence | None:
        said, at = form.cleaned_data, timezone.now()
        ends_at = at + timedelta(minutes=int(said["lasting"]))
        wanted = {name: said[name] for name in ("service", "labels", "reason")}
        try:
            made = silences.create(request.user, at=at, ends_at=ends_at, **wanted)  # type: ignore[arg-type]  # signed in
        except REFUSALS as refusal:
            refused(request, form, refusal)
            return None
        messages.success(request, sentence(f"nothing is proposed for {silences.about(made)} until it ends"))
        return made
