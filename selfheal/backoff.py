"""Why a proposal is not made now: what is alive, what was just proposed, waits and rates.

Rules that this module keeps, looked at in this order, the first that holds wins:
1. `dup`: a run for the same (service, target, diagnosis) is alive, or was proposed within the duplicate window and not verified.
2. `backoff`: the wait before the next proposal in a row is not over.
3. `rate`: the service and target have had their proposals of this hour.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Skip:
    """Not now: `reason` is a counter's name, `detail` is for people, `until` is when it is worth looking again."""

    reason: str
    detail: str
    until: datetime | None


@dataclass(frozen=True)
class Past:
    """What has happened for one (service, target, diagnosis), and for its service and target in the last hour."""

    alive: str = ""  # status of the run that is alive
    last_proposed_at: datetime | None = None  # of the last proposal that no verified success ended
    next_allowed_at: datetime | None = None
    proposals_last_hour: int = 0
    oldest_in_hour: datetime | None = None


def skip(past: Past, *, at: datetime, duplicate_window: timedelta, per_hour: int, poll: timedelta) -> Skip | None:
    """The reason not to propose now, or None."""
    if past.alive:
        return Skip("dup", f"a run for it is {past.alive}", at + poll)
    if past.last_proposed_at and at < past.last_proposed_at + duplicate_window:
        until = past.last_proposed_at + duplicate_window
        return Skip("dup", f"it was proposed less than {_minutes(duplicate_window)} min ago", until)
    if past.next_allowed_at and at < past.next_allowed_at:
        return Skip("backoff", "waiting between proposals in a row", past.next_allowed_at)
    if past.proposals_last_hour >= per_hour:
        until = (past.oldest_in_hour or at) + HOUR
        return Skip("rate", f"{past.proposals_last_hour} proposals in the last hour, the limit is {per_hour}", until)
    return None


def wait(nth: int, *, base: timedelta, longest: timedelta, jitter: float) -> timedelta:
    """How long to wait before the `nth` proposal in a row: none before the first, then min(base·2^(n−1), longest) ±20 %.

    `jitter` is from −1 to 1 and is handed in.
    """
    if nth <= 1:
        return timedelta(0)
    return min(base * factor(nth), longest) * (1 + 0.2 * jitter)


def factor(nth: int) -> int:
    """How many times the base the wait before the `nth` proposal in a row is, before it is cut off at the longest."""
    return int(2 ** min(max(nth - 1, 0), 30))


def _minutes(span: timedelta) -> int:
    return round(span.total_seconds() / 60)
