"""What the pages need beside Django's own tags. Everything that comes from outside is escaped here or by the template."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import template
from django.conf import settings
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from healing.admin import labels, words
from selfheal import runbooks

register = template.Library()
register.filter("duration", words.milliseconds)
register.filter("parts_of", words.parts_of)
register.filter("pretty", words.pretty)
register.filter("words", words.words)
register.filter("visible", words.visible)


@register.simple_tag(takes_context=True)
def ago(context: template.Context, moment: datetime | None) -> str:
    """Relative to the page's `at`: `4 min ago`, `in 57 min`."""
    return words.relative_tag(moment, context.get("at") or timezone.now())


@register.simple_tag(takes_context=True)
def clock(context: template.Context, moment: datetime | None, seconds: bool = False) -> str:
    """The time in the zone of the page, with the zone's name."""
    return words.clock_tag(moment, context.get("at") or timezone.now(), seconds)


@register.simple_tag(takes_context=True)
def next_steps(context: template.Context, room: Any) -> list[tuple[str, str]]:
    """Where this person may go from an empty list."""
    can = context["request"].user.has_perm
    return [(title, address) for title, address, *needs in room.empty_next if all(map(can, needs))]


@register.simple_tag
def badge(kind: str, name: str, text: str = "") -> SafeString:
    """The state in its colour; `kind` is a key of `labels.COLOURS`."""
    colour = labels.COLOURS[kind].get(name, "")
    return format_html('<span class="sh-badge sh-{}">{}</span>', colour or "plain", text or words.words(name))


@register.filter
def coded(text: str) -> SafeString:
    """Escaped; what stands between `backticks` becomes code."""
    parts = enumerate(str(text).split("`"))
    return format_html_join("", "{}", ((format_html("<code>{}</code>", part) if n % 2 else part,) for n, part in parts))


@register.filter
def what_to_do(what: str) -> SafeString:
    """Where it is said what to do about a finding: a link where the documentation is served, else the name of the page."""
    page = runbooks.address(what, settings.SELF_HEAL_DOCS_URL)
    if not page:
        return SafeString("")
    form = (
        ' <a href="{0}">What to do</a>'
        if settings.SELF_HEAL_DOCS_URL
        else ' <span class="sh-dim">What to do: <code>{0}</code></span>'
    )
    return format_html(form, page)


@register.filter
def span_between(later: datetime | None, earlier: datetime | None) -> str:
    """How long it took, or nothing while it is not over."""
    return words.span((later - earlier).total_seconds()) if later and earlier else ""


@register.filter
def items_of(value: Any) -> list[tuple[str, Any]]:
    """The pairs of a dictionary whose key may be called `items`."""
    return list(value.items()) if isinstance(value, dict) else []
