"""The page of the meta loop: the services as a picture, distress over time, focus and guardrail with reasons, the cycles.

Rules that this module keeps:
1. It shows what `/api/meta/focus` says at this moment. Nothing on it is computed in another way.
2. It changes the pin of the guardrail and the terms of the sources, by a POST through the services of healing, and nothing else.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from healing import found, guardrail
from healing.admin import live, words
from healing.admin.base import REFUSALS, Act, Call, Reason, sentence
from healing.governance import service_graph
from healing.models import Service
from healing.network import network
from healing.plots import Plot, Series, lines
from learning.consulting import standings
from metafocus.models import Cycle
from metafocus.observing import healths_at
from metafocus.replaying import Replayed, replay_cycle
from metafocus.sources.statistics import statistics
from metafocus.summary import summary
from selfheal.errors import Invalid
from selfheal.guardrails import SHOWN
from selfheal.sources import SHOWN as SOURCE_NAMES
from selfheal.sources import Terms
from selfheal.states import Level, Trigger

PLOTTED, LISTED = 60, 20  # of the newest cycles
LIVE_SECONDS = 10


class Pin(Reason):
    """A level, and why."""

    level = forms.ChoiceField(choices=[(level.value, f"{SHOWN[level]} ({level})") for level in Level])
    field_order = ("level", "comment")


def pin(request: HttpRequest, thing: Any, said: dict[str, Any], at: datetime) -> str:
    after = guardrail.pin(said["level"], said["comment"], request.user, at)  # type: ignore[arg-type]
    return f"the guardrail is pinned to {SHOWN[after.level]}, until somebody takes the pin away"


def unpin(request: HttpRequest, thing: Any, said: dict[str, Any], at: datetime) -> str:
    after = guardrail.unpin(said["comment"], request.user, at)  # type: ignore[arg-type]
    return f"the pin is taken away: the guardrail is {SHOWN[after.level]}"


ACTS = (
    Act("pin", "Pin the guardrail", guardrail.PERMISSION, pin, "Set the level, whatever the meta loop says?", Pin),
    Act(
        "unpin", "Take the pin away", guardrail.PERMISSION, unpin, "Let the meta loop set it again?", Reason, "primary",
        applies=lambda standing: standing.pinned,
    ),
)  # fmt: skip


class TermsForm(Reason):
    """The terms of a source, and why they change."""

    enabled = forms.BooleanField(required=False, help_text="may open incidents at all")
    least_confidence = forms.FloatField(label="Least confidence", min_value=0, max_value=1)
    hourly_limit = forms.IntegerField(label="Incidents an hour, at most", min_value=0, max_value=found.MOST_LIMIT)
    field_order = ("enabled", "least_confidence", "hourly_limit", "comment")


def set_terms_of(trigger: Trigger) -> Call:
    def call(request: HttpRequest, thing: Any, said: dict[str, Any], at: datetime) -> str:
        terms = Terms(said["enabled"], said["least_confidence"], said["hourly_limit"])
        found.set_terms(trigger, terms, said["comment"], request.user, at)  # type: ignore[arg-type]
        return f"the terms of the source {SOURCE_NAMES[trigger]} are changed"

    return call


SOURCE_ACTS = tuple(
    Act(
        trigger.replace("_", "-"), f"Terms of {name}", found.PERMISSION, set_terms_of(trigger),
        f"On which terms may the source “{name}” open incidents?", TermsForm,
    )
    for trigger, name in SOURCE_NAMES.items()
)  # fmt: skip


@require_safe
def meta_page(request: HttpRequest) -> HttpResponse:
    """GET: the page, for whoever may look at runs."""
    _check(request)
    at = timezone.now()
    standing, healths = guardrail.standing(at), healths_at(at)
    rows = list(Cycle.objects.all()[:PLOTTED])
    addresses = {name: reverse("admin:healing_service_change", args=[pk]) for name, pk in _services()}
    context = {
        **admin.site.each_context(request),
        "title": "Meta loop",
        "frame": live.frame(request),
        "live_seconds": LIVE_SECONDS,
        "at": at,
        "said": summary(at, healths),
        "standing": standing,
        "shown": SHOWN[standing.level],
        "says": SHOWN[standing.said],
        "network": network(service_graph(), {name: each for name, each in healths.of.items() if name in addresses}, addresses),
        "plot": distress_over_time(rows),
        "last": rows[0] if rows else None,
        "cycles": rows[:LISTED],
        "cycle_seconds": settings.META_LOOP_CYCLE_SECONDS,
        "acts": [(each, _form(each)) for each in ACTS if request.user.has_perm(each.permission) and each.applies(standing)],
        **_sources(request, at),
        "advisers": standings(at),
        "act_base": f"{reverse('meta')}act/",
    }
    return live.respond(request, TemplateResponse(request, "admin/metafocus/meta.html", context))


@require_safe
def cycle_page(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """GET: one cycle as its entry in the log tells it, and whether the tables say the same."""
    _check(request)
    try:
        found = replay_cycle(pk)
    except Invalid as error:
        raise Http404(str(error)) from None
    context = {**admin.site.each_context(request), "at": timezone.now(), "pk": pk, **replayed(found)}
    return TemplateResponse(request, "admin/metafocus/cycle.html", context)


def act(request: HttpRequest, name: str) -> HttpResponse:
    """POST: one of ACTS or SOURCE_ACTS, by whoever may."""
    wanted = next((each for each in (*ACTS, *SOURCE_ACTS) if each.name == name), None)
    if wanted is None:
        raise Http404(name)
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    if not request.user.has_perm(wanted.permission):
        raise PermissionDenied
    form = wanted.form(request.POST)
    try:
        if not form.is_valid():
            raise Invalid(" ".join(str(problem) for problems in form.errors.values() for problem in problems))
        messages.success(request, sentence(wanted.call(request, None, form.cleaned_data, timezone.now())))
    except REFUSALS as refusal:
        messages.error(request, sentence(str(refusal)))
    return HttpResponseRedirect(reverse("meta"))


def distress_over_time(rows: list[Cycle]) -> Plot:
    """One value a cycle, the newest on the right; 60 and more recommends the strict level."""
    cycles = list(reversed(rows))
    labels = [f"{timezone.localtime(each.created_at):%H:%M}" for each in cycles]
    series = (Series("distress", "plot-bad", [each.advice["distress"] for each in cycles]),)
    empty = "No service was unwell and no incident open in these cycles." if rows else "There was no cycle yet."
    return lines("distress", "Distress over time, 0 to 100", labels, series, text="{:.0f}".format, empty=empty, top=100)


def replayed(found: Replayed) -> dict[str, Any]:
    """What the template needs of a cycle that was replayed."""
    said = found.leaf["payload"]
    return {
        "title": f"Cycle {said.get('number')}, from the log",
        "found": found,
        "said": said,
        "level": SHOWN[Level(said["guardrail_adjustment"])],
        "moment": words.moment(found.leaf["at"]),
        "probes": [{**each, "until": words.moment(each["until"])} for each in said["directives"]["extra_probes"]],
    }


def _sources(request: HttpRequest, at: datetime) -> dict[str, Any]:
    """The table of the sources, each with the act that changes its terms, for whoever may; and the dialogs of these."""
    rows = statistics(at)
    if not request.user.has_perm(found.PERMISSION):
        return {"sources": [(row, None) for row in rows], "source_acts": []}
    dialogs = [(each, _form(each, row)) for each, row in zip(SOURCE_ACTS, rows, strict=True)]
    return {"sources": [(row, each) for row, each in zip(rows, SOURCE_ACTS, strict=True)], "source_acts": dialogs}


def _form(of: Act, initial: dict[str, Any] | None = None) -> forms.Form:
    return of.form(auto_id=f"{of.name}-%s", label_suffix="", initial=initial)


def _services() -> list[tuple[str, uuid.UUID]]:
    return list(Service.objects.filter(active=True).values_list("name", "pk"))


def _check(request: HttpRequest) -> None:
    if not request.user.has_perm("healing.view_run"):
        raise PermissionDenied
