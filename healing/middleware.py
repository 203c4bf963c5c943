"""What every request passes: what a browser may load, how long a session lives, the second factor, the time zone of pages."""

from __future__ import annotations

from collections.abc import Callable
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.conf import settings
from django.contrib.auth import SESSION_KEY, logout
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode

from healing import second_factor, sessions

Respond = Callable[[HttpRequest], HttpResponse]

_EVERYWHERE = {
    "default-src": "'self'",
    "img-src": "'self' data:",
    "object-src": "'none'",
    "base-uri": "'none'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
}
_PERMISSIONS = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"
# No script stands in a page anywhere. Alpine, which unfold is made of, evaluates the attributes of its own templates, and both
# unfold and the API's pages set styles in their elements.
_BY_PATH: tuple[tuple[str, dict[str, str]], ...] = (
    ("/admin/", {"script-src": "'self' 'unsafe-eval'", "style-src": "'self' 'unsafe-inline'"}),
    ("/api/docs", {"style-src": "'self' 'unsafe-inline'"}),
    ("", {}),
)
_POLICIES = tuple(
    (start, "; ".join(f"{what} {where}" for what, where in (_EVERYWHERE | more).items())) for start, more in _BY_PATH
)
_WITHOUT_SECOND_FACTOR = ("/api/", "/healthz", "/readyz", "/metrics")  # healing.api.auth looks at sessions by itself


class HeadersMiddleware:
    """Content-Security-Policy and Permissions-Policy, unless the view has set its own."""

    def __init__(self, get_response: Respond) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", policy_for(request.path))
        response.headers.setdefault("Permissions-Policy", _PERMISSIONS)
        return response


def policy_for(path: str) -> str:
    """The Content-Security-Policy of the page at `path`."""
    return next(policy for start, policy in _POLICIES if path.startswith(start))


class SignedInMiddleware:
    """Ends sessions that are over, and leads whoever still owes the second factor to its page, whatever they asked for."""

    def __init__(self, get_response: Respond) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if SESSION_KEY in request.session:
            if sessions.is_over(request, timezone.now()):
                logout(request)
            elif second_factor.missing(request.user) and not _open_before(request.path):
                return HttpResponseRedirect(f"{reverse('second-factor')}?{urlencode({'next': _back_to(request)})}")
        return self.get_response(request)


def _open_before(path: str) -> bool:
    open_paths = (*_WITHOUT_SECOND_FACTOR, settings.STATIC_URL, reverse("second-factor"), reverse("admin:logout"))
    return path.startswith(open_paths)


def _back_to(request: HttpRequest) -> str:
    return request.get_full_path() if request.method == "GET" else reverse("admin:index")


class TimeZoneMiddleware:
    """Times as the person at the desk reads them: their own zone, else the installation's, else UTC. Only pages use it."""

    def __init__(self, get_response: Respond) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with timezone.override(zone_of(request)):
            return self.get_response(request)


def zone_of(request: HttpRequest) -> ZoneInfo:
    """The zone to show times in. A name that no zone has is passed over: a page must not fail for it."""
    for name in (getattr(request.user, "time_zone", ""), settings.SELF_HEAL_TIME_ZONE):
        if name:
            try:
                return ZoneInfo(name)
            except (ZoneInfoNotFoundError, ValueError):
                continue
    return ZoneInfo("UTC")
