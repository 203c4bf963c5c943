"""Times, spans and values in the words that a page uses. `static/healing/healing.js` says spans in the same words."""

from __future__ import annotations

import json
import unicodedata
from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.html import format_html

from selfheal.sources import SHOWN


def span(seconds: float) -> str:
    """A length of time in one unit: `40 s`, `4 min`, `3 h`, `5 days`."""
    seconds = abs(seconds)
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.0f} h"
    return f"{seconds / 86400:.0f} days"


def moment(text: Any) -> datetime | None:
    """The instant that a JSON field holds as text; None: it holds none."""
    return parse_datetime(text) if isinstance(text, str) else None


def relative(moment: datetime, at: datetime) -> str:
    """`4 min ago`, `in 57 min`."""
    seconds = (moment - at).total_seconds()
    return f"in {span(seconds)}" if seconds > 0 else f"{span(seconds)} ago"


def clock(moment: datetime, at: datetime, seconds: bool = False) -> str:
    """`Wed 25 Nov 14:03 CET` in the zone of the page; the year only where it is not this one."""
    local = timezone.localtime(moment)
    year = "" if local.year == timezone.localtime(at).year else f" {local.year}"
    return f"{local:%a} {local.day} {local:%b}{year} {local:{'%H:%M:%S' if seconds else '%H:%M'}} {zone_name(local)}"


def zone_name(moment: datetime) -> str:
    """`CET`, or `UTC-03` where the zone has no letters of its own."""
    name = timezone.localtime(moment).tzname() or "UTC"
    return f"UTC{name}" if name[0] in "+-" else name


def relative_tag(moment: datetime | None, at: datetime) -> str:
    """A `<time>` that reads relatively, is kept true by the script, and shows the full time when pointed at."""
    if moment is None:
        return "–"
    return format_html(
        '<time datetime="{}" title="{}" data-relative data-left="{}">{}</time>',
        moment.isoformat(),
        clock(moment, at, True),
        round((moment - at).total_seconds()),
        relative(moment, at),
    )


def clock_tag(moment: datetime | None, at: datetime, seconds: bool = False) -> str:
    if moment is None:
        return "–"
    return format_html(
        '<time datetime="{}" title="{}">{}</time>', moment.isoformat(), relative(moment, at), clock(moment, at, seconds)
    )


def milliseconds(value: int) -> str:
    return span(value / 1000) if value >= 1000 or value == 0 else f"{value} ms"


def parts_of(value: Any) -> list[str]:
    """A value as it stands in a plan, in parts that a line may break between: text as it is, everything else as JSON.

    `["a b", "-c"]` becomes `["a b",` and `"-c"]`, so that an argument is never read as two.
    """
    if isinstance(value, str):
        return [json.dumps(value) if _misleads(value) else visible(value)]
    if isinstance(value, list) and value:
        texts = [visible(json.dumps(item, ensure_ascii=False)) for item in value]
        return [("[" if n == 0 else "") + text + ("]" if n == len(texts) - 1 else ",") for n, text in enumerate(texts)]
    return [visible(json.dumps(value, ensure_ascii=False))]


def _misleads(text: str) -> bool:
    """Whether bare text could be taken for a number, a list or nothing."""
    try:
        json.loads(text)
    except ValueError:
        return text != text.strip() or not text
    return True


def visible(text: str) -> str:
    """Text without characters that steer how it is shown (controls, direction marks): those stand as `\\u202e`."""
    return "".join(c if c == "\n" or unicodedata.category(c) not in ("Cc", "Cf") else f"\\u{ord(c):04x}" for c in text)


def pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True)


def words(name: str) -> str:
    """A state's name as people read it."""
    return SHOWN.get(name) or name.replace("_", " ")  # type: ignore[call-overload]  # a trigger source has a name for people
