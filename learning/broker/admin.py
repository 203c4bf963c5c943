"""The pages of memory: numbers, quotas and violations for everybody; what is remembered, as policy allows.

Rules that this module keeps:
1. Looking into a domain is a question like any other: a POST, with the rights of the person, counted and logged.
2. A person looks into the domains of their own tokens, an administrator into all.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from rest_framework.exceptions import Throttled

from healing.access import DOMAIN
from healing.admin.base import REFUSALS, sentence
from healing.admin.forms import PageForm, reason_field, refused
from healing.models import Token, User
from learning.broker import pipeline, standing
from learning.broker.callers import Caller
from selfheal.memory.ranking import NAMES
from selfheal.memory.rights import MemoryType

CONFIGURE = "healing.configure"
SHOWN = 20


class Look(PageForm):
    """What is looked for in one domain."""

    query = forms.CharField(label="Words", required=False, max_length=300, help_text="any of them is enough; none: the newest")
    memory_type = forms.ChoiceField(
        label="Type", required=False, choices=[("", "any"), *((kind.value, kind.value) for kind in MemoryType)]
    )


class Settings(PageForm):
    """The weights of a domain, which are 1 together, and how often it may ask."""

    recency = forms.FloatField(min_value=0, max_value=1)
    frequency = forms.FloatField(min_value=0, max_value=1)
    tags = forms.FloatField(label="Words and tags", min_value=0, max_value=1)
    context = forms.FloatField(min_value=0, max_value=1)
    quota = forms.IntegerField(label="Questions in any 60 seconds", min_value=0, max_value=standing.MOST_QUOTA)
    reason = reason_field(300)


def memory_page(request: HttpRequest, domain: str = "") -> HttpResponse:
    """GET: numbers of all domains, or of one. POST to one: `look` into it, or `set` what it has of its own."""
    if request.method not in ("GET", "HEAD", "POST") or (request.method == "POST" and not domain):
        return HttpResponseNotAllowed(["GET", "HEAD", "POST"] if domain else ["GET", "HEAD"])
    if not request.user.has_perm("healing.view_run"):
        raise PermissionDenied
    if domain and not DOMAIN.fullmatch(domain):
        raise Http404(domain)
    if request.method == "POST" and "set" in request.POST:
        return _set(request, domain)
    look = Look(request.POST if request.method == "POST" else None)
    return _respond(request, domain, look, _settings(domain))


def _respond(request: HttpRequest, domain: str, look: Look, settings: Settings | None) -> HttpResponse:
    at, caller = timezone.now(), person(request)
    found = None
    if look.is_bound and look.is_valid():
        try:
            said = look.cleaned_data
            found = pipeline.ask(pipeline.Ask(domain, said["memory_type"], said["query"], limit=SHOWN), caller, at)
        except (*REFUSALS, Throttled) as refusal:
            messages.error(request, sentence(str(getattr(refusal, "detail", refusal))))
    context = {
        **admin.site.each_context(request),
        "title": f"Memory of {domain}" if domain else "Memory",
        "at": at,
        "domain": domain,
        "said": standing.stats({domain} if domain else None, at),
        "violations": standing.violations(SHOWN, domain),
        "often": standing.asked_often(domain, SHOWN) if domain else [],
        "look": look,
        "found": found,
        "may_look": caller.domains is None or domain in caller.domains,
        "settings": settings if request.user.has_perm(CONFIGURE) else None,
    }
    return TemplateResponse(request, f"admin/memory/{'domain' if domain else 'memory'}.html", context)


def person(request: HttpRequest) -> Caller:
    """Who is signed in, with the domains of their tokens that have not expired; an administrator with all."""
    user: User = request.user  # type: ignore[assignment]
    if user.has_perm(CONFIGURE):
        return Caller(user, "session", None)
    alive = Token.objects.filter(Q(expiry=None) | Q(expiry__gt=timezone.now()), user=user)
    return Caller(user, "session", frozenset(name for named in alive.values_list("domains", flat=True) for name in named))


def _settings(domain: str) -> Settings | None:
    if not domain:
        return None
    own = standing.domain_named(domain)
    return Settings(initial={**own.weights.as_dict(), "quota": own.quota})


def _set(request: HttpRequest, domain: str) -> HttpResponse:
    if not request.user.has_perm(CONFIGURE):
        raise PermissionDenied
    form = Settings(request.POST)
    if form.is_valid():
        said: dict[str, Any] = form.cleaned_data
        weights = {name: said[name] for name in NAMES}
        try:
            standing.configure(
                domain, weights, said["quota"], actor=request.user.get_username(), reason=said["reason"], at=timezone.now()
            )
            messages.success(request, f"Set for {domain}.")
            return HttpResponseRedirect(reverse("memory-domain", args=[domain]))
        except REFUSALS as refusal:
            refused(request, form, refusal)
    return _respond(request, domain, Look(), form)
