"""What a success is worth: whether it held."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

QUIET = timedelta(minutes=15)


@dataclass(frozen=True)
class Occurrence:
    """One episode of the alert that a run healed."""

    starts_at: datetime
    ends_at: datetime | None  # None: still firing


@dataclass(frozen=True)
class Judgement:
    held: bool | None  # None: too early to say
    reason: str
    look_at: datetime | None = None


def held(finished_at: datetime, episodes: Sequence[Occurrence], at: datetime) -> Judgement:
    """Whether a run that verified at `finished_at` held, from the episodes of its (service, target, diagnosis).

    It held when the alert resolved and stayed quiet for 15 minutes; it did not when the alert came back in that time, or was
    still firing 15 minutes after the verification.
    """
    before = [e for e in episodes if e.starts_at <= finished_at]
    quiet_since = max([finished_at, *(e.ends_at for e in before if e.ends_at)])
    back = [e for e in episodes if finished_at < e.starts_at < quiet_since + QUIET]
    if back:
        return Judgement(False, f"the alert came back at {min(e.starts_at for e in back):%H:%M:%S} UTC")
    firing = any(e.ends_at is None for e in before)
    if firing:
        if at >= finished_at + QUIET:
            return Judgement(False, "the alert was still firing 15 minutes after the verification")
        return Judgement(None, "the alert has not resolved yet", finished_at + QUIET)
    if at >= quiet_since + QUIET:
        return Judgement(True, "the alert resolved and stayed quiet for 15 minutes")
    return Judgement(None, "quiet, for less than 15 minutes", quiet_since + QUIET)
