from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from selfheal.documents import read, shaped
from selfheal.errors import Invalid, InvalidDocument
from selfheal.queries import QueriesFile, Query

FREE = {
    "promql": '100 * free{instance=${args.host}, mount!=${args.mount}, fs=~"ext4|xfs"} / size{instance=${args.host}}[5m]',
    "args": {"host": {"type": "string", "pattern": "(?s).*"}, "mount": {"type": "string", "enum": ["/", "/var"]}},
    "unit": "percent",
}


def query(**changes) -> Query:
    return Query.model_validate({**FREE, **changes})


def one(promql: str) -> Query:
    return Query.model_validate({"promql": promql, "args": {"x": {"type": "integer"}}})


def test_slots_become_quoted_values_of_labels():
    filled = query().fill({"host": "web-01", "mount": "/"})
    assert filled == '100 * free{instance="web-01", mount!="/", fs=~"ext4|xfs"} / size{instance="web-01"}[5m]'


def test_a_number_is_quoted_too():
    assert one("up{shard=${args.x}}").fill({"x": 7}) == 'up{shard="7"}'


@settings(max_examples=200)
@given(st.text(max_size=50).filter(lambda text: "\0" not in text))
def test_a_value_stays_one_string_whatever_it_holds(text):
    filled = Query.model_validate({"promql": "up{a=${args.host}}", "args": {"host": FREE["args"]["host"]}}).fill({"host": text})
    assert json.loads(filled.removeprefix("up{a=").removesuffix("}")) == text
    assert "\n" not in filled


@pytest.mark.parametrize(
    ("promql", "said"),
    [
        ('up{a="${args.x}"}', "a slot stands without quotes"),
        ("up{a=~${args.x}}", "is no label's value"),
        ("up{a!~${args.x}}", "is no label's value"),
        ("up > ${args.x}", "is no label's value"),
        ("up == ${args.x}", "is no label's value"),
        ("up[${args.x}]", "is no label's value"),
        ("${args.x}{a=1}", "is no label's value"),
        ("sum by (${args.x}) (up)", "is no label's value"),
        ("up{a=${args.x}${args.x}}", "is no label's value"),
        ("up # ${args.x}\n", "is no slot"),
        ("up{a=${params.x}}", "is no slot"),
        ("up{a=${args.x}, ", "'{' is not closed"),
        ("up{a=${args.x}}}", "'}' closes nothing"),
        ("(up{a=${args.x},)}", "')' closes nothing"),
        ('up{a=${args.x}, b="c}', "a quote is not closed"),
        ("up{a=${args.x}} > $y", "`$` stands for a slot"),
        ("up", "'x' is declared and has no slot"),
        ("up{a=${args.x}, b=${args.y}}", "'y' has no bound"),
        ("x" * 5000, "at most 4000 characters"),
    ],
)
def test_what_could_put_a_value_elsewhere_is_refused(promql, said):
    with pytest.raises(ValidationError, match=re.escape(said)):
        one(promql)


def test_text_without_bounds_is_refused():
    with pytest.raises(ValidationError, match="needs a `pattern` or an `enum`"):
        Query.model_validate({"promql": "up{a=${args.x}}", "args": {"x": {"type": "string"}}})


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"host": "a"}, "args.mount"),
        ({"host": "a", "mount": "/tmp"}, "args.mount"),
        ({"host": "a", "mount": "/", "more": 1}, "args.more"),
    ],
)
def test_a_wrong_argument_is_named(given, field):
    with pytest.raises(Invalid) as caught:
        query().fill(given)
    assert caught.value.field == field


def test_a_fault_says_file_line_and_column():
    document = read("free:\n  promql: up > ${args.x}\n  agrs: {x: {type: integer}}\n", "queries.yaml")
    with pytest.raises(InvalidDocument) as caught:
        shaped(document, QueriesFile)
    assert str(caught.value) == "queries.yaml:3:3: unknown key 'agrs'; did you mean 'args'?"
    with pytest.raises(InvalidDocument, match="no label's value") as caught:
        shaped(read("free:\n  promql: up > ${args.x}\n  args: {x: {type: integer}}\n", "queries.yaml"), QueriesFile)
    assert (caught.value.line, caught.value.column) == (2, 3)
