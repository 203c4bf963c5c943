"""What opens a trouble without an alert: the trigger sources, their terms, and what two of them find.

Rules that this module keeps:
1. A source gives candidates: where, what, how sure, and why. Its terms say which of them become incidents.
2. A candidate never heals anything: its incident goes through scheduler and policy like any other, and policy asks a person.
3. Precision is of what was said and came to something, recall of what came and had been said before. Over nothing both are none.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from selfheal.diagnosis import by_name
from selfheal.states import Trigger

SHOWN = {
    Trigger.META_LOOP: "meta loop",
    Trigger.PROACTIVE_ML: "forecast",
    Trigger.AGENTIC_SPINE: "service graph",
    Trigger.IMMUTABLE_LOG: "log pattern",
}
AHEAD = timedelta(hours=1)  # by which a source may be early, and after which what it said is judged
MOST_SURE = 0.9

RECURRING, RECURRING_WITHIN = 3, timedelta(minutes=10)
LEAST_RUNS, LEAST_USUAL, OVER = 3, 5, 0.3  # of a playbook lately, before, and by how much more of its runs go wrong
UNTRIED = 0.3  # the share that goes wrong of a playbook that has run too seldom to say

_VARIES = re.compile(r"0x[0-9a-f]+|[0-9a-f]{8,}|\d+", re.IGNORECASE)


@dataclass(frozen=True)
class Terms:
    """Whether a source may open incidents, how sure it must be (0 to 1), and how many in an hour."""

    enabled: bool = True
    least_confidence: float = 0.5
    hourly_limit: int = 5


DEFAULTS = {
    Trigger.META_LOOP: Terms(least_confidence=0.6, hourly_limit=5),
    Trigger.PROACTIVE_ML: Terms(least_confidence=0.7, hourly_limit=10),
    Trigger.AGENTIC_SPINE: Terms(least_confidence=0.5, hourly_limit=60),
    Trigger.IMMUTABLE_LOG: Terms(least_confidence=0.5, hourly_limit=5),
}


@dataclass(frozen=True)
class Candidate:
    """A trouble that a source sees. `target` may be empty: the first one of the service."""

    service: str
    target: str
    diagnosis: str
    confidence: float
    title: str

    @property
    def key(self) -> tuple[str, str, str]:
        return self.service, self.target, self.diagnosis


@dataclass(frozen=True)
class Error:
    """A step that went wrong, and what it said."""

    service: str
    target: str
    message: str


@dataclass(frozen=True)
class Course:
    """How a playbook did on a service: lately, and before that."""

    playbook: str
    service: str
    runs: int
    bad: int
    usual_runs: int
    usual_bad: int

    @property
    def share(self) -> float:
        return self.bad / self.runs

    @property
    def usual(self) -> float:
        return self.usual_bad / self.usual_runs if self.usual_runs >= LEAST_USUAL else UNTRIED


def refusal(confidence: float, terms: Terms, used: int) -> str:
    """Why a candidate opens nothing: `disabled`, `confidence`, `limit`; empty: it may. `used`: those of the last hour."""
    if not terms.enabled:
        return "disabled"
    if confidence < terms.least_confidence:
        return "confidence"
    return "limit" if used >= terms.hourly_limit else ""


def recurring(errors: Iterable[Error]) -> list[Candidate]:
    """The same error again and again at one place, by the words of what it says. `errors`: of `RECURRING_WITHIN`."""
    counted = Counter((error.service, error.target, shape_of(error.message)) for error in errors)
    found: dict[tuple[str, str, str], Candidate] = {}
    for (service, target, shape), times in counted.most_common():
        if times < RECURRING:
            break
        diagnosis = by_name(shape)
        sure = min(diagnosis.confidence, 0.6 + 0.1 * (times - RECURRING), MOST_SURE)
        title = f"the same error {times} times in 10 min: {shape}"[:300]
        candidate = Candidate(service, target, diagnosis.name, round(sure, 2), title)
        found.setdefault(candidate.key, candidate)
    return list(found.values())


def shape_of(message: str) -> str:
    """The message without what differs each time: numbers and ids are `#`."""
    return " ".join(_VARIES.sub("#", message.lower()).split())[:200]


def failing(courses: Iterable[Course]) -> list[Candidate]:
    """Playbooks that go wrong more often than they did, the worst first: what they stand on has changed."""
    found = [each for each in courses if each.runs >= LEAST_RUNS and each.share >= each.usual + OVER]
    worst: dict[str, Course] = {}
    for each in sorted(found, key=lambda each: (each.usual - each.share, each.playbook, each.service)):
        worst.setdefault(each.service, each)
    return [_course(each) for each in worst.values()]


def _course(course: Course) -> Candidate:
    sure = round(min(MOST_SURE, 0.5 + (course.share - course.usual) / 2), 2)
    before = (
        f"{course.usual:.0%} of {course.usual_runs} before" if course.usual_runs >= LEAST_USUAL else "it has hardly run before"
    )
    title = f"{course.playbook} went wrong {course.bad} of {course.runs} times lately; {before}"
    return Candidate(course.service, "", "misconfiguration", sure, title)


def share(good: int, bad: int) -> float | None:
    """Of precision and recall: None over nothing."""
    return round(good / (good + bad), 3) if good + bad else None
