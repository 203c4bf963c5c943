"""The shadow score: of services that are only observed, what would have run against what people did and what happened.

Rules that this module keeps:
1. It informs people about a playbook before they let it run. Nothing is allowed or kept by it.
2. What people say comes before what can be concluded. What nobody can know is `unknown`, and said to be.
3. Nothing that would have been denied whatever the mode is in it: it would not have run.
4. Only the first proposal of a playbook for an incident counts: the later ones are the same advice again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from selfheal.states import Verdict
from selfheal.trust import wilson_lower

SOON = timedelta(minutes=2)  # over by itself so soon: to act would have been to disturb what was healing
TRIED = 3.0  # runs elsewhere, by their age, from which on they say something
LIKELY = 0.5  # lower bound, one-sided 90 %
MODES = ("global_mode", "service_mode")


class Judgement(StrEnum):
    AGREED = "agreed"
    HELPED = "would_have_helped"
    HARMED = "would_have_harmed"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Course:
    """An incident that was only observed, and the playbook that would have run.

    `over_by`: who ended it, empty: its alert ended; `did`: the playbooks that people asked for, or that ran after all; `said`: a
    person's word, with `said_by` and `note`; `succeeded`, `failed`: the runs of the playbook for the diagnosis anywhere, by their
    age.
    """

    playbook: str
    proposed_at: datetime
    over_at: datetime | None = None
    over_by: str = ""
    did: frozenset[str] = frozenset()
    said: str = ""
    said_by: str = ""
    note: str = ""
    succeeded: float = 0.0
    failed: float = 0.0


def would_run(payload: Mapping[str, Any]) -> Verdict | None:
    """What the entry of a proposal says that policy would have decided, had it not been for the mode; None: it is no shadow."""
    rules = payload.get("rules") or ()
    by_mode = [rule for rule in rules if rule.get("rule") in MODES and rule.get("verdict") == Verdict.DENY]
    others = [Verdict(rule["verdict"]) for rule in rules if rule.get("rule") not in MODES]
    if not by_mode or not others:
        return None
    strictest = max(others, key=lambda verdict: verdict.rank)
    return None if strictest is Verdict.DENY else strictest


def judge(course: Course) -> tuple[Judgement, str] | None:
    """The judgement and why; None while it goes on and nobody has said anything."""
    if course.said:
        return Judgement(course.said), f"{course.said_by} says so: {course.note}"
    if course.playbook in course.did:
        return Judgement.AGREED, "people used the same playbook"
    if course.over_at is None:
        return None
    lasted = course.over_at - course.proposed_at
    if course.did:
        return Judgement.UNKNOWN, f"people used {', '.join(sorted(course.did))} instead"
    if lasted < SOON and not course.over_by:
        return Judgement.HARMED, f"it was over by itself after {_words(lasted)}: there was nothing to heal"
    return _by_record(course, lasted)


def _by_record(course: Course, lasted: timedelta) -> tuple[Judgement, str]:
    """What the runs of the playbook elsewhere make likely."""
    good, bad, tried = course.succeeded, course.failed, course.succeeded + course.failed
    if tried < TRIED:
        return Judgement.UNKNOWN, f"it went on for {_words(lasted)}, and the playbook has not run often enough to tell"
    if (wilson_lower(good, tried) or 0.0) >= LIKELY:
        return Judgement.HELPED, f"it went on for {_words(lasted)}; where it ran, it helped {good:.1f} of {tried:.1f} times"
    if (wilson_lower(bad, tried) or 0.0) >= LIKELY:
        return Judgement.HARMED, f"where it ran, it went wrong {bad:.1f} of {tried:.1f} times"
    return Judgement.UNKNOWN, f"where it ran, it helped {good:.1f} of {tried:.1f} times, which says nothing yet"


def _words(length: timedelta) -> str:
    minutes = length.total_seconds() / 60
    return f"{minutes:.0f} min" if minutes >= 1 else f"{length.total_seconds():.0f} s"


@dataclass(frozen=True)
class Tally:
    """How many of each judgement, and how many go on."""

    counts: dict[str, int]
    going_on: int

    @property
    def total(self) -> int:
        return sum(self.counts.values()) + self.going_on


def tally(judged: Iterable[tuple[Judgement, str] | None]) -> Tally:
    counts: Counter[str] = Counter(found[0].value if found else "" for found in judged)
    return Tally({each.value: counts[each.value] for each in Judgement}, counts[""])
