"""Signing in: the password, then the second factor of whoever has or must have one.

Rules that this module keeps:
1. Nobody is let further than their page before the second factor is given; see `healing.middleware.SignedInMiddleware`.
2. The session gets a new key when the second factor is given, as it does when the password is.
3. Recovery codes are in the one answer that makes them, and that is stored nowhere.
"""

from __future__ import annotations

from typing import Any

import django_otp
from django import forms
from django.contrib import admin
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from unfold.widgets import UnfoldAdminTextInputWidget

from healing import lockout, second_factor, throttle
from healing.admin.base import sentence
from selfheal.errors import Conflict, Invalid


class CodeForm(forms.Form):
    """One code."""

    code = forms.CharField(
        label="Code",
        max_length=40,
        widget=UnfoldAdminTextInputWidget(
            attrs={"autocomplete": "one-time-code", "inputmode": "text", "autofocus": True, "spellcheck": "false"}
        ),
    )


@sensitive_post_parameters()
@never_cache
def sign_in(request: HttpRequest) -> HttpResponse:
    """The login page of the admin, closed to an address from which too many sign-ins failed."""
    wait = throttle.FAILED_SIGN_INS.wait(throttle.source_of(request)) if request.method == "POST" else 0
    if wait:
        return lockout.closed(request, wait, sentence(throttle.FAILED_SIGN_INS.says))
    return admin.site.login(request)


@sensitive_post_parameters()
@never_cache
def second_factor_page(request: HttpRequest) -> HttpResponse:
    """Asks for the code; where there is no second factor yet, sets one up."""
    user: Any = request.user
    if not (user.is_authenticated and user.is_staff):
        return redirect_to_login(request.get_full_path(), reverse("admin:login"))
    if user.otp_device:
        return HttpResponseRedirect(reverse("account"))
    road = _ask if second_factor.device_of(user) else _set_up
    return road(request, CodeForm(request.POST if request.method == "POST" else None, label_suffix=""))


def _ask(request: HttpRequest, form: CodeForm) -> HttpResponse:
    user: Any = request.user
    if form.is_valid():
        try:
            device = second_factor.verify(user, form.cleaned_data["code"], timezone.now())
        except Invalid as error:
            form.add_error("code", sentence(str(error)))
        else:
            _let_in(request, device)
            return HttpResponseRedirect(_next(request))
    return _page(request, "second_factor.html", "Second factor", form=form)


def _set_up(request: HttpRequest, form: CodeForm) -> HttpResponse:
    user: Any = request.user
    if form.is_valid():
        try:
            device, codes = second_factor.confirm(user, form.cleaned_data["code"], timezone.now())
        except Conflict:  # it was set up in another window meanwhile
            return HttpResponseRedirect(request.get_full_path())
        except Invalid as error:
            form.add_error("code", sentence(str(error)))
        else:
            _let_in(request, device)
            return recovery_codes(request, codes, _next(request))
    device = second_factor.begin(user)
    shown = {"drawn": second_factor.drawn(device), "secret": second_factor.secret_of(device)}
    demanded = second_factor.is_demanded(user)
    return _page(request, "second_factor_setup.html", "Set up the second factor", form=form, demanded=demanded, **shown)


def recovery_codes(request: HttpRequest, codes: list[str], onward: str) -> HttpResponse:
    """The page that shows them, this once."""
    return _page(request, "recovery_codes.html", "Recovery codes", codes=codes, next=onward)


def _let_in(request: HttpRequest, device: Any) -> None:
    django_otp.login(request, device)
    request.session.cycle_key()


def _next(request: HttpRequest) -> str:
    wanted = request.GET.get("next", "")
    safe = url_has_allowed_host_and_scheme(wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure())
    return wanted if safe else reverse("admin:index")


def _page(request: HttpRequest, template: str, title: str, **more: Any) -> HttpResponse:
    context = {**admin.site.each_context(request), "title": title, **more}
    return TemplateResponse(request, f"admin/healing/{template}", context)
