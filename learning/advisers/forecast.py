"""Will a metric pass a limit soon?"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from math import isnan
from typing import Any

from selfheal.advice import Advice, Facts
from selfheal.errors import Invalid
from selfheal.forecast import MOST_STEPS, Ahead, forecast, step_of
from selfheal.forecast.bands import SHARES
from selfheal.series import Point, from_facts

SOON = 900  # seconds


def advise(facts: Facts, look_ahead: Callable[[Sequence[Point], int], Sequence[Ahead]] = forecast) -> Advice:
    """`points`: the recent past, a list of (time, value). `limit`: a number, and `beyond`: "above" (default) or "below" it
    is bad. `within`: seconds from the last point (900).

    The score is the chance of being beyond the limit at the step at which that is likeliest; the interval is that step's.
    """
    limit, within = _number(facts, "limit"), _number(facts, "within", SOON)
    beyond = facts.get("beyond", "above")
    if beyond not in ("above", "below"):
        raise Invalid(f"must be above or below, not {beyond!r}", field="beyond")
    if not within > 0:
        raise Invalid("must be greater than 0", field="within")
    points = sorted(point for point in from_facts(facts) if not isnan(point.value))
    steps = min(max(1, int(within // step_of(points))), MOST_STEPS)
    chance, worst = max(((_chance(each, limit, beyond), each) for each in look_ahead(points, steps)), key=lambda pair: pair[0])
    at = datetime.fromtimestamp(worst.at, UTC)
    said = f"{worst.value:g} is expected at {at:%Y-%m-%d %H:%M}Z, {worst.low80:g} to {worst.high80:g} with 80 %"
    return Advice(chance, (worst.low80, worst.high80), (f"{chance:.0%} to be {beyond} {limit:g}", said))


def _number(facts: Facts, field: str, default: Any = None) -> float:
    value = facts.get(field, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or isnan(value):
        raise Invalid(f"must be a number, not {value!r}", field=field)
    return float(value)


def _chance(ahead: Ahead, limit: float, beyond: str) -> float:
    """From the quantiles, straight between them; the chance that they leave halves with each further width from the median."""
    quantiles = (ahead.low95, ahead.low80, ahead.value, ahead.high80, ahead.high95)
    if limit < quantiles[0]:
        below = SHARES[0] * _tail(quantiles[0] - limit, quantiles[2] - quantiles[0])
    elif limit >= quantiles[-1]:
        below = 1 - (1 - SHARES[-1]) * _tail(limit - quantiles[-1], quantiles[-1] - quantiles[2])
    else:
        place = bisect_right(quantiles, limit) - 1
        low, high = quantiles[place], quantiles[place + 1]
        below = SHARES[place] + (SHARES[place + 1] - SHARES[place]) * (limit - low) / (high - low)
    return 1 - below if beyond == "above" else below


def _tail(past: float, width: float) -> float:
    return 0.5 ** min(past / width, 1_000) if width else 0.0
