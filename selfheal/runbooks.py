"""Which section of the page "when it is down" says what to do about each thing that we raise about ourselves.

Rules that this module keeps:
1. Whatever we raise (a finding, a part of /readyz, an event that is told, an alert of docs/prometheus) is in the table.
2. An anchor stays: messages that were sent lead to it.
"""

from __future__ import annotations

PAGE = "how-to/when-it-is-down"
# anchor: what leads there. A name that ends in a blank stands for all that begin with it (`pool edge-1`).
SECTIONS: dict[str, tuple[str, ...]] = {
    "web": ("web", "/healthz", "/readyz", "api", "start", "SelfhealDown"),
    "database": ("database",),
    "broker": ("broker",),
    "processes": ("processes", "Processes", "worker control", "worker runs", "beat", "sequencer", "SelfhealProcessGone"),
    "clock": ("clock",),
    "runner-pools": ("runner pools", "pool "),
    "scheduler": (
        "tick", "measure", "sense", "watchdog", "learning", "pull", "tokens that end soon", "incidents to look at",
        "runs to look after", "Jobs", "Queues", "alert", "decision", "counters", "SelfhealSchedulerStopped",
    ),
    "runs-wait": ("runs to start", "SelfhealRunsWait"),
    "migrations": ("migrations", "schema"),
    "settings": ("settings", "proxies"),
    "home": ("home", "signing key"),
    "administrator": ("administrator",),
    "services-and-playbooks": ("services and playbooks",),
    "ssh": ("ssh key", "ssh "),
    "launcher": ("program", "bound", "sandbox", "Parts"),
    "alertmanager": ("Alertmanager", "alertmanager"),
    "log-late": ("log order", "head", "key", "verification", "Log", "SelfhealLogNotSigned"),
    "log-broken": (
        "log", "log guards", "log grants", "whole log", "log patrol", "patrol_log", "log.damaged",
        "SelfhealLogDamaged",
    ),
    "log-outside": ("log outside", "push_heads", "SelfhealLogNotKept"),
    "log-refused": ("log.refused", "SelfhealLogRefused"),
    "messages": ("messages to send", "SelfhealMessagesWait"),
    "alerts-missing": ("watchdog.silent", "Watchdog", "Watchdog of "),
    "storm": ("storm", "storm.tripped", "SelfhealStorm"),
    "kill-switch": ("kill switch", "kill_switch.moved", "Whether anything may run", "SelfhealKillSwitch"),
    "guardrail": ("guardrail", "guardrail.tightened"),
    "meta-loop": ("meta_loop", "probe"),
    "advisers": ("advisers", "SelfhealAdviserOff"),
    "healed-again": ("problem.opened",),
    "nobody-answers": ("approval.expired", "approval.escalated", "SelfhealNobodyAnswers"),
    "nothing-heals": ("incident.unhealed",),
    "runs-fail": ("run.failed", "run.rolled_back", "run.aborted", "run.not_held", "SelfhealRunsFail"),
    "not-put-back": ("put_back.failed",),
    "autonomy": ("autonomy.demoted",),
    "token-ends": ("token.expires",),
}  # fmt: skip
_EXACT = {name: anchor for anchor, names in SECTIONS.items() for name in names if not name.endswith(" ")}
_BEGINS = {name: anchor for anchor, names in SECTIONS.items() for name in names if name.endswith(" ")}


def section(what: str) -> str:
    """The anchor for `what`, empty if there is none."""
    return _EXACT.get(what) or next((anchor for begin, anchor in _BEGINS.items() if what.startswith(begin)), "")


def address(what: str, base: str) -> str:
    """Where to read what to do about it: below `base` where the pages are served, else the file; empty if there is none."""
    anchor = section(what)
    if not anchor:
        return ""
    return f"{base.rstrip('/')}/{PAGE}/#{anchor}" if base else f"docs/{PAGE}.md#{anchor}"
