"""signals.yaml: from which value on a metric is bad, and which queries of queries.yaml are asked again and again.

```yaml
signals:
  queue_length: {degraded: 1000, critical: 10000}
  disk_free: {degraded: 10, critical: '2.5', worse: below, diagnosis: capacity_strain}
pull:
  - {signal: error_rate, query: error-share-by-instance, args: {job: web}, service: web}
  - {signal: up, query: instances-up}
```

Rules that this module keeps:
1. A signal has `degraded`, `critical` or both, and `critical` is the further one. What stands here replaces what is built in.
2. A line of `pull` names a query that is declared, with arguments that it takes: PromQL stands in queries.yaml alone.
3. Where a line names no `service`, each series finds its place by its labels, as an alert does.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from selfheal.bounds import Strict
from selfheal.documents import Document, shaped
from selfheal.errors import Invalid, InvalidDocument
from selfheal.queries import Query
from selfheal.services import Diagnosis, FromAlert

from .reading import METRIC
from .rules import BUILT_IN, GENERAL, Threshold

MAX_LINES = 100
MAX_SIGNALS = 1000


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise ValueError("expected a number")
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise ValueError("expected a number; write fractions as strings, '0.5'") from None
    if not number.is_finite():
        raise ValueError("expected a finite number")
    return float(number)


Number = Annotated[float, BeforeValidator(_number), Field(allow_inf_nan=False)]
Metric = Annotated[str, Field(pattern=METRIC)]


class SignalSpec(Strict):
    """When a metric is bad."""

    degraded: Number | None = None
    critical: Number | None = None
    worse: Literal["above", "below"] = "above"
    diagnosis: Diagnosis | None = None

    @model_validator(mode="after")
    def _in_order(self) -> SignalSpec:
        if self.degraded is None and self.critical is None:
            raise ValueError("names `degraded`, `critical`, or both: the value from which on it is that bad")
        if self.degraded is not None and self.critical is not None:
            further = self.critical > self.degraded if self.worse == "above" else self.critical < self.degraded
            if not further:
                raise ValueError(f"`critical` must be {self.worse} `degraded`")
        return self

    def threshold(self, known: Threshold | None) -> Threshold:
        """In the place of the one that is `known` without a file, whose diagnosis stays unless another is named."""
        diagnosis = self.diagnosis or (known.diagnosis if known else GENERAL)
        return Threshold(diagnosis, self.degraded, self.critical, self.worse == "below")


class Pull(Strict):
    """A query that is asked at each poll; every series of its answer is a sample of `signal`."""

    signal: Metric
    query: Annotated[str, Field(max_length=100)]
    args: dict[str, Any] = {}
    service: FromAlert | None = None
    target: FromAlert = "labels.instance"

    def labels(self, series: Mapping[str, str]) -> dict[str, str]:
        """The labels by which a series finds its place."""
        found = {**series, "instance": _value(self.target, series)}
        return {**found, "service": _value(self.service, series)} if self.service else found


class SignalsFile(Strict):
    """The whole of signals.yaml."""

    signals: Annotated[dict[Metric, SignalSpec], Field(max_length=MAX_SIGNALS)] = {}
    pull: Annotated[list[Pull], Field(max_length=MAX_LINES)] = []

    def thresholds(self, known: Mapping[str, Threshold] = BUILT_IN) -> dict[str, Threshold]:
        return {**known, **{metric: spec.threshold(known.get(metric)) for metric, spec in self.signals.items()}}


def parse(document: Document, queries: Mapping[str, Query]) -> SignalsFile:
    """signals.yaml as it is meant. Raises InvalidDocument with every fault."""
    file = shaped(document, SignalsFile) if document.value is not None else SignalsFile()
    wrong = []
    for position, line in enumerate(file.pull):
        try:
            promql_of(line, queries)
        except Invalid as error:
            wrong.append(document.fault(str(error), ("pull", position, *error.field.split("."))))
    if wrong:
        raise InvalidDocument(wrong)
    return file


def promql_of(line: Pull, queries: Mapping[str, Query]) -> str:
    """The finished query. Raises Invalid for one that is not declared, or arguments that it does not take."""
    query = queries.get(line.query)
    if query is None:
        raise Invalid(f"{line.query!r} is no query of queries.yaml", field="query")
    return query.fill(line.args)


def _value(named: str, series: Mapping[str, str]) -> str:
    return series.get(named.removeprefix("labels."), "") if named.startswith("labels.") else named
