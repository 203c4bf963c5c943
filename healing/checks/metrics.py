"""`metrics_threshold` and `metrics_trend`: what a query of queries.yaml says in Prometheus (SELF_HEAL_PROMETHEUS_URL), or what a
signal says that we were sent for this service and target.

Rules that this module keeps:
1. The finished PromQL, or the signal and its window, is frozen into the plan: what is approved is what is asked.
2. Each series that the query gives must pass. No series, no server, a number that is none: that is a failed check. So is a
   signal of which no sample lies in the window; a trend needs two.
3. Prometheus is reached at the declared address only, by the rules of `healing.http`. Samples are handed in by the worker.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from healing import prometheus
from healing.parameters import Duration, Strict, frozen, one_line, validated
from healing.result import Result
from selfheal.errors import Invalid
from selfheal.places import Place
from selfheal.signals import METRIC, change_over, mean

from .base import Context

POINTS = 10  # in a window
LONGEST_SIGNAL = 3_600_000  # ms; samples are kept for as long
SHOWN = 5


class MetricsError(Exception):
    """Prometheus could not be asked; the message says why."""


def _number(value: Any) -> Any:
    """A number as the decimal string that a plan can hold."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError("must be a number")
    try:
        number = Decimal(str(value))
    except InvalidOperation as error:
        raise ValueError(f"must be a number, not {str(value)[:40]!r}") from error
    if not number.is_finite() or number.adjusted() > 30:
        raise ValueError("must be a finite number")
    return f"{number:f}"


def _not_negative(value: str) -> str:
    if Decimal(value) < 0:
        raise ValueError("must be 0 or more; `direction` says which way")
    return value


Number = Annotated[str, Field(max_length=80), BeforeValidator(_number)]
Window = Annotated[Duration, Field(ge=10_000, le=86_400_000)]


class Asked(Strict):
    """Which numbers: a `query` of queries.yaml with its `args`, or a `signal` that we were sent."""

    query: Annotated[str, Field(max_length=100)] | None = None
    args: dict[str, Any] = {}
    signal: Annotated[str, Field(pattern=METRIC)] | None = None
    window: Window = 300_000

    @model_validator(mode="after")
    def one_of_two(self) -> Self:
        if (self.query is None) == (self.signal is None):
            raise ValueError("must hold `query` (a name of queries.yaml) or `signal`, and not both")
        if self.signal is not None and self.args:
            raise ValueError("`args` are of a query; a signal takes none")
        if self.signal is not None and self.window > LONGEST_SIGNAL:
            raise ValueError("`window` of a signal is at most 1h: samples are kept for as long")
        return self


def _promql(asked: Asked, place: Place) -> str:
    query = place.queries.get(asked.query or "")
    if query is None:
        raise Invalid(f"{asked.query!r} is no query of queries.yaml", field="query")
    return query.fill(asked.args)


def _over(function: str, promql: str, window: int) -> str:
    """`function` over the window; on lines of its own, so that a comment at the end of the query ends there."""
    return f"{function}((\n{promql}\n)[{window}ms:{max(window // POINTS, 1000)}ms])"


def _source(asked: Asked, promql: Callable[[], str]) -> dict[str, Any]:
    """What is frozen of where the numbers come from."""
    if asked.signal is not None:
        return {"signal": asked.signal, "window_ms": asked.window}
    return {"query": asked.query, "promql": promql()}


class Frozen(Strict):
    """Of a query: `query` and `promql`. Of a signal: `signal` and `window_ms`."""

    query: str | None = None
    promql: Annotated[str, Field(max_length=8192)] | None = None
    signal: str | None = None
    window_ms: Window | None = None

    @property
    def what(self) -> str:
        return self.query or f"signal {self.signal}"

    @property
    def shown(self) -> str:
        return one_line(" ".join(self.promql.split())) if self.promql else f"samples of {(self.window_ms or 0) / 1000:g} s"


class ThresholdFrozen(Frozen):
    gte: Number | None = None
    lte: Number | None = None


class TrendFrozen(Frozen):
    direction: Literal["falling", "rising"]
    by: Number


class MetricsThreshold:
    """The average over `window` is at least `gte` and at most `lte`, in each series of the query."""

    name = "metrics_threshold"

    class Parameters(Asked):
        gte: Number | None = None
        lte: Number | None = None

        @model_validator(mode="after")
        def bounded(self) -> Self:
            if self.gte is None and self.lte is None:
                raise ValueError("must hold `gte`, `lte`, or both")
            if self.gte is not None and self.lte is not None and Decimal(self.gte) > Decimal(self.lte):
                raise ValueError("`gte` is greater than `lte`: nothing would pass")
            return self

    def freeze(self, given: Mapping[str, Any], place: Place) -> dict[str, Any]:
        asked = validated(self.Parameters, given)
        source = _source(asked, lambda: _over("avg_over_time", _promql(asked, place), asked.window))
        return frozen(validated(ThresholdFrozen, {**source, "gte": asked.gte, "lte": asked.lte}))

    def targets(self, arguments: Mapping[str, Any]) -> tuple[str, ...]:
        return _targets(arguments)

    def dry_run(self, arguments: Mapping[str, Any]) -> str:
        plan = validated(ThresholdFrozen, arguments)
        return f"{plan.what} is {_bounds(plan)}: {plan.shown}"

    def run(self, arguments: Mapping[str, Any], context: Context) -> Result:
        plan = validated(ThresholdFrozen, arguments)
        low, high = (float(bound) if bound is not None else None for bound in (plan.gte, plan.lte))
        passes = lambda value: (low is None or value >= low) and (high is None or value <= high)  # noqa: E731
        return _judged(plan, context, _average, passes, _bounds(plan))


def _bounds(plan: ThresholdFrozen) -> str:
    words = [f"at least {plan.gte}" if plan.gte is not None else "", f"at most {plan.lte}" if plan.lte is not None else ""]
    return " and ".join(filter(None, words))


class MetricsTrend:
    """`falling` or `rising` over `window`, by at least `by`, in each series of the query: the slope of all its points counts."""

    name = "metrics_trend"

    class Parameters(Asked):
        direction: Literal["falling", "rising"]
        by: Annotated[Number, AfterValidator(_not_negative)] = "0"

    def freeze(self, given: Mapping[str, Any], place: Place) -> dict[str, Any]:
        asked = validated(self.Parameters, given)
        source = _source(asked, lambda: f"{asked.window / 1000:g} * {_over('deriv', _promql(asked, place), asked.window)}")
        plan = {**source, "direction": asked.direction, "by": asked.by, "window_ms": asked.window}
        return frozen(validated(TrendFrozen, plan))

    def targets(self, arguments: Mapping[str, Any]) -> tuple[str, ...]:
        return _targets(arguments)

    def dry_run(self, arguments: Mapping[str, Any]) -> str:
        plan = validated(TrendFrozen, arguments)
        return f"{plan.what} is {_trend(plan)}: {plan.shown}"

    def run(self, arguments: Mapping[str, Any], context: Context) -> Result:
        plan = validated(TrendFrozen, arguments)
        sign, by = (-1 if plan.direction == "falling" else 1), float(plan.by)
        passes = lambda change: sign * change > 0 and sign * change >= by  # noqa: E731
        return _judged(plan, context, _slope, passes, _trend(plan))


def _trend(plan: TrendFrozen) -> str:
    least = f" by at least {plan.by}" if Decimal(plan.by) else ""
    return f"{plan.direction}{least} over {_seconds(plan):g} s"


def _targets(arguments: Mapping[str, Any]) -> tuple[str, ...]:
    named = arguments.get("query")
    return (f"query {named} in Prometheus" if named else f"signal {arguments['signal']}",)


def _seconds(plan: Frozen) -> float:
    return (plan.window_ms or 0) / 1000


def _average(plan: Frozen, samples: Sequence[tuple[float, float]]) -> float:
    return mean([value for _, value in samples])


def _slope(plan: Frozen, samples: Sequence[tuple[float, float]]) -> float:
    """Its change over the window, as Prometheus has it by `deriv`."""
    points = [(-age, value) for age, value in samples]
    if len({x for x, _ in points}) < 2:
        raise MetricsError("one sample shows no trend")
    return change_over(points, _seconds(plan))


def _sampled(plan: Frozen, context: Context, function: Any) -> list[tuple[str, float]]:
    samples = [(age, value) for age, value in context.samples if 0 <= age <= _seconds(plan)]
    if not samples:
        raise MetricsError(f"there is no sample of {context.target} within {_seconds(plan):g} s")
    return [("", function(plan, samples))]


def _judged(plan: Frozen, context: Context, function: Any, passes: Callable[[float], bool], wanted: str) -> Result:
    try:
        series = ask(plan.promql, context) if plan.promql else _sampled(plan, context, function)
    except MetricsError as error:
        return Result(False, f"{plan.what}: {error}")
    bad = [(labels, value) for labels, value in series if math.isnan(value) or not passes(value)]
    shown = ", ".join(f"{value:g}{labels}" for labels, value in (bad or series)[:SHOWN])
    words = f"{plan.what} is {shown}"
    data = {"series": len(series), "failed": len(bad), "values": [f"{value:g}" for _, value in (bad or series)[:SHOWN]]}
    return Result(not bad, words if not bad else f"{words}, which is not {wanted}", data)


def ask(promql: str, context: Context) -> list[tuple[str, float]]:
    """The labels and the value of each series, now. Raises MetricsError, also where there is none."""
    if not context.prometheus_url:
        raise MetricsError("Prometheus cannot be asked: set SELF_HEAL_PROMETHEUS_URL to its address")
    try:
        series = prometheus.vector(context.prometheus_url, promql, context.networks)
    except prometheus.PrometheusError as error:
        raise MetricsError(str(error)) from error
    if not series:
        raise MetricsError("there is no data")
    return [(_labels(labels), value) for labels, value in series]


def _labels(metric: Mapping[str, str]) -> str:
    shown = ", ".join(f"{name}={value}" for name, value in sorted(metric.items()))
    return f" ({one_line(shown, 100)})" if shown else ""
