"""Root-cause debt: what is healed again and again has a cause that nobody has looked for.

Rules that this module keeps:
1. A diagnosis on a service that was healed `heals` times within `within` is a problem. Where it was healed does not matter: what
   takes thirty hosts one after the other has one cause.
2. An acknowledgement settles what was before it: only what is healed afterwards counts towards the next problem.
3. What it costs is the time for which its incidents were open. An incident that was healed twice costs once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True)
class Healed:
    """One success. `seconds`: for which its incident was open, so far; the empty `incident`: it had none."""

    at: datetime
    incident: str
    seconds: int


@dataclass(frozen=True)
class Debt:
    """`costs`: the seconds of each incident, by its id."""

    heals: int
    first_at: datetime
    last_at: datetime
    costs: dict[str, int]

    @property
    def seconds(self) -> int:
        return sum(self.costs.values())


def counts_after(at: datetime, within: timedelta, acknowledged_at: datetime | None) -> datetime:
    """Successes at or before this do not count."""
    return max(at - within, acknowledged_at or at - within)


def debt(
    healed: Iterable[Healed], at: datetime, *, heals: int, within: timedelta, acknowledged_at: datetime | None = None
) -> Debt | None:
    """The problem that these successes on one service make, or None. `heals` 0: nothing is one."""
    since = counts_after(at, within, acknowledged_at)
    counted = sorted((each for each in healed if since < each.at <= at), key=lambda each: each.at)
    if not heals or len(counted) < heals:
        return None
    costs: dict[str, int] = {}
    for each in counted:
        costs[each.incident] = max(each.seconds, costs.get(each.incident, 0))
    return Debt(len(counted), counted[0].at, counted[-1].at, costs)


def minutes(seconds: int) -> int:
    """As people are told it: to the next full minute."""
    return -(-seconds // 60)


def words(heals: int, first_at: datetime, seconds: int) -> str:
    """What a decision and a message say of a problem."""
    return f"healed {heals} times since {first_at:%Y-%m-%d %H:%M} UTC, {minutes(seconds)} minutes of trouble"
