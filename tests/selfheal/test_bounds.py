from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from selfheal.bounds import Bound, matches, milliseconds
from selfheal.errors import Invalid


def bound(**fields):
    return Bound.model_validate(fields)


def refusal(value, **fields) -> str:
    with pytest.raises(Invalid) as caught:
        bound(**fields).accept(value, "parameters.x")
    assert caught.value.field.startswith("parameters.x")
    return caught.value.message


@pytest.mark.parametrize(
    ("text", "number"), [("250ms", 250), ("60s", 60_000), ("10m", 600_000), ("2h", 7_200_000), ("1d", 86_400_000)]
)
def test_a_duration_is_whole_milliseconds(text, number):
    assert milliseconds(text) == number


@pytest.mark.parametrize("text", ["", "60", "1.5s", "-1s", "10 m", "10M", "1m30s", "٣s", "9999999999s"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(Invalid, match="is no duration"):
        milliseconds(text)


@pytest.mark.parametrize(
    ("fields", "given", "typed"),
    [
        ({"type": "string"}, "a b", "a b"),
        ({"type": "string", "pattern": "^[a-z]+$"}, "abc", "abc"),
        ({"type": "string", "enum": ["a", "b"]}, "b", "b"),
        ({"type": "integer", "min": 1, "max": 3}, 3, 3),
        ({"type": "integer"}, "-12", -12),
        ({"type": "boolean"}, "true", True),
        ({"type": "boolean"}, False, False),
        ({"type": "duration", "max": "5m"}, "90s", 90_000),
        ({"type": "list", "items": {"type": "integer"}}, ["1", 2], [1, 2]),
    ],
)
def test_a_value_within_its_bounds_gets_its_type(fields, given, typed):
    accepted = bound(**fields).accept(given, "x")
    assert accepted == typed
    assert type(accepted) is type(typed)


@pytest.mark.parametrize(
    ("fields", "given", "said"),
    [
        ({"type": "string"}, 5, "must be a string, not 5"),
        ({"type": "string"}, "a\0b", "no argument can carry"),
        ({"type": "string"}, "\ud800", "no argument can carry"),
        ({"type": "string"}, "x" * 1001, "0 to 1000 characters"),
        ({"type": "string", "pattern": "[a-z]+"}, "ab\n", "must match"),
        ({"type": "string", "pattern": "[a-z]+"}, "ab;rm", "must match"),
        ({"type": "string", "enum": ["a"]}, "b", "must be one of a"),
        ({"type": "integer"}, True, "must be a whole number"),
        ({"type": "integer"}, 1.0, "must be a whole number"),
        ({"type": "integer"}, "1e3", "must be a whole number"),
        ({"type": "integer", "max": 3}, 4, "must be 3 or less"),
        ({"type": "integer", "min": 3}, 2, "must be 3 or more"),
        ({"type": "boolean"}, "yes", "must be true or false"),
        ({"type": "boolean"}, 1, "must be true or false"),
        ({"type": "duration", "min": "10s"}, "9s", "must be 10000 ms or more"),
        ({"type": "duration"}, 9, "must be a duration"),
        ({"type": "list", "items": {"type": "integer"}, "max_items": 1}, [1, 2], "at most 1"),
        ({"type": "list", "items": {"type": "integer"}}, ["a"], "must be a whole number"),
        ({"type": "list", "items": {"type": "integer"}}, "a", "must be a list"),
    ],
)
def test_a_value_out_of_its_bounds_is_refused_and_named(fields, given, said):
    assert said in refusal(given, **fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "strin"},
        {"type": "string", "min": 3},
        {"type": "integer", "pattern": "x"},
        {"type": "string", "pattern": "("},
        {"type": "string", "pattern": "a)|(?:b"},
        {"type": "string", "pattern": "(?=a)"},
        {"type": "string", "pattern": "a{1000}{1000}{1000}"},
        {"type": "integer", "min": 5, "max": 3},
        {"type": "integer", "min": "5s"},
        {"type": "duration", "min": 5},
        {"type": "list"},
        {"type": "list", "items": {"type": "list", "items": {"type": "string"}}},
        {"type": "integer", "enum": ["a"]},
        {"type": "boolean", "enum": ["a"]},
    ],
)
def test_bounds_that_cannot_hold_are_refused(fields):
    with pytest.raises(ValidationError):
        bound(**fields)


def test_a_pattern_costs_no_more_than_its_text():
    started = time.process_time()
    assert not matches("(a+)+$", "a" * 1000 + "!")
    assert time.process_time() - started < 5


@given(st.text(), st.from_regex(r"[a-z][a-z0-9@_.-]{0,20}", fullmatch=True))
def test_only_what_the_whole_pattern_matches_is_accepted(text, good):
    unit = bound(type="string", pattern="^[a-z][a-z0-9@_.-]{0,62}$")
    assert unit.accept(good, "x") == good
    try:
        accepted = unit.accept(text, "x")
    except Invalid:
        return
    assert accepted == text
    assert text.isascii()
    assert "\n" not in text
