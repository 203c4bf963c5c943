"""Channels, and what was told by them.

Rules that this module keeps:
1. Channels are for administrators; every change and each test goes through `healing.notifications.channels`, which logs it.
2. An address is shown as it is stored, with the names of its secrets, in the form only; elsewhere, where it leads.
3. A message is text from outside: escaped, never markup, never a link.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import NoReverseMatch, URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from unfold.decorators import action, display

from healing.admin import words
from healing.admin.base import REFUSALS, Act, PageAdmin, address_of
from healing.admin.forms import PageForm, form_page, refused, services
from healing.admin.labels import NOTIFICATION
from healing.models import Channel, Notification
from healing.notifications import channels, secrets
from healing.notifications.writing import paged
from selfheal.errors import Invalid
from selfheal.messages import EVENTS
from selfheal.states import Impact

CONFIGURE = channels.PERMISSION
SHOWN = 10
KIND_WORDS = {"apprise": "People: mail, chat, paging (apprise)", "webhook": "A program: signed webhook"}
QUIET = "This installation does not execute, so nobody is told: not one notification is written."


class ChannelForm(PageForm):
    name = forms.CharField(max_length=channels.MAX_NAME)
    kind = forms.ChoiceField(choices=[(kind, KIND_WORDS[kind]) for kind in channels.KINDS])
    url = forms.CharField(
        label="Address",
        max_length=channels.MAX_URL,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
        help_text="slack://…, mailto://…, pagerduty://…, or https://… of a program; secrets by name: ${secret.NAME}",
    )
    signing_secret = forms.CharField(
        label="Signing secret",
        required=False,
        max_length=100,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
        help_text="of a webhook: the name of the file in SELF_HEAL_SECRETS_DIR that holds whsec_…",
    )
    events = forms.MultipleChoiceField(
        required=False,
        choices=[(name, f"{name}: {EVENTS[name].meaning}") for name in channels.CHOICES],
        widget=forms.CheckboxSelectMultiple,
        help_text="none: all events",
    )
    least_impact = forms.ChoiceField(
        label="From impact",
        choices=[(impact, impact) for impact in Impact],
        help_text="of the plan; the severity where an incident has none",
    )
    services = forms.MultipleChoiceField(required=False, help_text="none: all services")

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.offer("services", *services())


def try_it(request: HttpRequest, thing: Channel, said: dict[str, Any], at: datetime) -> str:
    row = channels.test(thing, request.user, at)  # type: ignore[arg-type]
    if row.sent_at is None:
        raise Invalid(f"the test message was not sent: {row.error}")
    return "the test message was sent"


def switch_off(request: HttpRequest, thing: Channel, said: dict[str, Any], at: datetime) -> str:
    channels.switch(thing, False, request.user, at)  # type: ignore[arg-type]
    return f"{thing.name} is off"


def switch_on(request: HttpRequest, thing: Channel, said: dict[str, Any], at: datetime) -> str:
    channels.switch(thing, True, request.user, at)  # type: ignore[arg-type]
    return f"{thing.name} is on"


def remove(request: HttpRequest, thing: Channel, said: dict[str, Any], at: datetime) -> str:
    channels.remove(thing, request.user, at)  # type: ignore[arg-type]
    return f"{thing.name} is removed"


@admin.register(Channel)
class ChannelAdmin(PageAdmin):
    page_template = "admin/healing/channel.html"
    list_display = ("name", "kind", "leads_to", "what_it_hears", "for_services", "on")
    list_filter = ("kind", "active")
    search_fields = ("name",)
    actions_list = ("new",)
    empty_title = "No channel"
    empty_hint = "Without one, SELF_HEAL_NOTIFY_URLS hears everything but good news. A channel says who hears of what."
    empty_next = (("New channel", "new/", CONFIGURE),)
    acts = (
        Act("remove", "Remove", CONFIGURE, remove, "Remove the channel? What waits for it is not sent.", style="danger"),
        Act("off", "Switch off", CONFIGURE, switch_off, "Send nothing by it any more?", applies=lambda channel: channel.active),
        Act("on", "Switch on", CONFIGURE, switch_on, "Send by it again?", applies=lambda channel: not channel.active),
        Act("test", "Send a test message", CONFIGURE, try_it, "Send a test message now?", style="primary"),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Channel]:
        return super().get_queryset(request).prefetch_related("services")

    def get_urls(self) -> list[URLPattern]:
        return [path("<uuid:pk>/edit/", self.admin_site.admin_view(self.edit), name="healing_channel_edit"), *super().get_urls()]

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm(CONFIGURE))

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_configure_permission(self, request: HttpRequest, *args: Any) -> bool:
        return self.has_view_permission(request)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        _say_quiet(request)
        return super().changelist_view(request, extra_context)

    @display(description="leads to")
    def leads_to(self, row: Channel) -> str:
        return secrets.shown(row.url)

    @display(description="hears")
    def what_it_hears(self, row: Channel) -> str:
        return hears(row)

    @display(description="services")
    def for_services(self, row: Channel) -> str:
        return ", ".join(service.name for service in row.services.all()) or "all"

    @display(description="state", label={"on": "success", "off": ""})
    def on(self, row: Channel) -> tuple[str, str]:
        return ("on", "on") if row.active else ("off", "off")

    def address(self, thing: Channel) -> str:
        return address_of(thing) if Channel.objects.filter(pk=thing.pk).exists() else reverse("admin:healing_channel_changelist")

    def page(self, request: HttpRequest, thing: Channel, at: datetime) -> dict[str, Any]:
        return {
            "leads_to": secrets.shown(thing.url),
            "hears": hears(thing),
            "quiet": "" if paged() else QUIET,
            "edit": reverse("admin:healing_channel_edit", args=[thing.pk]),
            "rows": [(row, status_of(row), plain(row.title)) for row in thing.notifications.all()[:SHOWN]],
        }

    @action(description="New channel", url_path="new", permissions=["configure"])
    def new(self, request: HttpRequest) -> HttpResponse:
        return self._form(request, None, {"kind": "apprise", "least_impact": Impact.LOW})

    def edit(self, request: HttpRequest, pk: Any) -> HttpResponse:
        row = self._thing(request, str(pk))
        initial = {name: getattr(row, name) for name in channels.FIELDS}
        return self._form(request, row, {**initial, "services": [service.name for service in row.services.all()]})

    def _form(self, request: HttpRequest, row: Channel | None, initial: dict[str, Any]) -> HttpResponse:
        if not self.has_configure_permission(request):
            raise PermissionDenied
        form = ChannelForm(request.POST or None, initial=initial)
        if request.method == "POST" and form.is_valid() and (saved := self._save(request, row, form)):
            return HttpResponseRedirect(address_of(saved))
        return form_page(self, request, "channel_form", form, row, "New channel")

    def _save(self, request: HttpRequest, row: Channel | None, form: ChannelForm) -> Channel | None:
        """The row as it is stored now; None if the service refused, which stands at its field or in a message."""
        try:
            saved = channels.save(row, form.cleaned_data, request.user, timezone.now())  # type: ignore[arg-type]
        except REFUSALS as refusal:
            refused(request, form, refusal)
            return None
        messages.success(request, f"{saved.name} is stored. Send a test message to see that it works.")
        return saved


@admin.register(Notification)
class NotificationAdmin(PageAdmin):
    page_template = "admin/healing/notification.html"
    list_display = ("title_shown", "event", "to", "status_label", "attempts", "when", "error_shown")
    list_filter = ("event", "channel")
    list_select_related = ("channel",)
    search_fields = ("title", "subject")
    empty_title = "Nobody was told anything"
    empty_hint = "What people and programs are told stands here, with how it went. Channels say who hears of what."
    empty_next = (("Channels", "/admin/healing/channel/", CONFIGURE),)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        _say_quiet(request)
        return super().changelist_view(request, extra_context)

    @display(description="message")
    def title_shown(self, row: Notification) -> str:
        return plain(row.title)

    @display(description="to")
    def to(self, row: Notification) -> str:
        return receiver_of(row)

    @display(description="status", label=NOTIFICATION)
    def status_label(self, row: Notification) -> tuple[str, str]:
        return status_of(row), status_of(row)

    @display(description="written", ordering="created_at")
    def when(self, row: Notification) -> str:
        return words.relative_tag(row.created_at, timezone.now())

    @display(description="error")
    def error_shown(self, row: Notification) -> str:
        return words.visible(row.error)[:200] or "–"

    def page(self, request: HttpRequest, thing: Notification, at: datetime) -> dict[str, Any]:
        return {
            "title": plain(thing.title),
            "body": plain(thing.body),
            "status": status_of(thing),
            "to": receiver_of(thing),
            "subject_link": subject_link(thing),
        }


def plain(text: str) -> str:
    """A message as a page shows it: without the blanks that keep chat programs from finding a mention."""
    return words.visible(text.replace("\u200b", ""))


def _say_quiet(request: HttpRequest) -> None:
    if not paged():
        messages.info(request, QUIET)


def hears(row: Channel) -> str:
    """`3 events from high`, as a list says it."""
    count = len(row.events)
    what = "all events" if not count else ", ".join(row.events) if count <= 2 else f"{count} events"
    return what if row.least_impact == Impact.LOW else f"{what} from {row.least_impact}"


def receiver_of(row: Notification) -> str:
    return row.channel.name if row.channel else "SELF_HEAL_NOTIFY_URLS"


def status_of(row: Notification) -> str:
    if row.sent_at:
        return "sent"
    if row.due_at is None:
        return "not sent" if row.error.startswith("not sent") else "given up"
    return "tried again" if row.attempts else "waiting"


def subject_link(row: Notification) -> str:
    """A link to what it is about, where that has a page."""
    kind, _, key = row.subject.partition(":")
    pages = {
        "approval": "approvalrequest",
        "run": "run",
        "incident": "incident",
        "token": "token",
        "channel": "channel",
        "problem": "problem",
    }
    name, arguments = ("control", ["1"]) if kind == "kill_switch" else (pages.get(kind, ""), [key])
    try:
        address = reverse(f"admin:healing_{name}_change", args=arguments)
    except NoReverseMatch:
        return row.subject
    return format_html('<a href="{}">{}</a>', address, kind.replace("_", " "))
