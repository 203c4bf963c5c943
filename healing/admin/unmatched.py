"""Alerts whose service nobody declared, each with the mapping line that would match it. Never guessed.

"Make a mapping" previews which alerts of the list a rule would match. It stores the rule, or, where services.yaml declares the
map, shows the line to put there.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from unfold.decorators import display

from healing import mapping, why
from healing.admin import labels, words
from healing.admin.base import REFUSALS, PageAdmin, address_of, sentence
from healing.admin.forms import PageForm, reason_field, refused, services
from healing.catalog.places import map_file
from healing.models import Playbook, Target, UnmatchedAlert
from selfheal.documents import read
from selfheal.errors import Invalid
from selfheal.mapping import BY_TARGET, Rule, line_of

CONFIGURE = "healing.configure"
SHOWN = 20  # alerts of a preview
OFFERED = 200  # hosts that a field offers


class MapForm(PageForm):
    """One rule of the map. After `is_valid`, `rule` is it."""

    match = forms.CharField(
        label="Which alerts",
        max_length=5_000,
        widget=forms.Textarea(attrs={"rows": 4, "spellcheck": "false", "class": "sh-calendar"}),
        help_text="one label a line, as NAME: PATTERN; a pattern matches the whole value, and all must match",
    )
    service = forms.ChoiceField(label="Their service")
    target = forms.CharField(
        label="Its target",
        required=False,
        max_length=100,
        widget=forms.TextInput(attrs={"list": "targets", "autocomplete": "off"}),
        help_text="labels.NAME (a port is stripped) or a host; empty: labels.instance",
    )
    diagnosis = forms.CharField(
        label="What is wrong",
        required=False,
        max_length=60,
        widget=forms.TextInput(attrs={"list": "diagnoses", "autocomplete": "off"}),
        help_text="a diagnosis that a playbook is for; empty: by the name of the alert",
    )
    reason = reason_field(mapping.MAX_REASON)

    def __init__(self, *arguments: Any, row: UnmatchedAlert, only_preview: bool, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.rule = Rule({}, "")
        by_label = [(f"labels.{name}", f"labels.{name}: the one that this label names") for name in sorted(row.labels)]
        self.offer("service", ("", "Choose"), *services(), (BY_TARGET, "by_target: the one that lists the host"), *by_label)
        self.fields["reason"].required = not only_preview

    def clean(self) -> dict[str, Any]:
        said: dict[str, Any] = super().clean() or {}
        if set(self.errors) - {"reason"}:
            return said
        try:
            match = pairs(said["match"])
            self.rule = mapping.rule_of({**{name: said[name] for name in ("service", "target", "diagnosis")}, "match": match})
        except Invalid as fault:
            self.add_error(fault.field if fault.field in self.fields else "match", sentence(fault.message))
        return said


def pairs(text: str) -> dict[str, str]:
    """`alertname: DiskFull` on each line. Raises Invalid."""
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        name, colon, pattern = line.partition(":")
        if line.strip() and not (colon and name.strip()):
            raise Invalid(f"line {number} is not NAME: PATTERN", field="match")
        if line.strip():
            found[name.strip()] = pattern.strip()
    return found


def suggested(row: UnmatchedAlert) -> dict[str, str]:
    """The form as the suggestion for this alert fills it."""
    try:
        said = read(row.suggestion, "suggestion").value[0]
        match = "\n".join(f"{name}: {pattern}" for name, pattern in said["match"].items())
        rest = {name: str(said.get(name) or "") for name in ("service", "target", "diagnosis")}
    except (Invalid, TypeError, KeyError, IndexError, AttributeError):
        return {"match": f"alertname: {row.labels.get('alertname', '')}"}
    return {"match": match, **{name: text for name, text in rest.items() if not text.startswith("<")}}


@admin.register(UnmatchedAlert)
class UnmatchedAlertAdmin(PageAdmin):
    page_template = "admin/healing/unmatched.html"
    list_display = ("alert", "status_label", "reason", "first_seen", "last_seen")
    list_filter = ("status",)
    search_fields = ("fingerprint", "reason")
    empty_title = "Every alert found its service"
    empty_hint = "An alert that names no declared service, and that no map entry matches, is listed here and never guessed."
    empty_next = (("Open incidents", "/admin/healing/incident/"),)

    @display(description="alert")
    def alert(self, row: UnmatchedAlert) -> str:
        return str(row)

    @display(description="status", label=labels.EPISODE)
    def status_label(self, row: UnmatchedAlert) -> tuple[str, str]:
        return row.status, row.status

    @display(description="first seen", ordering="first_seen_at")
    def first_seen(self, row: UnmatchedAlert) -> str:
        return words.relative_tag(row.first_seen_at, timezone.now())

    @display(description="last seen", ordering="last_seen_at")
    def last_seen(self, row: UnmatchedAlert) -> str:
        return words.relative_tag(row.last_seen_at, timezone.now())

    def page(self, request: HttpRequest, thing: UnmatchedAlert, at: Any) -> dict[str, Any]:
        may_map = request.user.has_perm(CONFIGURE)
        return {
            "answer": why.of_unmatched(thing),
            "map_file": map_file(),
            "map_page": reverse("admin:healing_unmatchedalert_map", args=[thing.pk]) if may_map else "",
        }

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.map_view)
        return [path("<uuid:pk>/map/", view, name="healing_unmatchedalert_map"), *super().get_urls()]

    def map_view(self, request: HttpRequest, pk: Any) -> HttpResponse:
        """A rule for this alert: the form, what it would match, and the rule stored."""
        thing = self._thing(request, str(pk))
        if not request.user.has_perm(CONFIGURE):
            raise PermissionDenied
        file = map_file()
        only_preview = bool(file) or "save" not in request.POST
        form = MapForm(request.POST or None, initial=suggested(thing), row=thing, only_preview=only_preview)
        more: dict[str, Any] = {"title": f"Make a mapping for {thing}", "form": form, "map_file": file, "acts": []}
        if request.method == "POST" and form.is_valid():
            if not only_preview and self._save(request, thing, form):
                return HttpResponseRedirect(reverse("admin:healing_unmatchedalert_changelist"))
            tried = mapping.tried(form.rule)
            more |= {
                "line": line_of(form.rule),
                "leading": [each for each in tried if each.leads],
                "nowhere": [each for each in tried if not each.leads][:SHOWN],
                "shown": SHOWN,
            }
        hosts = Target.objects.filter(service__active=True).values_list("name", flat=True)[:OFFERED]
        more |= {
            "targets": [*(f"labels.{name}" for name in thing.labels), *hosts],
            "diagnoses": sorted({name for row in Playbook.objects.filter(active=True) for name in row.diagnoses}),
            "back": address_of(thing),
        }
        return self._respond(request, thing, "admin/healing/unmatched_map.html", more)

    def _save(self, request: HttpRequest, thing: UnmatchedAlert, form: MapForm) -> bool:
        """Whether it is stored; if not, why stands in a message."""
        said, who = form.cleaned_data["reason"], request.user.get_username()
        try:
            taken = mapping.add_rule(form.rule, thing.labels, said, who, timezone.now())
        except REFUSALS as refusal:
            refused(request, form, refusal)
            return False
        now = f"what still fires came in again at once ({taken})" if taken else "nothing that it matches fires now"
        messages.success(request, f"The mapping is stored, and {now}. Everything else is matched when it is sent again.")
        return True
