"""The sidebar, which lists only what this person may view, and what stands on every page: mode, kill switch, time zone."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from healing.admin import words
from healing.governance import kill_state
from healing.middleware import zone_of
from healing.mode import global_mode
from healing.models import ApprovalRequest, Control, Incident, Problem
from selfheal.states import ApprovalStatus, GlobalMode, IncidentStatus, KillState, ProblemStatus

# (title, [(what, icon, app, model, badge)])
ROOMS: tuple[tuple[str, tuple[tuple[str, str, str, str, str], ...]], ...] = (
    (
        "Work",
        (
            ("Approvals", "how_to_vote", "healing", "approvalrequest", "approvals"),
            ("Incidents", "emergency_home", "healing", "incident", "incidents"),
            ("Runs", "play_circle", "healing", "run", ""),
            ("Problems", "troubleshoot", "healing", "problem", "problems"),
            ("Unmatched alerts", "help_center", "healing", "unmatchedalert", ""),
            ("Signals", "monitoring", "healing", "signal", ""),
            ("Silences", "notifications_paused", "healing", "silence", ""),
        ),
    ),
    (
        "Declared",
        (
            ("Services", "dns", "healing", "service", ""),
            ("Playbooks", "menu_book", "healing", "playbook", ""),
            ("Alert map", "alt_route", "healing", "maprule", ""),
            ("Windows", "event_available", "healing", "window", ""),
        ),
    ),
    (
        "Governance",
        (
            ("Kill switch", "power_settings_new", "healing", "control", ""),
            ("Records", "leaderboard", "healing", "record", ""),
            ("Trust", "shield_person", "healing", "trustscore", ""),
            ("Backoff", "hourglass", "healing", "backoff", ""),
            ("Approvers", "how_to_reg", "healing", "domainapprover", ""),
            ("Notifications", "notifications", "healing", "notification", ""),
            ("Channels", "campaign", "healing", "channel", ""),
            ("Log entries", "receipt_long", "healing", "ledgerentry", ""),
            ("Signed heads", "verified", "healing", "ledgerhead", ""),
            ("Keys of the log", "key", "healing", "ledgerkey", ""),
        ),
    ),
    (
        "People",
        (
            ("Users", "person", "healing", "user", ""),
            ("Roles", "group", "auth", "group", ""),
            ("Tokens", "vpn_key", "healing", "token", ""),
        ),
    ),
)


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """The navigation as unfold takes it."""
    counts = waiting(request)
    now = {"title": "", "items": [{"title": "Now", "icon": "home", "link": reverse("admin:index")}, *_pages(request)]}
    groups = [{"title": title, "separator": True, "items": _items(request, rooms, counts)} for title, rooms in ROOMS]
    return [now, *(group for group in groups if group["items"])]


def _pages(request: HttpRequest) -> list[dict[str, Any]]:
    """The pages that are no lists, for whoever may see them."""
    pages = settings.ADMIN_PAGES
    return [{"title": t, "icon": i, "link": reverse(name)} for t, i, name, needs in pages if request.user.has_perm(needs)]


def _items(
    request: HttpRequest, rooms: tuple[tuple[str, str, str, str, str], ...], counts: dict[str, int]
) -> list[dict[str, Any]]:
    items = []
    for title, icon, app, model, badge in rooms:
        if request.user.has_perm(f"{app}.view_{model}"):
            item: dict[str, Any] = {"title": title, "icon": icon, "link": reverse(f"admin:{app}_{model}_changelist")}
            if counts.get(badge):
                item |= {"badge": str(counts[badge]), "badge_variant": "danger" if badge == "incidents" else "warning"}
            items.append(item)
    return items


def waiting(request: HttpRequest) -> dict[str, int]:
    """How many requests, incidents and problems need somebody now. Counted by status, so it costs what is open, not what was."""
    counts = {}
    if request.user.has_perm("healing.view_approvalrequest"):
        live = ApprovalRequest.objects.filter(status=ApprovalStatus.PENDING, expires_at__gt=timezone.now())
        counts["approvals"] = live.count()
    if request.user.has_perm("healing.view_incident"):
        counts["incidents"] = Incident.objects.filter(status=IncidentStatus.OPEN).count()
    if request.user.has_perm("healing.view_problem"):
        counts["problems"] = Problem.objects.filter(status=ProblemStatus.OPEN).count()
    return counts


def everywhere(request: HttpRequest) -> dict[str, Any]:
    """What every page shows at its top. Nothing to somebody who is not signed in."""
    if not (request.user.is_authenticated and request.user.is_staff):
        return {}
    mode, kill = global_mode(), kill_state()
    zone = zone_of(request)
    return {
        "sh_mode": mode,
        "sh_kill": kill,
        "sh_banner": banner(mode, kill, Control.objects.filter(pk=1).values_list("storm", flat=True).first() or ""),
        "sh_zone": f"{zone.key} ({words.zone_name(timezone.now())})" if zone.key != "UTC" else "UTC",
        "at": timezone.now(),
    }


def banner(mode: GlobalMode, kill: KillState, storm: str) -> str:
    """What is not as usual, in a sentence or two; empty: everything that policy allows runs."""
    said = [_unusual(mode, kill)]
    if storm:
        said.append(f"Storm: {storm}. Nothing starts by itself, people are asked.")
    return " ".join(filter(None, said))


def _unusual(mode: GlobalMode, kill: KillState) -> str:
    if kill is KillState.KILL:
        return "Kill switch: everything was stopped, nothing starts."
    if kill is KillState.PAUSE:
        return "Paused: current steps finish, nothing new starts."
    if mode is GlobalMode.OBSERVE:
        return "Observing: decisions are shown, nothing runs."
    if mode is GlobalMode.OFF:
        return "Switched off: nothing is proposed, and the API of self-healing answers 404."
    return ""


def tabs(request: HttpRequest) -> list[dict[str, Any]]:
    """The few views of a list that are asked for most, above it."""
    return [
        _tabs(
            request,
            "approvalrequest",
            "pending",
            (("Waiting", "pending"), ("Approved", "approved"), ("Rejected", "rejected"), ("All", "all")),
        ),
        _tabs(request, "incident", "live", (("Live", "live"), ("Resolved", "resolved"), ("Closed", "closed"), ("All", "all"))),
        _tabs(request, "problem", "open", (("Open", "open"), ("Acknowledged", "ack"), ("All", "all"))),
    ]


def _tabs(request: HttpRequest, model: str, default: str, views: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    address = reverse(f"admin:healing_{model}_changelist")
    chosen = request.GET.get("status", default)
    items = [{"title": title, "link": f"{address}?status={status}", "active": chosen == status} for title, status in views]
    return {"models": [f"healing.{model}"], "items": items}


def environment(request: HttpRequest) -> list[str] | None:
    """The label beside the person's name: which installation this is, unless it is the one that executes."""
    return None if settings.SELF_HEAL_EXECUTE else [global_mode(), "warning"]
