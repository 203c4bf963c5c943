"""What a window is for, and when: days and hours of each week, one span of time, or the text of a calendar."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import available_timezones

from django import forms
from django.utils import timezone

from healing import windows
from healing.admin.base import sentence
from healing.admin.forms import PageForm, reason_field, services
from healing.catalog.windows import MAX_NAME, MAX_REASON
from healing.models import Window
from selfheal.errors import Invalid
from selfheal.states import Impact
from selfheal.windows import DAYS, KINDS, MAX_BYTES, Calendar, read_calendar
from selfheal.windows.writing import span_calendar, weekly_calendar

KIND_WORDS = {"window": "Change window: changes are made inside it", "freeze": "Freeze: no changes while it holds"}
HOW = [("weekly", "Days and hours of each week"), ("span", "One span of time"), ("text", "iCalendar text")]


class WallTime(forms.Field):
    """A date and time as clocks show it, in no zone: which zone it is of, another field says."""

    widget = forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")

    def to_python(self, value: Any) -> datetime | None:
        if not value:
            return None
        try:
            return datetime.fromisoformat(value).replace(tzinfo=None)
        except ValueError:
            raise forms.ValidationError("This is no date and time.") from None


class Hour(forms.TimeField):
    widget = forms.TimeInput(attrs={"type": "time"}, format="%H:%M")


class WindowForm(PageForm):
    """After `is_valid`, `said` is what `save_window` takes, and `read` the calendar."""

    name = forms.CharField(max_length=MAX_NAME)
    kind = forms.ChoiceField(choices=[(kind, KIND_WORDS[kind]) for kind in KINDS])
    time_zone = forms.ChoiceField(label="Time zone", help_text="of times that name none, and of whole days")
    services = forms.MultipleChoiceField(required=False, help_text="none: all services")
    impacts = forms.MultipleChoiceField(
        required=False,
        choices=[(impact, impact) for impact in Impact],
        widget=forms.CheckboxSelectMultiple,
        help_text="none: all impacts",
    )
    how = forms.ChoiceField(label="When", choices=HOW, widget=forms.RadioSelect, initial="weekly")
    days = forms.MultipleChoiceField(required=False, choices=[(day, day) for day in DAYS], widget=forms.CheckboxSelectMultiple)
    start = Hour(label="From", required=False)
    end = Hour(label="Until", required=False, help_text="no later than the start: on the next day")
    begins = WallTime(label="From", required=False)
    until = WallTime(label="Until", required=False)
    yearly = forms.BooleanField(label="Each year again", required=False)
    calendar = forms.CharField(
        required=False,
        max_length=MAX_BYTES,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 14, "spellcheck": "false", "class": "sh-calendar"}),
        help_text="VEVENTs with DTSTART, DTEND or DURATION, RRULE, RDATE, EXDATE (RFC 5545)",
    )
    reason = reason_field(MAX_REASON)

    def __init__(self, *arguments: Any, at: datetime, only_preview: bool = False, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.at = at
        self.said: dict[str, Any] = {}
        self.read: Calendar | None = None
        self.offer("services", *services())
        self.offer("time_zone", *((zone, zone) for zone in sorted(available_timezones())))
        self.fields["reason"].required = not only_preview

    def clean(self) -> dict[str, Any]:
        said: dict[str, Any] = super().clean() or {}
        if not set(self.errors) - {"reason"}:
            self._read(said)
        return said

    def _read(self, said: dict[str, Any]) -> None:
        text = ""
        try:
            text = self._text(said)
            self.said = {**{key: said[key] for key in ("name", "kind", "time_zone", "services", "impacts")}, "calendar": text}
            self.read = read_calendar(said["name"], said["kind"], text, said["time_zone"])
        except Invalid as fault:
            if fault.field in self.fields:
                self.add_error(fault.field, sentence(fault.message))
            else:
                self.add_error("calendar", [sentence(line) for line in windows.fault_lines(fault, text)])

    def _text(self, said: dict[str, Any]) -> str:
        if said["how"] == "weekly":
            _require(said, "days", "start", "end")
            return weekly_calendar(said["name"], said["days"], said["start"], said["end"], timezone.localdate(self.at))
        if said["how"] == "span":
            _require(said, "begins", "until")
            return span_calendar(said["name"], said["begins"], said["until"], said["yearly"])
        _require(said, "calendar")
        return str(said["calendar"]).replace("\r\n", "\n")


def initial_of(row: Window) -> dict[str, Any]:
    """The form as it stands for a row: its calendar as text."""
    return {
        **{name: getattr(row, name) for name in ("name", "kind", "time_zone", "impacts", "calendar")},
        "services": [service.name for service in row.services.all()],
        "how": "text",
    }


def _require(said: dict[str, Any], *names: str) -> None:
    for name in names:
        if said.get(name) in (None, "", []):
            raise Invalid("this is required", field=name)
