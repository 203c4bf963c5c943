"""The page of what was learnt. It reads, and changes nothing."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.template.response import TemplateResponse
from django.utils import timezone

from healing.plots import Plot, Series, bars
from learning.aggregates import SPANS, learning
from learning.models import Lesson

SHOWN = 20  # of the newest lessons
TABLES = (("By playbook", "playbook"), ("By diagnosis", "diagnosis"), ("By service", "service"))
SPAN_NAMES = {"24h": "24 h", "7d": "7 days", "all": "all"}


def learning_page(request: HttpRequest) -> HttpResponse:
    """GET: the page, for whoever may look at runs; `span`, `playbook` and `service` narrow it."""
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET", "HEAD"])
    if not request.user.has_perm("healing.view_run"):
        raise PermissionDenied
    at = timezone.now()
    span = request.GET.get("span", "7d")
    span = span if span in SPANS else "7d"
    chosen = {name: request.GET.get(name, "")[:300].replace("\0", "") for name in ("service", "playbook")}
    said = learning(span, at, **chosen)
    context = {
        **admin.site.each_context(request),
        "title": "Learning",
        "at": at,
        "span": span,
        "spans": SPAN_NAMES.items(),
        "chosen": chosen,
        "said": said,
        "tables": [(title, said[f"by_{name}"], name) for title, name in TABLES],
        "plot": trend(said["recent_trends"]),
        "lessons": Lesson.objects.filter(**{name: value for name, value in chosen.items() if value})[:SHOWN],
    }
    return TemplateResponse(request, "admin/learning/learning.html", context)


def trend(days: list[dict[str, Any]]) -> Plot:
    """Runs that started, by day: those that succeeded and those that did not."""
    rows = list(reversed(days))
    labels = [f"{row['day']:%a} {row['day'].day} {row['day']:%b}" for row in rows]
    series = (
        Series("succeeded", "plot-good", [row["succeeded"] for row in rows]),
        Series("did not", "plot-bad", [row["total"] - row["succeeded"] for row in rows]),
    )
    return bars("trend", "Runs by day (UTC)", labels, series, empty="Nothing has started yet.")
