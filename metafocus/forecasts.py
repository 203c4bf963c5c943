"""Which capacities a forecast sees beyond their limits soon, as far as an adviser has said so by now."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from healing import guardrail
from healing.models import Signal
from healing.signals.receiving import thresholds
from learning.consulting import consult, why_silent
from selfheal.focus import Strain, rounded
from selfheal.signals import Threshold
from selfheal.states import Health

CAPACITY = "capacity_strain"
BACK, AHEAD = timedelta(hours=1), timedelta(minutes=15)
MOST = 100  # signals


@dataclass(frozen=True)
class Looked:
    """The strains with the likeliest first, how many signals have no fresh forecast, and why not."""

    strains: tuple[Strain, ...] = ()
    left: int = 0
    because: str = ""


def strains(at: datetime, budget: timedelta) -> Looked:
    """What the forecaster said of each capacity that has a threshold, since the cycle before the last. It is asked again, to
    begin within `budget`: what it then says is for the next cycle."""
    adviser = settings.SELF_HEAL_FORECASTER
    limits = {metric: limit for metric, limit in thresholds().items() if limit.diagnosis == CAPACITY}
    if not adviser or not limits:
        return Looked()
    known = Signal.objects.filter(metric__in=limits, seen_at__gt=at - BACK).exclude(state=Health.UNKNOWN)
    signals = {_about(each): each for each in known.select_related("service").order_by("state", "-seen_at")[:MOST]}
    questions = {about: _facts(signal, limits[signal.metric]) for about, signal in signals.items()}
    said = consult(adviser, questions, at, within=budget, fresh=2 * guardrail.cycle())
    found = sorted(_strains(signals, said), key=lambda each: -each.chance)
    left = len(signals) - len(said)
    return Looked(tuple(found), left, why_silent(adviser) if left else "")


def _about(signal: Signal) -> str:
    return f"{signal.metric} of {signal.service.name}/{signal.target}"


def _facts(signal: Signal, limit: Threshold) -> dict[str, Any]:
    """What the adviser is asked; see `learning.advisers.forecast`."""
    series = {"service": str(signal.service_id), "target": signal.target, "metric": signal.metric, "seconds": BACK.seconds}
    beyond = limit.critical if limit.critical is not None else limit.degraded
    side = "below" if limit.below else "above"
    return {"series": series, "limit": beyond, "beyond": side, "within": AHEAD.total_seconds()}


def _strains(signals: dict[str, Signal], said: dict[str, Any]) -> Iterator[Strain]:
    for about, advice in said.items():
        if advice:
            signal = signals[about]
            yield Strain(signal.service.name, signal.target, signal.metric, rounded(advice.score))
