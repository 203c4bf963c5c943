"""Graph, metrics and target as they are read, and what is said of what cannot be."""

from __future__ import annotations

import math

import pytest

from selfheal.errors import Invalid
from selfheal.rootcause import Target, graph_from_csv, metrics_from, metrics_from_csv, target_from_json

GRAPH = ",a,b\na,0.0,1.0\nb,0.0,0.0\n"
METRICS = "microservice,a,b\nmetric,latency,latency\nstatistic,Average,Average\nunix_timestamp,,\n60,1.5,\n120,2,3\n"
TARGET = '{"node": "a", "metric": "latency", "agg": "Average", "timestamp": 60}'


def test_a_line_of_the_graph_is_a_caller() -> None:
    assert graph_from_csv(GRAPH.splitlines()) == {"a": ["b"], "b": []}


def test_an_empty_cell_was_not_measured() -> None:
    assert math.isnan(metrics_from_csv(METRICS.splitlines()).columns["b", "latency", "Average"][0])


def test_each_row_has_its_time() -> None:
    assert metrics_from_csv(METRICS.splitlines()).times == (60, 120)


def test_the_line_that_names_the_times_may_be_missing() -> None:
    lines = [line for line in METRICS.splitlines() if not line.startswith("unix")]
    assert metrics_from_csv(lines).times == (60, 120)


def test_a_target_is_an_object_of_four_fields() -> None:
    assert target_from_json(TARGET) == Target("a", "latency", "Average", 60)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", (1, 1)),
        (GRAPH.replace("0.0,1.0", "0.0,yes"), (2, 3)),
        (GRAPH.replace("b,0.0,0.0", "b,0.0"), (3, 2)),
        (GRAPH.replace("b,0.0", "a,0.0"), (3, 1)),
    ],
)
def test_a_graph_that_cannot_be_read_is_refused_by_line_and_column(text: str, place: tuple[int, int]) -> None:
    with pytest.raises(Invalid) as raised:
        graph_from_csv(text.splitlines(), "g.csv")
    assert (raised.value.file, raised.value.line, raised.value.column) == ("g.csv", *place)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", (1, 1)),
        ("timestamp,value\n1,2\n", (1, 1)),
        (METRICS.replace("1.5", "fast"), (5, 2)),
        (METRICS.replace("120,2,3", "120,2"), (6, 2)),
        (METRICS.replace("120,", "60,"), (6, 1)),
        (METRICS.replace("120,", "noon,"), (6, 1)),
        (METRICS.replace("microservice,a,b", "microservice,a,a"), (1, 3)),
        (METRICS.partition("60,")[0], (4, 1)),
    ],
)
def test_metrics_that_cannot_be_read_are_refused_by_line_and_column(text: str, place: tuple[int, int]) -> None:
    with pytest.raises(Invalid) as raised:
        metrics_from_csv(text.splitlines(), "m.csv")
    assert (raised.value.file, raised.value.line, raised.value.column) == ("m.csv", *place)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("{", "target"),
        ("[]", "target"),
        (TARGET.replace('"a"', "1"), "target.node"),
        (TARGET.replace('"agg"', '"how"'), "target.agg"),
        (TARGET.replace("60", '"noon"'), "target.timestamp"),
    ],
)
def test_a_target_that_cannot_be_read_is_refused_by_its_field(text: str, field: str) -> None:
    with pytest.raises(Invalid) as raised:
        target_from_json(text)
    assert raised.value.field == field


@pytest.mark.parametrize(
    ("facts", "field"),
    [
        (None, "normal"),
        ({"times": []}, "normal"),
        ({"times": [2, 1]}, "normal.times.1"),
        ({"times": [1], "columns": [{"node": "a"}]}, "normal.columns.0"),
        ({"times": [1], "columns": [{"node": "a", "metric": "m", "agg": "g", "values": [1, 2]}]}, "normal.columns.0.values"),
        ({"times": [1], "columns": [{"node": "a", "metric": "m", "agg": "g", "values": ["x"]}]}, "normal.columns.0.values"),
    ],
)
def test_metrics_as_facts_are_refused_by_the_fact(facts: object, field: str) -> None:
    with pytest.raises(Invalid) as raised:
        metrics_from(facts, "normal")
    assert raised.value.field == field
