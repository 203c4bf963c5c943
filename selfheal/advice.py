"""What an adviser is. It advises and never acts: whoever asked decides under policy, and does as well without an answer.

An adviser is a function `advise(facts) -> Advice`, named by an entry point of the group `selfheal.advisers`:

    [project.entry-points."selfheal.advisers"]
    anomaly = "learning.advisers.anomaly:advise"

It MUST be a function of its facts alone: no clock, no network, no database, no state kept from one call to the next.
It MUST raise Invalid, which names the fact, for facts that it cannot use, and may raise nothing else on purpose.
It MUST give at least one reason; a reason is a sentence for the person on call.
It MAY take as long as its host lets it: a host switches an adviser off, for a while, that fails or is slow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from selfheal.errors import Invalid

GROUP = "selfheal.advisers"
NO_FORECASTERS = ("anomaly", "rootcause")  # of ours: they are asked about other facts than whether a limit is passed soon
Facts = Mapping[str, Any]


@dataclass(frozen=True)
class Advice:
    """`score`: 0 (nothing) to 1 (certain). `interval`: what the adviser's figure lies in with 80 %, in its own unit; None where
    there is no such figure. `why`: the reasons, the weightiest first."""

    score: float
    interval: tuple[float, float] | None
    why: tuple[str, ...]

    def __post_init__(self) -> None:
        if not 0 <= self.score <= 1:
            raise Invalid(f"must be from 0 to 1, not {self.score}", field="score")
        if self.interval is not None and not self.interval[0] <= self.interval[1]:
            raise Invalid(f"must be (low, high), not {self.interval}", field="interval")
        if not self.why:
            raise Invalid("must have a reason", field="why")


class Adviser(Protocol):
    def __call__(self, facts: Facts) -> Advice: ...
