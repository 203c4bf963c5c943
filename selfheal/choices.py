"""Which of several playbooks was tried first, and why: the order, and the account of it that is stored with a run.

Rules that this module keeps:
1. The fixed order (least impact, best record, name) stands unless advice may be followed and there is some.
2. Advice that is not followed is written down all the same: in shadow, who would have been first.
3. Numbers are decimal strings, as the log holds them. With the beliefs and the seed the samples can be drawn again
   (`drawn_again`), so that nobody has to believe us that they were drawn.
4. Every candidate says why it was chosen or was not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from random import Random
from typing import Any

from selfheal.ranking import DECIMALS, LEVELS, Place
from selfheal.trust import order_of, wilson_lower

FIXED, SAMPLING = "fixed", "sampling"
RANKERS = (FIXED, SAMPLING)
MOST = 20  # candidates that an account names
UNKNOWN = 0.5  # lower bound of a playbook without a record


@dataclass(frozen=True)
class Candidate:
    """A playbook that names the diagnosis, with its record for it."""

    playbook: str
    impact: str
    succeeded: int = 0
    started: int = 0

    @property
    def bound(self) -> float:
        """What its rate of success is at least, one-sided 90 %."""
        bound = wilson_lower(self.succeeded, self.started)
        return UNKNOWN if bound is None else bound

    @property
    def place(self) -> tuple[int, float, str]:
        """In the fixed order."""
        return order_of(self.impact, self.succeeded, self.started, self.playbook)


@dataclass(frozen=True)
class Order:
    """In which order candidates are tried. `ranker`: whose order it is; `fallback`: why there is no advice, in words.

    `candidates` are in the fixed order; `places` are what the adviser said, empty without advice.
    """

    candidates: tuple[Candidate, ...]
    ranker: str = FIXED
    places: tuple[Place, ...] = ()
    seed: str = ""
    fallback: str = ""

    @property
    def names(self) -> list[str]:
        if self.ranker == SAMPLING:
            return [place.playbook for place in self.places]
        return [each.playbook for each in self.candidates]

    def told(self, chosen: str, passed_over: Mapping[str, str]) -> dict[str, Any]:
        """The account. `passed_over`: those that were tried before it, and why they did not apply."""
        drawn = {place.playbook: place for place in self.places}
        fixed = {each.playbook: each for each in self.candidates}
        kept = [name for number, name in enumerate(self.names) if number < MOST or name == chosen]
        rows = [self._row(fixed[name], fixed[chosen], drawn, passed_over) for name in kept]
        return {
            "ranker": self.ranker,
            "chosen": chosen,
            "advised": self.places[0].playbook if self.places else "",
            "why": self._why(fixed[chosen], drawn, passed_over),
            "fallback": self.fallback,
            "seed": self.seed if self.places else "",
            "of": len(self.candidates),
            "candidates": rows,
        }

    def _why(self, chosen: Candidate, drawn: Mapping[str, Place], passed_over: Mapping[str, str]) -> str:
        if len(self.candidates) == 1:
            return "the only playbook for it"
        left = f", of those that apply ({len(passed_over)} did not)" if passed_over else ""
        if self.ranker == SAMPLING:
            return f"the greatest sample{left}: {drawn[chosen.playbook].why}"
        if not self.places:
            return f"first in the fixed order{left}"
        first = self.places[0].playbook
        agreed = "so would sampling choose" if first == chosen.playbook else f"sampling, in shadow, would try {first} first"
        return f"first in the fixed order{left}; {agreed}"

    def _row(
        self, one: Candidate, chosen: Candidate, drawn: Mapping[str, Place], passed_over: Mapping[str, str]
    ) -> dict[str, Any]:
        row: dict[str, Any] = {
            "playbook": one.playbook,
            "impact": one.impact,
            "record": decimal(one.bound) if one.started else None,
            "why": self._compared(one, chosen, drawn, passed_over),
        }
        if place := drawn.get(one.playbook):
            row |= {"alpha": decimal(place.belief.alpha), "beta": decimal(place.belief.beta), "mean": decimal(place.belief.mean)}
            row |= {"sample": decimal(place.sample), "seen": dict(zip(LEVELS, map(decimal, place.seen), strict=False))}
        return row

    def _compared(self, one: Candidate, chosen: Candidate, drawn: Mapping[str, Place], passed_over: Mapping[str, str]) -> str:
        if one.playbook in passed_over:
            return f"does not apply: {passed_over[one.playbook]}"[:500]
        if one == chosen:
            return "chosen"
        if self.ranker == SAMPLING:
            return f"drew {drawn[one.playbook].sample:.2f}, less than {drawn[chosen.playbook].sample:.2f}"
        if one.impact != chosen.impact:
            return f"{one.impact} impact comes after {chosen.impact}"
        if one.bound != chosen.bound:
            return f"its record, at least {one.bound:.2f}, comes after {chosen.bound:.2f}"
        return "comes later by its name"


def fixed_order(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    return tuple(sorted(candidates, key=lambda each: each.place))


def advised(candidates: Sequence[Candidate], places: Sequence[Place], ranker: str, seed: str) -> Order:
    """The order with advice. `candidates` in the fixed order. Raises ValueError for an answer that is no order of them."""
    order = tuple(places)
    if not all(isinstance(place, Place) and isfinite(place.sample) for place in order):
        raise ValueError("the answer is no list of places with samples")
    if sorted(place.playbook for place in order) != sorted(each.playbook for each in candidates):
        raise ValueError("the answer names other playbooks than were asked about")
    return Order(tuple(candidates), ranker, order, seed)


def drawn_again(told: Mapping[str, Any]) -> dict[str, str]:
    """The samples of an account, drawn again from its beliefs and its seed: {playbook: sample}; empty without advice.

    An account of more than `MOST` candidates does not hold all that is needed, and is not drawn again.
    """
    rows = sorted((row for row in told["candidates"] if "alpha" in row), key=lambda row: str(row["playbook"]))
    if len(rows) != told["of"]:
        return {}
    chance = Random(told["seed"])  # noqa: S311 - nothing is kept secret by it
    return {row["playbook"]: decimal(chance.betavariate(float(row["alpha"]), float(row["beta"]))) for row in rows}


def decimal(value: float) -> str:
    """As the log holds a number that is no integer."""
    return f"{value:.{DECIMALS}f}"
