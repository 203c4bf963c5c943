"""How far actors are trusted, as it is stored: what decisions and the memory read, what learning writes, what people set.

Rules that this module keeps:
1. Evidence counts once: what is at or before the last entry that counted for an actor is passed over, so that reading the log
   again changes nothing.
2. A score that falls below the floor, or comes up again, is an entry of the log in the transaction that moves it.
3. People change a score by an entry that names them and says why, and need the role admin.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from healing import ledger
from healing.models import LedgerEntry, TrustEvidence, TrustScore, User
from selfheal import scores
from selfheal.errors import Conflict, Invalid, NotAllowed
from selfheal.scores import Actor, Evidence, Kind, Trust

PERMISSION = "healing.configure"
MAX_REASON = 2_000
MAX_NAME = 150
SHOWN = 50  # of the newest evidence, and of the newest changes


def trust_of(kind: str, name: str, at: datetime | None = None) -> Trust:
    """How far one actor is trusted now, or at `at`. Of whom nothing is known: 0.5. Raises Invalid for an unknown kind."""
    return trusts([_actor(kind, name)], at or timezone.now())[0]


def trusts(actors: Sequence[Actor], at: datetime) -> list[Trust]:
    """The same of several, in one query."""
    wanted = Q()
    for kind, name in actors:
        wanted |= Q(kind=kind, name=name)
    rows = TrustScore.objects.filter(wanted).select_related("set_by") if actors else ()
    known = {Actor(row.kind, row.name): row.standing for row in rows}
    return [scores.trust(actor, known.get(actor, scores.Standing()), at) for actor in actors]


@dataclass(frozen=True)
class Change:
    """An entry of the log about an actor's trust: lost or regained by evidence, or set or taken back by a person."""

    index: int
    at: datetime
    actor: str
    action: str
    reason: str
    before: str
    after: str


@dataclass(frozen=True)
class Known:
    """A row with what it comes to now."""

    row: TrustScore
    trust: Trust

    @property
    def set_now(self) -> bool:
        """Whether a person's word stands in the place of what was earned."""
        return len(self.trust.reasons) > 1


def known(rows: Iterable[TrustScore], at: datetime) -> list[Known]:
    """Each with its score at `at`; the rows come with `set_by`."""
    return [Known(row, scores.trust(Actor(row.kind, row.name), row.standing, at)) for row in rows]


def evidence_of(row: TrustScore) -> list[TrustEvidence]:
    """The newest things that spoke for or against it."""
    return list(TrustEvidence.objects.filter(of=row).order_by("-index")[:SHOWN])


def changes_of(row: TrustScore) -> list[Change]:
    """The newest entries of the log about it."""
    entries = LedgerEntry.objects.filter(resource=resource_of(row)).order_by("-index")[:SHOWN]
    return [_change(entry, json.loads(bytes(entry.leaf))["payload"]) for entry in entries]


def _change(entry: LedgerEntry, said: dict[str, str]) -> Change:
    about = (said.get("reason", ""), said.get("before", ""), said.get("after", ""))
    return Change(entry.index, entry.at, entry.actor, entry.action, *about)


def distrust(actors: Sequence[Actor], at: datetime) -> str:
    """Why some of these are not trusted, in words; empty: each of them is."""
    return scores.distrust(trusts(actors, at))


def learn(evidence: Iterable[Evidence], at: datetime) -> None:
    """Let evidence count, in the transaction of whoever read it from the log."""
    by_actor: dict[Actor, list[Evidence]] = {}
    for each in evidence:
        by_actor.setdefault(Actor(each.actor.kind, each.actor.name[:MAX_NAME]), []).append(each)
    with transaction.atomic():
        for actor in sorted(by_actor):
            _count(actor, sorted(by_actor[actor], key=lambda each: each.index), at)


def _count(actor: Actor, evidence: list[Evidence], at: datetime) -> None:
    row = _locked(actor)
    fresh = [each for each in evidence if each.index > row.last_index]
    if not fresh:
        return
    before, standing, lines = row.standing, row.standing, []
    for each in fresh:
        standing = standing.seeing(each)
        score = scores.earned(standing.good, standing.bad)
        lines.append(
            TrustEvidence(of=row, index=each.index, at=each.at, good=each.good, reason=each.reason[:MAX_REASON], score=score)
        )
    TrustEvidence.objects.bulk_create(lines)
    row.good, row.bad, row.as_of, row.last_index = standing.good, standing.bad, standing.as_of, fresh[-1].index
    row.save(update_fields=["good", "bad", "as_of", "last_index"])
    was, now = scores.trust(actor, before, at), scores.trust(actor, standing, at)
    if was.low != now.low:
        _log(row, "trust.lost" if now.low else "trust.regained", "learning", now.words, was, now, at)


def set_by_hand(kind: str, name: str, score: float | None, days: int | None, reason: str, user: User, at: datetime) -> Trust:
    """Let a person's word stand in the place of what was earned. `days` None: until it is taken back, only for less than that.

    Raises NotAllowed (role), Invalid naming the field.
    """
    actor = _actor(kind, name)
    _check(user, reason)
    if score is None or not (math.isfinite(score) and 0 <= score <= 1):
        raise Invalid("is from 0 to 1", field="score")
    if days is not None and not 1 <= days <= scores.LONGEST.days:
        raise Invalid(f"is from 1 to {scores.LONGEST.days}, or left out", field="days")
    with transaction.atomic():
        row = _locked(actor)
        was = scores.trust(actor, row.standing, at)
        if days is None and score > scores.earned(*row.standing.at(at)):
            raise Invalid(f"more trust than was earned ends: say 1 to {scores.LONGEST.days}", field="days")
        row.set_to, row.set_by, row.set_reason = score, user, reason
        row.set_until = at + timedelta(days=days) if days else None
        return _set(row, "trust.set", user, reason, was, at)


def take_back(kind: str, name: str, reason: str, user: User, at: datetime) -> Trust:
    """Let what was earned stand again. Raises Conflict where nothing was set, else as `set_by_hand` does."""
    actor = _actor(kind, name)
    _check(user, reason)
    with transaction.atomic():
        row = _locked(actor)
        was = scores.trust(actor, row.standing, at)
        if not row.standing.is_set(at):
            raise Conflict(f"nobody has set the trust of {row}")
        row.set_to = row.set_until = row.set_by = None
        row.set_reason = ""
        return _set(row, "trust.taken_back", user, reason, was, at)


def _set(row: TrustScore, action: str, user: User, reason: str, was: Trust, at: datetime) -> Trust:
    row.save(update_fields=["set_to", "set_until", "set_by", "set_reason"])
    now = scores.trust(Actor(row.kind, row.name), row.standing, at)
    _log(row, action, user.username, reason, was, now, at)
    return now


def _log(row: TrustScore, action: str, actor: str, reason: str, was: Trust, now: Trust, at: datetime) -> None:
    payload = {
        "kind": row.kind,
        "name": row.name,
        "reason": reason,
        "before": f"{was.score:.4f}",
        "after": f"{now.score:.4f}",
        "until": row.set_until and ledger.instant(row.set_until),
    }
    ledger.append(actor=actor, action=action, resource=resource_of(row), payload=payload, at=at)


def resource_of(row: TrustScore) -> str:
    """What the entries about an actor name."""
    return f"trust:{row.kind}:{row.name}"


def _locked(actor: Actor) -> TrustScore:
    return TrustScore.objects.select_for_update().get_or_create(kind=actor.kind, name=actor.name)[0]


def _actor(kind: str, name: str) -> Actor:
    if kind not in list(Kind):
        raise Invalid(f"is one of {', '.join(Kind)}", field="kind")
    if not 0 < len(name) <= MAX_NAME or "\0" in name:
        raise Invalid(f"is a name of 1 to {MAX_NAME} characters", field="name")
    return Actor(kind, name)


def _check(user: User, reason: str) -> None:
    if not user.has_perm(PERMISSION):
        raise NotAllowed("this needs the role admin")
    if not 0 < len(reason.strip()) <= MAX_REASON or "\x00" in reason:
        raise Invalid(f"says why, in 1 to {MAX_REASON:,} characters", field="reason")
