"""The dependency graph, the metrics and the target, as read from text. Errors name file, line and column (of the CSV)."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from selfheal.errors import Invalid
from selfheal.graph import Graph
from selfheal.series import number, seconds

Column = tuple[str, str, str]  # node, metric, statistic
HEADERS = ("microservice", "metric", "statistic")


@dataclass(frozen=True)
class Metrics:
    """`times`: seconds since 1970, rising. `columns`: a value for each time, NaN where nothing was measured."""

    times: Sequence[float]
    columns: Mapping[Column, Sequence[float]]


@dataclass(frozen=True)
class Target:
    """What was seen to be wrong: the statistic of a metric of a node, from a time on."""

    node: str
    metric: str
    agg: str
    timestamp: float


def graph_from_csv(lines: Iterable[str], file: str = "graph.csv") -> Graph:
    """A matrix: each line a caller, each column a callee, a number that is not 0 where the one calls the other."""
    rows = _rows(lines, file)
    _, header = next(rows, (1, [""]))
    callees = [name.strip() for name in header[1:]]
    if not callees:
        raise Invalid("the first line must name the nodes, from the second column on", file=file, line=1, column=1)
    graph: dict[str, list[str]] = {name: [] for name in callees}
    seen: set[str] = set()
    for line, row in rows:
        caller = row[0].strip()
        if caller in seen:
            raise Invalid(f"{caller!r} has a line already", file=file, line=line, column=1)
        seen.add(caller)
        if len(row) != len(header):
            raise Invalid(f"{len(row)} columns, the first line has {len(header)}", file=file, line=line, column=len(row))
        calls = zip(callees, _cells(row, file, line), strict=True)
        graph[caller] = [callee for callee, call in calls if call and not math.isnan(call)]
    return graph


def metrics_from_csv(lines: Iterable[str], file: str = "metrics.csv") -> Metrics:
    """Three lines of headers (node, metric, statistic), a line with the name of the times, then a row for each time."""
    rows = _rows(lines, file)
    heads = [row for _, row in zip(range(3), (row for _, row in rows), strict=False)]
    names = list(zip(*([cell.strip() for cell in row] for row in heads), strict=False))
    if len(heads) < 3 or tuple(name.lower() for name in names[0]) != HEADERS:
        raise Invalid(f"the first three lines must begin with {', '.join(HEADERS)}", file=file, line=1, column=1)
    keys = names[1:]
    for index, key in enumerate(keys, 2):
        if key in keys[: index - 2]:
            raise Invalid(f"{' '.join(key)} is there twice", file=file, line=1, column=index)
    times: list[float] = []
    values: list[list[float]] = []
    for line, row in rows:
        if len(row) != len(keys) + 1:
            raise Invalid(f"{len(row)} columns, the first line has {len(keys) + 1}", file=file, line=line, column=len(row))
        if not times and not any(row[1:]) and _is_name(row[0]):
            continue
        times.append(_time(row[0], times, file, line))
        values.append(_cells(row, file, line))
    if not times:
        raise Invalid("there is no row of values", file=file, line=4, column=1)
    return Metrics(tuple(times), dict(zip(keys, zip(*values, strict=True), strict=True)))


def target_from_json(text: str) -> Target:
    """From `{"node": …, "metric": …, "agg": …, "timestamp": …}`."""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise Invalid(f"is no JSON: {error}", field="target") from None
    return target_from(found)


def target_from(found: Any) -> Target:
    if not isinstance(found, Mapping):
        raise Invalid('must be an object: {"node": …, "metric": …, "agg": …, "timestamp": …}', field="target")
    for name in ("node", "metric", "agg"):
        if not isinstance(found.get(name), str) or not found[name]:
            raise Invalid("must be a text", field=f"target.{name}")
    try:
        at = seconds(found.get("timestamp"))
    except Invalid as error:
        raise Invalid(error.message, field="target.timestamp") from None
    return Target(found["node"], found["metric"], found["agg"], at)


def metrics_from(found: Any, field: str) -> Metrics:
    """From `{"times": […], "columns": [{"node": …, "metric": …, "agg": …, "values": […]}]}`, a value for each time or None."""
    if not isinstance(found, Mapping) or not isinstance(found.get("times"), (list, tuple)) or not found["times"]:
        raise Invalid('must be {"times": […], "columns": […]} with at least one time', field=field)
    times: list[float] = []
    for index, at in enumerate(found["times"]):
        try:
            times.append(_time(at, times, "", 0))
        except Invalid as error:
            raise Invalid(error.message, field=f"{field}.times.{index}") from None
    columns: dict[Column, tuple[float, ...]] = {}
    for index, column in enumerate(found.get("columns") or ()):
        place = f"{field}.columns.{index}"
        try:
            key, values = (column["node"], column["metric"], column["agg"]), tuple(number(value) for value in column["values"])
        except (TypeError, KeyError):
            raise Invalid("must have node, metric, agg and values", field=place) from None
        except Invalid as error:
            raise Invalid(error.message, field=f"{place}.values") from None
        if len(values) != len(times):
            raise Invalid(f"{len(values)} values, there are {len(times)} times", field=f"{place}.values")
        columns[key] = values
    return Metrics(tuple(times), columns)


def _rows(lines: Iterable[str], file: str) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not empty, each with its line."""
    rows = csv.reader(lines)
    try:
        for row in rows:
            if row:
                yield rows.line_num, row
    except csv.Error as error:
        raise Invalid(f"is no CSV: {error}", file=file, line=rows.line_num, column=1) from None


def _cells(row: Sequence[str], file: str, line: int) -> list[float]:
    """The numbers behind the first cell; NaN for an empty one and for what stands for nothing."""
    try:
        found = [float(cell) if cell else math.nan for cell in row[1:]]
        return [value if math.isfinite(value) else math.nan for value in found]
    except ValueError:
        return [_cell(cell, file, line, column) for column, cell in enumerate(row[1:], 2)]


def _cell(text: str, file: str, line: int, column: int) -> float:
    try:
        return number(text)
    except Invalid as error:
        raise Invalid(error.message, file=file, line=line, column=column) from None


def _time(text: Any, before: Sequence[float], file: str, line: int) -> float:
    try:
        at = seconds(text)
    except Invalid as error:
        raise Invalid(error.message, file=file, line=line, column=1) from None
    if before and at <= before[-1]:
        raise Invalid("the times must rise", file=file, line=line, column=1)
    return at


def _is_name(text: str) -> bool:
    try:
        seconds(text)
    except Invalid:
        return True
    return False
