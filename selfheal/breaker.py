"""Whether an adviser is asked: a circuit breaker (Nygard 2007).

Rules that this module keeps:
1. `ROW` failures in a row switch an adviser off, for `FIRST`; each trial that fails again doubles that, up to `LONGEST`.
2. It comes back by itself: when its time is over one call is tried, and an answer makes it as if nothing had been.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

ROW = 3
FIRST, LONGEST = timedelta(minutes=5), timedelta(hours=1)
MAX_REASON = 300


@dataclass(frozen=True)
class Standing:
    """`failures` in a row; `offs`: how often it was switched off in a row; `off_until` None: it is on."""

    failures: int = 0
    offs: int = 0
    off_until: datetime | None = None
    reason: str = ""

    def state(self, at: datetime) -> str:
        """`on`, `off`, or `trial`: its time is over, and one call says how it goes on."""
        if self.off_until is None:
            return "on"
        return "off" if at < self.off_until else "trial"


def failed(standing: Standing, reason: str, at: datetime) -> Standing:
    """What follows from a call that raised, or took too long. While it is off nothing does: the call began before."""
    state = standing.state(at)
    if state == "off":
        return standing
    after = replace(standing, failures=standing.failures + 1, reason=reason[:MAX_REASON])
    if state == "on" and after.failures < ROW:
        return after
    return replace(after, offs=after.offs + 1, off_until=at + min(FIRST * 2**after.offs, LONGEST))
