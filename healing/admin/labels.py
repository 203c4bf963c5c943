"""The colour of each state, for lists (unfold's `@display(label=…)`) and pages. A colour never says what the word does not."""

from __future__ import annotations

IMPACT = {"low": "", "medium": "info", "high": "warning", "critical": "danger"}
SEVERITY = IMPACT
INCIDENT = {"open": "danger", "ack": "warning", "resolved": "success", "closed": ""}
APPROVAL = {"pending": "warning", "approved": "success", "rejected": "danger", "expired": "", "cancelled": ""}
RUN = {
    "proposed": "info",
    "pending": "warning",
    "deferred": "info",
    "approved": "info",
    "queued": "info",
    "running": "primary",
    "verifying": "primary",
    "rolling_back": "warning",
    "succeeded": "success",
    "success": "success",
    "failed": "danger",
    "rolled_back": "warning",
    "aborted": "",
    "rejected": "",
}
STEP = {
    "pending": "",
    "running": "primary",
    "succeeded": "success",
    "failed": "danger",
    "timed_out": "danger",
    "skipped": "",
    "rolled_back": "warning",
    "unknown": "danger",
}
VERDICT = {"auto": "success", "approval": "warning", "defer": "info", "deny": "danger"}
MODE = {"observe": "", "ask": "warning", "auto": "success"}
EPISODE = {"firing": "danger", "resolved": "success"}
NOTIFICATION = {"sent": "success", "waiting": "info", "tried again": "warning", "given up": "danger", "not sent": ""}
HEALTH = {"healthy": "success", "degraded": "warning", "critical": "danger", "unknown": ""}
KILL = {"off": "success", "pause": "warning", "kill": "danger"}
SILENCE = {"active": "warning", "planned": "info", "over": ""}
TRUST = {"low": "danger", "enough": "success"}
SHADOW = {
    "agreed": "success",
    "would_have_helped": "success",
    "would_have_harmed": "danger",
    "unknown": "",
    "going_on": "info",
}
PROBLEM = {"open": "danger", "ack": "success"}
WINDOW = {"window": "success", "freeze": "info"}

COLOURS: dict[str, dict[str, str]] = {
    "impact": IMPACT,
    "severity": SEVERITY,
    "incident": INCIDENT,
    "approval": APPROVAL,
    "run": RUN,
    "step": STEP,
    "verdict": VERDICT,
    "mode": MODE,
    "episode": EPISODE,
    "health": HEALTH,
    "kill": KILL,
    "notification": NOTIFICATION,
    "silence": SILENCE,
    "problem": PROBLEM,
    "trust": TRUST,
    "shadow": SHADOW,
    "window": WINDOW,
}
