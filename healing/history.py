"""The alerts of the past, as Prometheus remembers them: the samples of `ALERTS` that were firing, asked for in bounded parts.

Rules that this module keeps:
1. Nothing but `query_range` is asked, at the address that was given; each answer is at most 1 MiB, and asks for fewer points than
   Prometheus allows. What is too much at once is asked for in halves.
2. Each step looks back over itself, so that an alert shorter than a step is seen as well.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime, timedelta

from healing import prometheus
from selfheal.alerts import Alert
from selfheal.backtest import Refused, Series
from selfheal.errors import Invalid, TooLarge

POINTS = 10_000  # of a series in an answer; Prometheus refuses more than 11,000
AT_ONCE = timedelta(hours=6)  # to begin with
STEP = (timedelta(seconds=1), timedelta(hours=1))
DAYS = 366


def from_prometheus(
    base: str,
    since: datetime,
    until: datetime,
    step: timedelta,
    *,
    match: str = "",
    networks: Collection[str] = (),
    progress: Callable[[float], None] = lambda share: None,
) -> tuple[list[Alert], list[Refused]]:
    """The alerts that fired, and those that cannot be read. `match`: more matchers, as PromQL has them (`severity="critical"`).

    `progress` is called with the share that is done, 0 to 1. Raises Invalid, TooLarge, PrometheusError.
    """
    if not STEP[0] <= step <= STEP[1]:
        raise Invalid("is from 1s to 1h", field="--step")
    if not timedelta(0) < until - since <= timedelta(days=DAYS):
        raise Invalid(f"is from 1 to {DAYS}", field="--days")
    matchers = ",".join(filter(None, ('alertstate="firing"', match)))
    promql = f"last_over_time(ALERTS{{{matchers}}}[{step.total_seconds():g}s])"
    series, at, span = Series(step), since, min(AT_ONCE, step * POINTS)
    while at < until:
        end = min(at + span, until)
        try:
            found = prometheus.instants(base, promql, at.timestamp(), end.timestamp(), step.total_seconds(), networks)
        except prometheus.TooMuch:
            if end - at < 2 * step:
                raise TooLarge("too many alerts fire at once: narrow them by --match") from None
            span = (end - at) / 2
            continue
        for labels, instants in found:
            series.add(labels, instants)
        at = end + step
        progress((min(at, until) - since) / (until - since))
    return series.alerts(until)
