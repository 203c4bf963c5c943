"""What every room of the admin shares.

Rules that this module keeps:
1. Rows are read-only. Whatever changes one is an `Act`: a button, a dialog, a POST with a CSRF token, a call of a service.
2. The permission of an act is checked when its button is shown and again when it is called; the service has the last word.
3. What a service refuses is said in a message on the page. It is no error of the program and never a 500.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBadRequest,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
)
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from unfold.admin import ModelAdmin
from unfold.paginator import InfinitePaginator

from healing.admin import live
from healing.admin.navigation import everywhere
from selfheal.errors import Conflict, Invalid, NotAllowed

MAX_TEXT = 2000
REFUSALS = (Conflict, NotAllowed, Invalid)


class Comment(forms.Form):
    """A comment that may be left out."""

    comment = forms.CharField(
        label="Comment (optional)",
        required=False,
        max_length=MAX_TEXT,
        widget=forms.Textarea(attrs={"rows": 3, "maxlength": MAX_TEXT}),
    )


class Reason(forms.Form):
    """A reason that must be given."""

    comment = forms.CharField(
        label="Reason (required)",
        max_length=MAX_TEXT,
        widget=forms.Textarea(attrs={"rows": 3, "maxlength": MAX_TEXT}),
        error_messages={"required": "Say why: a reason is required."},
    )


class Nothing(forms.Form):
    """A question that is answered by its button alone."""


Call = Callable[[HttpRequest, Any, dict[str, Any], datetime], str]


@dataclass(frozen=True)
class Act:
    """Something that a person may do to a thing from its page.

    `call(request, thing, fields of the form, at)` does it through a service and says in words what was done; it may raise
    Conflict, NotAllowed and Invalid. `applies` is the state in which the button is shown.
    """

    name: str
    label: str
    permission: str  # "healing.operate"
    call: Call
    question: str  # what the dialog asks
    form: type[forms.Form] = Nothing
    style: str = "plain"  # plain | primary | danger
    applies: Callable[[Any], bool] = lambda thing: True


class ReadOnlyAdmin(ModelAdmin):
    """A list that nobody edits. Lists cost what they show: no count over the history."""

    actions = None
    show_full_result_count = False
    paginator = InfinitePaginator
    list_per_page = 50
    compressed_fields = True
    change_list_template = "admin/healing/change_list.html"
    empty_title = "Nothing here"
    empty_hint = ""
    empty_next: tuple[tuple[str, ...], ...] = ()  # (words, address[, permission]): where to go from an empty list
    live_seconds = 0  # how often an open list looks for what is new; 0: not at all

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if not live.asked(request):
            return super().changelist_view(request, {"at": timezone.now(), **(extra_context or {})})
        if not self.has_view_permission(request):
            raise PermissionDenied
        return self._what_is_new(request)

    def _what_is_new(self, request: HttpRequest) -> HttpResponse:
        try:
            shown = self.get_changelist_instance(request)
        except IncorrectLookupParameters:
            return HttpResponseBadRequest()
        shown.formset = None
        around = everywhere(request)
        stamp = live.stamp_of_rows(shown.result_list, around.get("sh_banner"))
        if live.known(request, stamp):
            return live.unchanged()
        context = {**around, "opts": self.opts, "cl": shown}
        return live.answer(TemplateResponse(request, "admin/healing/list_live.html", context).render(), stamp)

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ActingAdmin(ModelAdmin):
    """Rows with acts on them."""

    acts: tuple[Act, ...] = ()
    page_key = "pk"  # the field that the address of a page names

    def allowed(self, request: HttpRequest, act: Act, thing: Any) -> bool:
        """Whether this person may do that to this thing."""
        return request.user.has_perm(act.permission)

    def offered(self, request: HttpRequest, thing: Any) -> list[Act]:
        """The acts whose buttons this person sees now."""
        return [act for act in self.acts if self.allowed(request, act, thing) and act.applies(thing)]

    def buttons(self, request: HttpRequest, thing: Any) -> dict[str, Any]:
        """What the templates `acts.html` and `dialogs.html` need."""
        return {
            "acts": [(act, act.form(auto_id=f"{act.name}-%s", label_suffix="")) for act in self.offered(request, thing)],
            "act_base": f"{self.address_of_page(thing)}act/",
        }

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        return super().get_object(request, object_id, from_field or (self.page_key if self.page_key != "pk" else None))

    def get_urls(self) -> list[URLPattern]:
        info = (self.opts.app_label, self.opts.model_name)
        view = self.admin_site.admin_view(self.act_view)
        return [path("<path:object_id>/act/<slug:name>/", view, name="{}_{}_act".format(*info)), *super().get_urls()]

    def act_view(self, request: HttpRequest, object_id: str, name: str) -> HttpResponse:
        """Do one act. Only by POST; GET never changes anything."""
        act = next((a for a in self.acts if a.name == name), None)
        if act is None:
            raise Http404(name)
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        thing = self._thing(request, object_id)
        if not self.allowed(request, act, thing):
            raise PermissionDenied
        self._do(request, act, thing)
        return HttpResponseRedirect(self.address(thing))

    def address(self, thing: Any) -> str:
        """Where to go after an act."""
        return address_of(thing, self.page_key)

    def _do(self, request: HttpRequest, act: Act, thing: Any) -> None:
        form = act.form(request.POST)
        if not form.is_valid():
            for problems in form.errors.values():
                messages.error(request, " ".join(map(str, problems)))
            return
        try:
            said = act.call(request, thing, form.cleaned_data, timezone.now())
        except REFUSALS as refusal:
            messages.error(request, sentence(str(refusal)))
        else:
            messages.success(request, sentence(said))

    def _thing(self, request: HttpRequest, object_id: str) -> Any:
        thing = self.get_object(request, unquote(object_id))
        if thing is None:
            raise Http404(f"there is no {self.opts.verbose_name} {object_id}")
        if not self.has_view_permission(request, thing):
            raise PermissionDenied
        return thing

    def address_of_page(self, thing: Any) -> str:
        """The address without `change/`, to which the name of an act is appended."""
        return address_of(thing, self.page_key).removesuffix("change/")


class PageAdmin(ActingAdmin, ReadOnlyAdmin):
    """A read-only list whose rows have a page of our own, with acts on it."""

    page_template = ""

    def live_page(self, thing: Any) -> int:
        """How often, in seconds, an open page looks for what is new; 0: nothing will change here."""
        return 0

    def page(self, request: HttpRequest, thing: Any, at: datetime) -> dict[str, Any]:
        """What the template needs beside `thing`, `at` and `acts`."""
        return {}

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        thing = self._thing(request, object_id)
        return live.respond(request, self._respond(request, thing))

    def _respond(
        self, request: HttpRequest, thing: Any, template: str = "", more: dict[str, Any] | None = None
    ) -> TemplateResponse:
        """The page of the thing; with a `template` a further page of it, which is given `more` in the place of `page()`."""
        at = timezone.now()
        request.current_app = self.admin_site.name
        context = {
            **(everywhere(request) if live.asked(request) else self.admin_site.each_context(request)),
            "opts": self.opts,
            "original": thing,
            "thing": thing,
            "title": str(thing),
            "at": at,
            "frame": live.frame(request),
            "live_seconds": self.live_page(thing) if more is None else 0,
            **self.buttons(request, thing),
            **(self.page(request, thing, at) if more is None else more),
        }
        return TemplateResponse(request, template or self.page_template, context)


def address_of(thing: Model, key: str = "pk") -> str:
    """The admin page of a row."""
    return reverse(f"admin:{thing._meta.app_label}_{thing._meta.model_name}_change", args=[getattr(thing, key)])


def session_of(request: HttpRequest) -> str:
    """`page session 3f9a…`: names the session in the log without being able to continue it."""
    key = request.session.session_key or ""
    return f"page session {hashlib.sha256(key.encode()).hexdigest()[:12]}"


def sentence(text: str) -> str:
    """With a capital and a full stop, as messages stand on a page."""
    text = text.strip()
    if not text:
        return text
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?" else ".")
