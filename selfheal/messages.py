"""What people and programs are told, as text.

Rules that this module keeps:
1. The table `EVENTS` has everything that is ever told.
2. Whatever came from outside (alerts, hosts, comments) is one bounded line without control characters. It mentions nobody
   (`@channel`, `<!here>`) and links nowhere: the only links are ours.
3. What is a known secret, or looks like a credential, stands in no message.
4. The same facts make the same message.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

MAX_TITLE = 250
MAX_LINE = 500
MAX_READ = 5_000  # characters of a text that are looked at
LISTED = 10  # messages told one by one when several go together
MASK = "***"


@dataclass(frozen=True)
class Event:
    """`heading` begins the title; `good` news needs nobody, so it goes to channels only, never to the last resort."""

    heading: str
    meaning: str
    good: bool = False


EVENTS: dict[str, Event] = {
    "approval.requested": Event("Approval wanted", "a person is asked"),
    "approval.escalated": Event("Still no answer", "nobody has answered for 5, or for 15 minutes"),
    "approval.expired": Event("Nobody answered", "a request expired, and nothing ran"),
    "incident.unhealed": Event("Nothing heals this", "an incident has no playbook that fits, or policy denies it"),
    "run.succeeded": Event("Healed", "a run ended well and was verified", good=True),
    "run.failed": Event("Run failed", "a run failed"),
    "run.rolled_back": Event("Run undone", "a run failed, and what it did was undone"),
    "run.aborted": Event("Run aborted", "a run that had started was ended"),
    "run.not_held": Event("The fix did not hold", "what was healed came back within 15 minutes"),
    "autonomy.demoted": Event("Asks again", "a playbook lost its autonomy by a bad run"),
    "problem.opened": Event("Healed again and again", "a service needs its cause found; until somebody has it, people are asked"),
    "put_back.failed": Event("Not put back", "a change for a while could not be put back: a person has to"),
    "playbook.message": Event("A playbook says", "a playbook tells people by its step notify"),
    "storm.tripped": Event("Storm", "so much is unhealthy that nothing starts by itself"),
    "storm.over": Event("The storm is over", "policy decides again", good=True),
    "guardrail.tightened": Event("Guardrail tightened", "less starts by itself: too few fixes held, or there is a storm"),
    "guardrail.loosened": Event("Guardrail loosened", "more starts by itself again", good=True),
    "kill_switch.moved": Event("Kill switch", "somebody moved the kill switch"),
    "token.expires": Event("A token ends soon", "a token ends in 7 days, or in one"),
    "watchdog.silent": Event("Alerts may not arrive", "the alert Watchdog has stopped coming"),
    "watchdog.back": Event("Alerts arrive again", "the alert Watchdog comes again", good=True),
    "log.refused": Event(
        "The log does not go on", "the log was rolled back or written anew, as a head that is kept elsewhere shows"
    ),
    "log.damaged": Event("The log is damaged", "an entry or a head of the log is not as it was signed"),
    "channel.test": Event("A test", "somebody pressed the button of a channel", good=True),
}
ON_REQUEST = "channel.test"  # goes to the channel that it tests and to no other


@dataclass(frozen=True)
class Facts:
    """What a message tells. `impact` is the severity where an incident has no plan; `link` and `page` (what to do) are ours,
    everything else is text."""

    what: str
    service: str = ""
    target: str = ""
    impact: str = ""
    why: str = ""
    who: str = ""
    until: str = ""
    link: str = ""
    page: str = ""


@dataclass(frozen=True)
class Message:
    """`body` is Markdown that reads well as plain text; `data` is the same for programs."""

    title: str
    body: str
    data: dict[str, Any]


def message(event: str, facts: Facts, secrets: Collection[str] = ()) -> Message:
    """The message about an event."""
    said = {
        name: harmless(getattr(facts, name), secrets)
        for name in ("what", "service", "target", "impact", "why", "who", "until")
        if getattr(facts, name)
    }
    impact = f" [{said['impact']}]" if "impact" in said else ""
    title = _cut(f"{EVENTS[event].heading}{impact}: {said.get('what', '')}", MAX_TITLE)
    place = " / ".join(filter(None, (said.get("service"), said.get("target"))))
    lines = [
        f"- {label}: {text}"
        for label, text in (
            ("Service", place),
            ("Impact", said.get("impact")),
            ("Why", said.get("why")),
            ("Who", said.get("who")),
            ("Until", said.get("until")),
        )
        if text
    ]
    if facts.page:
        lines.append(f"- What to do: {facts.page}")
    body = "\n".join([*lines, *(("", f"<{facts.link}>") if facts.link else ())])
    ours = {"link": facts.link, "page": facts.page}
    return Message(title, body, {**said, **{name: value for name, value in ours.items() if value}})


def together(messages: Sequence[tuple[str, str]], more: str) -> tuple[str, str]:
    """Several (title, body) as one; `more` is where the rest is found."""
    if len(messages) == 1:
        return messages[0]
    shown = [f"**{title}**\n\n{body}" for title, body in messages[:LISTED]]
    left = len(messages) - LISTED
    if left > 0:
        shown.append(f"and {left} more: <{more}>")
    return f"{len(messages)} messages, the first: {messages[0][0]}"[:MAX_TITLE], "\n\n".join(shown)


def harmless(text: str, secrets: Collection[str] = (), limit: int = MAX_LINE) -> str:
    """Text from outside as a part of a message: rules 2 and 3."""
    return _cut(_defused(_one_line(masked(text[:MAX_READ], secrets))), limit)


def masked(text: str, secrets: Collection[str] = ()) -> str:
    """`text` without the `secrets`, and without what looks like a credential."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, MASK)
    for pattern, replacement in _CREDENTIALS:
        text = pattern.sub(replacement, text)
    return text


_CREDENTIALS = (
    (re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,40}-----|$)", re.DOTALL), MASK),
    (re.compile(r"\b(?:sh|whsec|gh[a-z]|github_pat|glpat|sk)[_-][A-Za-z0-9+/=_-]{16,}"), MASK),
    (re.compile(r"\bxox[a-z]-[A-Za-z0-9-]{8,}|\bAKIA[0-9A-Z]{16}\b|\beyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?"), MASK),
    (re.compile(r"\b(bearer|basic)(\s+)[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE), rf"\1\2{MASK}"),
    (re.compile(r"(://)[^\s/@]{1,300}@"), rf"\1{MASK}@"),
    (
        re.compile(
            r"\b([\w-]{0,40}(?:password|passwd|pwd|secret|token|api[_-]?key))([\"']?\s{0,3}[=:]\s{0,3})(\"[^\"]*\"|'[^']*'|[^\s,;&]+)",
            re.IGNORECASE,
        ),
        rf"\1\2{MASK}",
    ),
)


def _one_line(text: str) -> str:
    """Controls, direction marks and characters without a glyph become blanks."""
    shown = "".join(" " if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") else c for c in text)
    return " ".join(shown.split())


def _defused(text: str) -> str:
    """Nobody is mentioned and nothing is a link: a blank without width stands where chat programs look for a beginning."""
    text = text.replace("<", "‹").replace(">", "›").replace("](", "] (")
    return text.replace("@", "@\u200b").replace("://", ":\u200b//")


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
