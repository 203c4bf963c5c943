"""The page of one's own account: where one is signed in, the second factor, one's tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.debug import sensitive_post_parameters

from healing import access, second_factor, sessions
from healing.admin import words
from healing.admin.base import REFUSALS, sentence
from healing.admin.sign_in import CodeForm, recovery_codes
from selfheal.errors import Conflict, Invalid

Done = HttpResponse | str  # an answer of its own, or what to say on the page of the account


def account(request: HttpRequest) -> HttpResponse:
    """GET: the page."""
    user: Any = request.user
    context = {
        **admin.site.each_context(request),
        "title": "Your account",
        "at": timezone.now(),
        "role": access.role_of(user) or "no role",
        "since": sessions.since(request),
        "browsers": sum(1 for _ in sessions.of(user)),
        "idle": words.span(sessions.IDLE.total_seconds()),
        "longest": words.span(sessions.LONGEST.total_seconds()),
        "device": second_factor.device_of(user),
        "codes_left": second_factor.codes_left(user),
        "demanded": second_factor.is_demanded(user),
        "form": _plain(CodeForm(auto_id="change-%s", label_suffix="")),
        "tokens": access.list_tokens(user),
    }
    return TemplateResponse(request, "admin/healing/account.html", context)


def _plain(form: CodeForm) -> CodeForm:
    """On this page the field is one thing of many: the cursor does not begin in it."""
    del form.fields["code"].widget.attrs["autofocus"]
    return form


@sensitive_post_parameters()
def act(request: HttpRequest, name: str) -> HttpResponse:
    """POST: one of ACTS."""
    if name not in ACTS:
        raise Http404(name)
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    try:
        done = ACTS[name](request)
    except REFUSALS as refusal:
        messages.error(request, sentence(str(refusal)))
    else:
        if not isinstance(done, str):
            return done
        messages.success(request, sentence(done))
    return HttpResponseRedirect(reverse("account"))


def _sign_out(request: HttpRequest) -> Done:
    user: Any = request.user
    ended = sessions.end_all(user, user.username, "asked for", timezone.now(), but=request.session.session_key)
    return f"you are signed out of {ended} other browser{'' if ended == 1 else 's'}"


def _codes(request: HttpRequest) -> Done:
    _with_code(request)
    codes = second_factor.new_codes(request.user, timezone.now())  # type: ignore[arg-type]
    return recovery_codes(request, codes, reverse("account"))


def _remove(request: HttpRequest) -> Done:
    user: Any = request.user
    if second_factor.is_demanded(user):
        raise Conflict("your role must have a second factor")
    _with_code(request)
    second_factor.remove(user, user.username, timezone.now(), but=request.session.session_key)
    return "the second factor is taken away"


def _with_code(request: HttpRequest) -> None:
    """A session that was left open changes nothing here: a fresh code is asked for."""
    user: Any = request.user
    if second_factor.missing(user):
        raise PermissionDenied
    form = CodeForm(request.POST)
    if not form.is_valid():
        raise Invalid("give a code of your phone, or a recovery code", field="code")
    second_factor.verify(user, form.cleaned_data["code"], timezone.now())


ACTS: dict[str, Callable[[HttpRequest], Done]] = {"sign-out": _sign_out, "codes": _codes, "remove-factor": _remove}
