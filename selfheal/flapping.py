"""Whether a place flaps: it goes from well to unwell and back so often that healing it by each alert would only add to it.

Rules that this module keeps:
1. What counts is the place, not its alerts: spans that overlap or touch are one, so ten thousand alerts at once are one change.
2. It flaps from `CHANGES` changes (a start or an end) within `WITHIN` on, until there was none for `QUIET`.
3. An instant that is still to come is none yet: a clock that was set back, or a sender's that is ahead, invents no change.

    >>> flap([(start, end), …], at).until
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

CHANGES = 6
WITHIN = timedelta(hours=1)
QUIET = timedelta(minutes=15)

Span = tuple[datetime, datetime | None]  # of an alert; no end: it is firing


@dataclass(frozen=True)
class Flap:
    """`changes` within `WITHIN`, the first of them at `since`; over at `until`, if nothing changes before."""

    changes: int
    since: datetime
    until: datetime

    def __str__(self) -> str:
        return (
            f"it flaps: {self.changes} changes since {self.since:%H:%M} UTC; from {CHANGES} within {_minutes(WITHIN)} min on "
            f"nothing is proposed until it was quiet for {_minutes(QUIET)} min"
        )


def flap(spans: Iterable[Span], at: datetime) -> Flap | None:
    """How the place flaps at `at`, if it does. `spans` are of all alerts of the place, in any order."""
    recent = [change for change in changes(spans) if at - WITHIN < change <= at]
    if len(recent) < CHANGES or recent[-1] + QUIET <= at:
        return None
    return Flap(len(recent), recent[0], recent[-1] + QUIET)


def changes(spans: Iterable[Span]) -> list[datetime]:
    """When the place became unwell, and well again, in order."""
    found: list[datetime] = []
    end: datetime | None = None
    for start, stop in sorted(spans, key=lambda span: span[0]):
        if found and (end is None or start <= end):
            end = None if end is None or stop is None else max(end, stop)
            continue
        found += [start] if end is None else [end, start]
        end = stop
    return found if end is None else [*found, end]


def _minutes(span: timedelta) -> int:
    return round(span.total_seconds() / 60)
