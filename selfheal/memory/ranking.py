"""What comes first: four numbers from 0 to 1, weighed by the domain that asks."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta

from selfheal.errors import Invalid

RECENT = timedelta(hours=168)  # from 1 down to 0, linearly
OFTEN = 100  # uses that count as 1


@dataclass(frozen=True)
class Numbers:
    """Each from 0 to 1: as the four numbers of a memory, or as the weights of a domain, which are 1 together."""

    recency: float
    frequency: float
    tags: float
    context: float

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


WEIGHTS = Numbers(0.30, 0.20, 0.30, 0.20)
NAMES = tuple(field.name for field in fields(Numbers))


def numbers_of(
    tokens: Collection[str], age: timedelta, uses: int, terms: Collection[str], pairs: Collection[str]
) -> Numbers:  # fmt: skip
    """`terms`: the words and tags that are asked for, `pairs`: those of the context. What is not asked for counts nothing."""
    return Numbers(
        recency=round(min(1.0, max(0.0, 1 - age / RECENT)), 4),
        frequency=min(uses, OFTEN) / OFTEN,
        tags=_share(terms, tokens),
        context=_share(pairs, tokens),
    )


def relevance(numbers: Numbers, weights: Numbers = WEIGHTS) -> float:
    """From 0 to 1."""
    return round(sum(getattr(numbers, name) * getattr(weights, name) for name in NAMES), 4)


def weights_of(given: Mapping[str, float]) -> Numbers:
    """The weights of a domain. Raises Invalid unless all four are there, none is negative, and they are 1 together."""
    if set(given) != set(NAMES):
        raise Invalid(f"names {', '.join(NAMES)}, and nothing else", field="weights")
    if any(value < 0 for value in given.values()) or abs(sum(given.values()) - 1) > 0.001:
        raise Invalid("are from 0 to 1, and 1 together", field="weights")
    return Numbers(**given)


def earlier(at: datetime) -> datetime:
    """Since when a memory is recent."""
    return at - RECENT


def _share(asked: Collection[str], tokens: Collection[str]) -> float:
    return round(sum(token in tokens for token in asked) / len(asked), 4) if asked else 0.0
