from __future__ import annotations

import pytest

from selfheal.changes import MOST, Change, changes, words


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": {"b": [1, {"c": 2}]}}, {"a": {"b": [1, {"c": 3}]}}, [("a.b.1.c", 2, 3)]),
        ({"a": 1}, {"b": 1}, [("a", 1, None), ("b", None, 1)]),
        ({"a": [1, 2]}, {"a": [1]}, [("a.1", 2, None)]),
        ({"a": [1, 2]}, {"a": [0, 1, 2]}, [("a.0", None, 0)]),
        ({"a": [{"b": 1}, {"b": 2}]}, {"a": [{"b": 1}, {"b": 3}, {"b": 2}]}, [("a.1", None, {"b": 3})]),
        ({"a": [1, 1]}, {"a": [1]}, [("a.0", 1, None)]),
        ({"a": [1]}, {"a": []}, [("a.0", 1, None)]),
        ({"a": None}, {}, [("a", None, None)]),
        ({"a": {"b": 1}}, {"a": 1}, [("a", {"b": 1}, 1)]),
    ],
)
def test_each_place_that_differs_is_named(before: dict, after: dict, found: list) -> None:
    assert changes(before, after) == [Change(*each) for each in found]


def test_the_words_say_what_was_and_what_is() -> None:
    assert words(changes({"a": 1, "b": 2}, {"a": "x" * 500})) == f"a was 1 and is 'x{'x' * 197}…; b was 2 and is nothing"


def test_a_long_list_is_cut() -> None:
    assert len(changes({str(n): n for n in range(500)}, {})) == MOST
