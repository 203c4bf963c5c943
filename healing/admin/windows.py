"""Change windows and freezes: what holds now, what comes, and how they are changed.

Rules that this module keeps:
1. Only who may configure has the form. What a file declares is not changed here.
2. A preview stores nothing; saving goes through the service, which reads the calendar again and writes the log entry.
3. A fault of a calendar is told with its line and what stands on it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from unfold.decorators import action, display

from healing import windows
from healing.admin import labels, words
from healing.admin.base import REFUSALS, Act, PageAdmin, Reason, address_of, sentence
from healing.admin.forms import form_page, refused
from healing.admin.window_form import WindowForm, initial_of
from healing.catalog.windows import save_window, set_window_active
from healing.models import Window
from selfheal.windows import Calendar, Opening, openings_of, split_lines, standing

CONFIGURE = "healing.configure"
PREVIEWED = 5
NAMED = 3


def end(request: HttpRequest, thing: Window, said: dict[str, Any], at: datetime) -> str:
    set_window_active(thing, False, said["comment"], request.user.get_username(), at)
    return f"{thing.name} is not in force any more"


def put_in_force(request: HttpRequest, thing: Window, said: dict[str, Any], at: datetime) -> str:
    set_window_active(thing, True, said["comment"], request.user.get_username(), at)
    return f"{thing.name} is in force"


@admin.register(Window)
class WindowAdmin(PageAdmin):
    page_template = "admin/healing/window.html"
    list_display = ("name", "kind_label", "now", "for_services", "for_impacts", "declared")
    list_filter = ("kind", "active")
    search_fields = ("name", "services__name")
    actions_list = ("new",)
    empty_title = "No calendar"
    empty_hint = "Without one the change window of SELF_HEAL_CHANGE_WINDOW holds. Make one here, or write windows/NAME.ics."
    empty_next = (("New window or freeze", "new/", CONFIGURE),)
    acts = (
        Act(
            "end",
            "End it",
            CONFIGURE,
            end,
            "Put it out of force?",
            Reason,
            "danger",
            applies=lambda window: window.active and not window.path,
        ),
        Act(
            "restore",
            "Put in force",
            CONFIGURE,
            put_in_force,
            "Put it in force again?",
            Reason,
            "primary",
            applies=lambda window: not window.active and not window.path,
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Window]:
        return super().get_queryset(request).prefetch_related("services")

    def get_urls(self) -> list[URLPattern]:
        edit = self.admin_site.admin_view(self.edit)
        return [path("<uuid:pk>/edit/", edit, name="healing_window_edit"), *super().get_urls()]

    def has_configure_permission(self, request: HttpRequest, *args: Any) -> bool:
        return bool(request.user.has_perm(CONFIGURE))

    @display(description="kind", label=labels.WINDOW)
    def kind_label(self, row: Window) -> tuple[str, str]:
        return row.kind, row.kind

    @display(description="now")
    def now(self, row: Window) -> str:
        return said_now(row, timezone.now())

    @display(description="services")
    def for_services(self, row: Window) -> str:
        names = [service.name for service in row.services.all()]
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        return ", ".join(names[:NAMED]) + more or "all"

    @display(description="impacts")
    def for_impacts(self, row: Window) -> str:
        return ", ".join(row.impacts) or "all"

    @display(description="declared in")
    def declared(self, row: Window) -> str:
        return row.path or "here"

    def page(self, request: HttpRequest, thing: Window, at: datetime) -> dict[str, Any]:
        calendar = windows.calendar_of(thing)
        may_edit = self.has_configure_permission(request) and not thing.path
        return {
            "now": said_now(thing, at),
            "problem": calendar.problem,
            "openings": [] if calendar.problem else preview(calendar, at),
            "lines": list(enumerate(split_lines(thing.calendar.rstrip()), 1)),
            "edit": reverse("admin:healing_window_edit", args=[thing.pk]) if may_edit else "",
        }

    @action(description="New window or freeze", url_path="new", permissions=["configure"])
    def new(self, request: HttpRequest) -> HttpResponse:
        zone = settings.SELF_HEAL_TIME_ZONE or "UTC"
        return self._form(request, None, {"time_zone": zone, "how": "weekly", "kind": "window"})

    def edit(self, request: HttpRequest, pk: Any) -> HttpResponse:
        row = self._thing(request, str(pk))
        if row.path:
            messages.error(request, sentence(f"{row.name} is declared in {row.path}: change it there"))
            return HttpResponseRedirect(address_of(row))
        return self._form(request, row, initial_of(row))

    def _form(self, request: HttpRequest, row: Window | None, initial: dict[str, Any]) -> HttpResponse:
        if not self.has_configure_permission(request):
            raise PermissionDenied
        at, previewed = timezone.now(), "preview" in request.POST
        form = WindowForm(request.POST or None, initial=initial, at=at, only_preview=previewed)
        openings = None
        if request.method == "POST" and form.is_valid():
            if not previewed and (saved := self._save(request, row, form, at)):
                return HttpResponseRedirect(address_of(saved))
            openings = preview(form.read, at) if form.read else None
        more = {"at": at, "openings": openings, "kind": form.said.get("kind")}
        return form_page(self, request, "window_form", form, row, "New window or freeze", **more)

    def _save(self, request: HttpRequest, row: Window | None, form: WindowForm, at: datetime) -> Window | None:
        """The row as it is stored now; None if the service refused, which stands in a message."""
        try:
            saved = save_window(row, form.said, form.cleaned_data["reason"], request.user.get_username(), at)
        except REFUSALS as refusal:
            refused(request, form, refusal)
            return None
        messages.success(request, f"{saved.name} is stored.")
        return saved


def said_now(row: Window, at: datetime) -> str:
    """How it stands by itself, in the zone of the page."""
    return standing(windows.calendar_of(row), at, lambda moment: words.clock(moment, at)) if row.active else "not in force"


def preview(calendar: Calendar, at: datetime) -> list[dict[str, Any]]:
    """The next times that it opens, or that the freeze holds, on the page's clocks and on its own where those differ."""
    same = timezone.get_current_timezone_name() == calendar.zone.key
    return [
        {
            "now": each.start <= at,
            "start": each.start,
            "end": each.end,
            "length": words.span((each.end - each.start).total_seconds()) if each.end else "",
            "there": "" if same else _there(each, at, calendar.zone),
        }
        for each in openings_of(calendar, at, PREVIEWED)
    ]


def _there(each: Opening, at: datetime, zone: ZoneInfo) -> str:
    start = f"{each.start.astimezone(zone):%a %-d %b %H:%M} – " if each.start > at else "until "
    return f"{start}{each.end.astimezone(zone):%a %-d %b %H:%M} {zone.key}" if each.end else zone.key
