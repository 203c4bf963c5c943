from __future__ import annotations

from typing import Any

from django import template

from healing.admin import words
from selfheal.lessons import Result

register = template.Library()
BADGES = {Result.OK: "success", Result.FAILED: "danger", Result.TIMEOUT: "danger", Result.ROLLED_BACK: "warning"}


@register.filter
def percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"


@register.filter
def seconds(value: float | None) -> str:
    """A length of time as pages say it."""
    return "–" if value is None else words.span(value)


@register.filter
def at_key(row: dict[str, Any], name: str) -> Any:
    return row[name]


@register.filter
def badge_of(result: str) -> str:
    """The colour of a lesson's badge."""
    return BADGES.get(result, "info")  # type: ignore[call-overload]
