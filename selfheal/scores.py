"""How far an actor is trusted, from 0 to 1: by what came of what it asked for or did.

Rules that this module keeps:
1. An actor of which nothing is known stands at 0.5. Evidence moves it: good 1 over all, as if two good and two bad had been seen
   before. So three bad things in a row take trust away, and six good ones in a row reach the 0.8 that the memory of another
   domain needs.
2. Evidence halves each 30 days. What is forgotten leaves the actor where it began, never higher than what it showed.
3. A success is good evidence only once it held. What a person or the kill switch ended says nothing.
4. A person may set a score. One above what was earned ends after at most 90 days; one below it may stay.
5. Below `FLOOR` an actor starts nothing alone: `selfheal.policy` asks a person.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from selfheal.decay import faded
from selfheal.states import OUTCOME_OF, AbortReason, Outcome, RunStatus
from selfheal.trust import demotes, wilson_lower

HALF_LIFE = timedelta(days=30)
PRIOR = 2.0  # good things, and as many bad ones, that stand for knowing nothing
FLOOR = 0.30
LONGEST = timedelta(days=90)
STARTED = (RunStatus.RUNNING, RunStatus.VERIFYING, RunStatus.ROLLING_BACK)


class Kind(StrEnum):
    """Who is trusted: what set a run off, what ran, its domain, who asked (a person or a program), by which token."""

    TRIGGER = "trigger"
    PLAYBOOK = "playbook"
    DOMAIN = "domain"
    AGENT = "agent"
    TOKEN = "token"  # noqa: S105 - the kind, no secret


class Actor(NamedTuple):
    kind: str
    name: str


@dataclass(frozen=True)
class Evidence:
    """One thing that an entry of the log says for or against an actor. `index`: of the entry."""

    actor: Actor
    index: int
    at: datetime
    good: bool
    reason: str


@dataclass(frozen=True)
class Standing:
    """What is stored of an actor. `good`, `bad`: weights as they were at `as_of`; `set_until` None: until it is taken back."""

    good: float = 0.0
    bad: float = 0.0
    as_of: datetime | None = None
    set_to: float | None = None
    set_until: datetime | None = None
    set_by: str = ""
    set_reason: str = ""

    def at(self, at: datetime) -> tuple[float, float]:
        """The weights that are left of good and bad."""
        left = faded(self.as_of, at, HALF_LIFE)
        return self.good * left, self.bad * left

    def is_set(self, at: datetime) -> bool:
        return self.set_to is not None and (self.set_until is None or at < self.set_until)

    def seeing(self, evidence: Evidence) -> Standing:
        good, bad = self.at(evidence.at)
        as_of = max(evidence.at, self.as_of or evidence.at)
        return replace(self, good=good + evidence.good, bad=bad + (not evidence.good), as_of=as_of)


@dataclass(frozen=True)
class Trust:
    """How far an actor is trusted. `lower_bound`: one-sided 90 % Wilson bound of the evidence alone, 0 over none."""

    actor: Actor
    score: float
    lower_bound: float
    seen: float
    reasons: tuple[str, ...]

    @property
    def low(self) -> bool:
        return self.score < FLOOR

    @property
    def words(self) -> str:
        return f"{self.actor.kind} {self.actor.name} is trusted {self.score:.2f}: {'; '.join(self.reasons)}"


def earned(good: float, bad: float) -> float:
    """The score that evidence alone gives."""
    return (PRIOR + good) / (2 * PRIOR + good + bad)


def trust(actor: Actor, standing: Standing, at: datetime) -> Trust:
    """What an actor's standing comes to at `at`, with the reasons."""
    good, bad = standing.at(at)
    score, seen = earned(good, bad), good + bad
    bound = wilson_lower(good, seen) if seen >= 0.05 else None
    said = f"{good:.1f} good and {bad:.1f} bad, by their age, come to {score:.2f}" if seen >= 0.05 else "nothing is known of it"
    reasons = [said]
    if standing.is_set(at):
        score = standing.set_to or 0.0
        until = f" until {standing.set_until:%Y-%m-%d %H:%M} UTC" if standing.set_until else ""
        reasons.insert(0, f"set by {standing.set_by}{until}: {standing.set_reason}")
    return Trust(actor, score, max(bound or 0.0, 0.0), seen, tuple(reasons))


def distrust(actors: list[Trust]) -> str:
    """Why some of those behind a proposal are not trusted, in words; empty: none is below the floor."""
    return "; ".join(each.words for each in actors if each.low)


def verdict_on(leaf: Mapping[str, Any]) -> bool | None:
    """Whether a leaf about a run speaks for (True) or against (False) those behind it; None: it says nothing."""
    name, payload = leaf["action"].removeprefix("run."), leaf["payload"]
    if name in ("held", "not_held"):
        return name == "held"
    if name == RunStatus.REJECTED:
        return False
    outcome = OUTCOME_OF.get(RunStatus(name)) if name in list(RunStatus) else None
    if outcome in (None, Outcome.SUCCESS) or payload.get("from") not in STARTED:
        return None
    why = payload.get("abort_reason")
    return False if demotes(outcome, AbortReason(why) if why else None) else None


def behind(about: Mapping[str, Any]) -> list[Actor]:
    """Those behind a proposal: {playbook, trigger, domain, requested_by, token}. What is empty, or our scheduler, is nobody."""
    asked = about.get("requested_by") or ""
    found = (
        Actor(Kind.TRIGGER, about.get("trigger") or ""),
        Actor(Kind.PLAYBOOK, about.get("playbook") or ""),
        Actor(Kind.DOMAIN, about.get("domain") or ""),
        Actor(Kind.AGENT, "" if asked == "scheduler" else asked),
        Actor(Kind.TOKEN, about.get("token") or ""),
    )
    return [actor for actor in found if actor.name]


def blamed(actors: list[Actor], leaf: Mapping[str, Any]) -> list[Actor]:
    """Whom a verdict on a run is about: what is good is everybody's.

    Whoever rejects says that it was not wanted: that is the asker's, not the playbook's. A run that did not help is the
    playbook's, and of those who asked for it by name: the alert was right all the same, and the domain has other playbooks.
    Else three bad runs of one playbook would take every alert's autonomy away.
    """
    if leaf["action"] == "run.rejected":
        return [actor for actor in actors if actor.kind in (Kind.TRIGGER, Kind.AGENT, Kind.TOKEN)]
    if verdict_on(leaf) is False:
        return [actor for actor in actors if actor.kind in (Kind.PLAYBOOK, Kind.AGENT, Kind.TOKEN)]
    return actors
