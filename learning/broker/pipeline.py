"""A question to memory, from the body to the answer: validate → trust and access level → candidates → policies → rank → log →
learn → answer with explanation.

Rules that this module keeps:
1. Nothing is shown that a policy refuses, and nothing before it is written down who asked and what was returned.
2. A question that is denied is written down as a violation, in a transaction that stands, and then refused.
3. Questions of one domain are counted one after the other, so that its quota holds over all processes.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from healing import ledger
from learning.broker import grants, search
from learning.broker.callers import Caller, Denied, OverQuota
from learning.broker.models import Asked, Domain, Memory, Question
from selfheal.errors import Invalid
from selfheal.memory import policies
from selfheal.memory.policies import QUOTA_SECONDS, Item, over_quota, refused
from selfheal.memory.ranking import Numbers, numbers_of, relevance
from selfheal.memory.rights import AccessLevel, MemoryType, Right, right_of
from selfheal.memory.words import asked_tokens, is_sensitive

MOST = 100  # of one answer
SPARE = 100  # more candidates than are asked for, since policies leave some out
LITTLE = 3  # fewer found than this is little
OFTEN = 3  # times that the same was asked
REMEMBERED = timedelta(hours=168)  # how long what was returned may be said to have been used
ANSWERS = 200  # of an actor, that are looked at then


@dataclass(frozen=True)
class Ask:
    """What is asked. `memory_type` empty: any. `used`: ids that earlier answers returned, and that were of use."""

    domain: str
    memory_type: str = ""
    query: str = ""
    tags: list[str] = field(default_factory=list)
    context: dict[str, Any] = field(default_factory=dict)
    limit: int = 20
    cross: bool = False
    used: list[uuid.UUID] = field(default_factory=list)


@dataclass(frozen=True)
class Answer:
    """As the contract shapes it; `suggestions` beside it."""

    memories: list[dict[str, Any]]
    total_found: int
    filtered: int
    access_level: AccessLevel
    policies_applied: list[str]
    explanation: str
    suggestions: list[str]


def ask(asked: Ask, caller: Caller, at: datetime) -> Answer:
    """Raises Invalid, Denied (403), OverQuota (429)."""
    validate(asked)
    terms, pairs = asked_tokens(asked.query, asked.tags, asked.context)
    with transaction.atomic():
        right = access(asked, caller, at)
        refusal = refuse(asked, caller, right, at)
        if refusal is None:
            domain = Domain.objects.get(pk=asked.domain)
            found = candidates(asked, right, domain.weights, terms, pairs, at)
            shown, left_out = allowed(found.memories, right, at)
            if len(shown) < asked.limit and len(found.memories) == asked.limit + SPARE:  # all the spare ones were left out
                found = candidates(asked, right, domain.weights, terms, pairs, at, sensitive=False)
                shown, more = allowed(found.memories, right, at)
                left_out += more
            memories = ranked(shown, domain.weights, terms, pairs, at)[: asked.limit]
            _log(asked, caller, right, terms, memories, found.total, left_out, at)
            used(asked.used, caller, asked.domain, at)
            return Answer(
                memories=memories,
                total_found=found.total,
                filtered=left_out,
                access_level=right.level,
                policies_applied=list(policies.POLICIES),
                explanation=explained(right, len(memories), found.total, left_out, domain.weights),
                suggestions=suggestions(asked, right, terms),
            )
    raise refusal


def validate(asked: Ask) -> None:
    """What the shape of a body does not say already."""
    if asked.memory_type and asked.memory_type not in list(MemoryType):
        raise Invalid(f"is one of {', '.join(MemoryType)}", field="memory_type")
    if not 1 <= asked.limit <= MOST:
        raise Invalid(f"is from 1 to {MOST}", field="limit")


def access(asked: Ask, caller: Caller, at: datetime) -> Right:
    """How far this caller may look for this domain, by trust and by what people have approved."""
    granted = grants.granted(asked.domain, at) if asked.cross else frozenset()
    return right_of(caller.asker(asked.domain, at, granted), asked.cross)


def refuse(asked: Ask, caller: Caller, right: Right, at: datetime) -> Denied | OverQuota | None:
    """Write down a violation, and say why nothing is answered; None: it is. The domain's row is locked from here on."""
    if right.level is AccessLevel.DENIED:
        violation(asked.domain, caller, right, at)
        return Denied("; ".join(right.reasons))
    Domain.objects.get_or_create(pk=asked.domain)
    limit = Domain.objects.select_for_update().get(pk=asked.domain).quota
    since = at - timedelta(seconds=QUOTA_SECONDS)
    recent = Asked.objects.filter(domain=asked.domain, at__gt=since).exclude(level=AccessLevel.DENIED).order_by("-at")
    times = list(recent.values_list("at", flat=True)[:limit])
    if over_quota(len(times), limit):
        wait = (times[-1] - since).total_seconds() if times else QUOTA_SECONDS
        said = f"{asked.domain} has asked {limit} times within {QUOTA_SECONDS} s, which is its quota"
        violation(asked.domain, caller, replace(right, level=AccessLevel.DENIED, reasons=(said,), violation="quota"), at)
        return OverQuota(wait, said)
    if right.violation:  # it is answered, by less than was asked for
        _append("memory.denied", caller, asked.domain, _denial(right), at, result="blocked")
    return None


def candidates(
    asked: Ask, right: Right, weights: Numbers, terms: list[str], pairs: list[str], at: datetime, sensitive: bool = True
) -> search.Found:
    """What may be of use, the most relevant first."""
    wanted = search.Search(asked.domain, right.domains, at, asked.memory_type, terms, pairs, sensitive, weights)
    return search.find(wanted, asked.limit + SPARE)


def allowed(found: list[Memory], right: Right, at: datetime) -> tuple[list[Memory], int]:
    """Those that every policy lets through, and how many did not come through."""
    shown = [memory for memory in found if not refused(Item(memory.domain, memory.sensitive, memory.expires_at), right, at)]
    return shown, len(found) - len(shown)


def ranked(shown: list[Memory], weights: Numbers, terms: list[str], pairs: list[str], at: datetime) -> list[dict[str, Any]]:
    """As they stand in an answer, with the four numbers, the most relevant first."""
    rows = []
    for memory in shown:
        why = numbers_of(set(memory.words.split()), at - memory.at, memory.uses, terms, pairs)
        about = {"id": str(memory.public_id), "domain": memory.domain, "memory_type": memory.memory_type}
        said = {"content": memory.content, "tags": memory.tags, "timestamp": memory.at}
        rows.append({**about, **said, "relevance": relevance(why, weights), "why": why.as_dict()})
    return sorted(rows, key=lambda row: row["relevance"], reverse=True)


def used(ids: list[uuid.UUID], caller: Caller, domain: str, at: datetime) -> None:
    """What this actor says was of use, of what was returned to it; the follower counts it."""
    if not ids:
        return
    mine = Asked.objects.filter(actor=caller.name, at__gt=at - REMEMBERED).order_by("-at")
    returned = {each for row in mine.values_list("returned", flat=True)[:ANSWERS] for each in row}
    counted = sorted({str(each) for each in ids} & returned)
    if counted:
        _append("memory.used", caller, domain, {"memories": counted}, at)


def suggestions(asked: Ask, right: Right, terms: list[str]) -> list[str]:
    """What else might help. It tells nothing of what other domains have."""
    known = Question.objects.filter(domain=asked.domain, terms=question_key(terms)).first() if terms else None
    if asked.cross or known is None or known.asked < OFTEN or known.little * 2 <= known.asked:
        return []
    found = f"{asked.domain} asked for this {known.asked} times before, and found little {known.little} times"
    return [f"{found}: ask the other domains too, by include_cross_domain; an approval is asked for at /api/memory/approvals"]


def explained(right: Right, shown: int, total: int, left_out: int, weights: Numbers) -> str:
    """The answer in words."""
    said = [*right.reasons, f"{shown} of {total} that were found in {_where(right)}"]
    said += [f"{left_out} left out by policy"] if left_out else []
    order = ", ".join(f"{value:.2f} {name}" for name, value in weights.as_dict().items())
    return "; ".join([*said, f"ranked by {order}"])


def question_key(terms: list[str]) -> str:
    return " ".join(sorted(terms))[:300]


def violation(domain: str, caller: Caller, right: Right, at: datetime) -> None:
    """Somebody wanted what they may not have: a row for the page of violations, and an entry of the log."""
    reason = "; ".join(right.reasons)[:300]
    Asked.objects.create(
        at=at, actor=caller.name, domain=domain[:30], level=right.level, violation=right.violation, reason=reason
    )
    _append("memory.denied", caller, domain, _denial(right), at, result="blocked")


def _denial(right: Right) -> dict[str, Any]:
    said = {"policy": right.violation, "reason": "; ".join(right.reasons), "level": right.level}
    return {**said, "trust": f"{right.trust:.2f}"}


def _where(right: Right) -> str:
    return "every domain" if right.domains is None else ", ".join(sorted(right.domains))


def _log(
    asked: Ask, caller: Caller, right: Right, terms: list[str], memories: list[dict[str, Any]], total: int, left_out: int,
    at: datetime,
) -> None:  # fmt: skip
    returned = [row["id"] for row in memories]
    Asked.objects.create(
        at=at, actor=caller.name, domain=asked.domain, memory_type=asked.memory_type, level=right.level, returned=returned,
        violation=right.violation, reason="; ".join(right.reasons)[:300], found=total,
    )  # fmt: skip
    payload = {
        "memory_type": asked.memory_type,
        "terms": [] if is_sensitive(asked.query, []) else terms,  # the log forgets nothing
        "level": right.level,
        "cross_domain": asked.cross,
        "trust": f"{right.trust:.2f}",
        "returned": returned,
        "found": total,
        "left_out": left_out,
    }
    _append("memory.query", caller, asked.domain, payload, at)


def _append(action: str, caller: Caller, domain: str, payload: dict[str, Any], at: datetime, result: str = "ok") -> None:
    ledger.append(
        actor=caller.name, action=action, resource=f"memory:{domain[:30]}", payload={"token": caller.token, **payload}, at=at,
        subsystem="learning", result=result,
    )  # fmt: skip
