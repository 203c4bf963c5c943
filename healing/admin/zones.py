"""In which zone somebody reads times: their own choice, offered with the zone of the browser. It changes nothing but words."""

from __future__ import annotations

from zoneinfo import available_timezones

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme

from healing.models import User


class ZoneForm(forms.Form):
    time_zone = forms.ChoiceField(label="Time zone", required=False)

    def __init__(self, said: object, initial: str) -> None:
        super().__init__(said, initial={"time_zone": initial}, label_suffix="")  # type: ignore[arg-type]
        own = f"as the installation: {settings.SELF_HEAL_TIME_ZONE or 'UTC'}"
        names = sorted(available_timezones())
        self.fields["time_zone"].choices = [("", own), *((name, name) for name in names)]  # type: ignore[attr-defined]


def time_zone(request: HttpRequest) -> HttpResponse:
    """GET: the form; POST: the choice, and back to where one was."""
    user: User = request.user  # type: ignore[assignment]
    said = request.POST if request.method == "POST" else None
    form = ZoneForm(said, user.time_zone)
    back = _back(request)
    if said is not None and form.is_valid():
        User.objects.filter(pk=user.pk).update(time_zone=form.cleaned_data["time_zone"])
        messages.success(request, f"Times are shown in {form.cleaned_data['time_zone'] or 'the zone of the installation'}.")
        return HttpResponseRedirect(back)
    around = admin.site.each_context(request)
    context = {**around, "title": "Time zone", "form": form, "next": back, "at": timezone.now()}
    return TemplateResponse(request, "admin/healing/time_zone.html", context)


def _back(request: HttpRequest) -> str:
    """The page of ours from which one came."""
    asked = request.POST.get("next") or request.GET.get("next") or ""
    ours = asked.startswith("/admin/") and url_has_allowed_host_and_scheme(asked, None)
    return asked if ours else reverse("admin:index")
