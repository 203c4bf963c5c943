"""What a backtest found, counted; and what two of them decide differently."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import tzinfo
from typing import Any

from selfheal.states import Severity

from .simulation import Told

VERDICTS = ("auto", "approval", "defer", "deny", "skipped", "joined", "unmatched", "sign_of_life")
BRIEF = 300.0  # seconds: what ended within them by itself hardly needed anybody
NIGHT = (22, 7)  # hours, from and to, on the clock of the installation
TOP = 20


def report(told: Sequence[Told], zone: tzinfo) -> dict[str, Any]:
    """Counts: {alerts, incidents, from, until, verdicts, skips, by_alertname, by_service, unmatched, brief, night}."""
    night = [each for each in told if is_page(each) and at_night(each, zone)]
    return {
        "alerts": len(told),
        "incidents": sum(each.verdict in ("auto", "approval", "defer", "deny", "skipped") for each in told),
        "from": min((each.alert.began for each in told), default=None),
        "until": max((each.alert.ends_at or each.alert.began for each in told), default=None),
        "verdicts": _verdicts(told),
        "reasons": _reasons(told),
        "skips": dict(Counter(each.skip for each in told if each.skip).most_common()),
        "by_alertname": _grouped(told, alertname),
        "by_service": _grouped([each for each in told if each.service], lambda each: each.service),
        "unmatched": _unmatched(told),
        "brief": {
            "within_seconds": int(BRIEF),
            "alerts": sum(is_brief(each) for each in told),
            "auto": sum(is_brief(each) for each in told if each.verdict == "auto"),
            "approval": sum(is_brief(each) for each in told if each.verdict == "approval"),
        },
        "night": {"hours": list(NIGHT), "pages": len(night), "auto": sum(each.verdict == "auto" for each in night)},
    }


def difference(before: Sequence[Told], after: Sequence[Told]) -> list[dict[str, Any]]:
    """The alerts of the same history whose decision changes, in the order of time."""
    return [
        {
            "alertname": alertname(was),
            "service": now.service or was.service,
            "target": now.target or was.target,
            "starts_at": was.alert.began,
            "playbook": now.playbook or was.playbook,
            "before": _said(was),
            "after": _said(now),
            "reason": now.reason,
        }
        for was, now in zip(before, after, strict=True)
        if _said(was) != _said(now)
    ]


def alertname(told: Told) -> str:
    return told.alert.labels.get("alertname") or told.alert.title


def is_brief(told: Told) -> bool:
    return told.seconds is not None and told.seconds < BRIEF


def is_page(told: Told) -> bool:
    """Whether it is of the kind that wakes somebody: critical severity."""
    return told.alert.severity is Severity.CRITICAL and told.verdict not in ("joined", "sign_of_life")


def at_night(told: Told, zone: tzinfo) -> bool:
    hour = told.alert.began.astimezone(zone).hour
    return hour >= NIGHT[0] or hour < NIGHT[1]


def _said(told: Told) -> str:
    return f"{told.verdict}: {told.skip}" if told.skip else told.verdict


def _verdicts(told: Iterable[Told]) -> dict[str, int]:
    counted = Counter(each.verdict for each in told)
    return {verdict: counted[verdict] for verdict in VERDICTS}


def _reasons(told: Iterable[Told]) -> list[dict[str, Any]]:
    """Why it was not automatic, by the rule or skip that says it, the most frequent first, each with an example."""
    groups: defaultdict[tuple[str, str], list[Told]] = defaultdict(list)
    for each in told:
        if each.rule or each.skip:
            groups[each.verdict, each.rule or each.skip].append(each)
    ordered = sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))
    return [{"verdict": v, "rule": rule, "alerts": len(some), "example": some[0].reason} for (v, rule), some in ordered]


def _grouped(told: Iterable[Told], key: Callable[[Told], str]) -> list[dict[str, Any]]:
    groups: defaultdict[str, list[Told]] = defaultdict(list)
    for each in told:
        groups[key(each)].append(each)
    ordered = sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))[:TOP]
    return [{"name": name, "alerts": len(some), **_verdicts(some)} for name, some in ordered]


def _unmatched(told: Iterable[Told]) -> list[dict[str, Any]]:
    """What belongs to no service, by the mapping line that would match it, the most frequent first."""
    groups: defaultdict[str, list[Told]] = defaultdict(list)
    for each in told:
        if each.verdict == "unmatched":
            groups[each.suggestion].append(each)
    ordered = sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))[:TOP]
    return [
        {"alertname": alertname(some[0]), "alerts": len(some), "reason": some[0].reason, "suggestion": line}
        for line, some in ordered
    ]
