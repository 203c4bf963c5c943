from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfheal.batches import SHOWN, Standing, named, next_batch, no_room, standing, tally

TARGETS = ["a", "b", "c", "d", "e"]
OK, WAITS, RUNS = "succeeded", "pending", "running"


@pytest.mark.parametrize(
    ("steps", "looks", "touched", "expected"),
    [
        ([WAITS, WAITS], [], False, Standing.UNTOUCHED),
        ([WAITS, WAITS], [], True, Standing.BEGUN),  # its worker died, and the first step may run again
        ([OK, WAITS], [], True, Standing.BEGUN),
        ([OK, OK], [], True, Standing.BEGUN),
        ([OK, OK], [RUNS], True, Standing.BEGUN),
        ([OK, OK], [OK], True, Standing.DONE),
        ([OK, OK], ["failed"], True, Standing.FAILED),
        ([OK, "unknown"], [], True, Standing.FAILED),
        (["rolled_back", WAITS], [], True, Standing.FAILED),
        ([OK, "skipped"], [], True, Standing.FAILED),
    ],
)
def test_how_far_it_is_with_a_target_is_read_from_its_rows(steps, looks, touched, expected):
    assert standing(steps, looks, 1, touched=touched) is expected


def test_what_was_begun_is_finished_first_and_what_is_down_comes_before_what_is_up():
    standings = dict.fromkeys(TARGETS, Standing.UNTOUCHED)
    assert next_batch(standings, {"a", "b", "d"}, 2) == ["c", "e"]
    assert next_batch(standings, {"a", "b", "d", "e"}, 2) == ["c", "a"]
    assert next_batch({**standings, "d": Standing.BEGUN}, {"a"}, 2) == ["d"]
    assert next_batch({**standings, "a": Standing.DONE, "b": Standing.FAILED}, set(TARGETS), 2) == ["c", "d"]
    assert next_batch(dict.fromkeys(TARGETS, Standing.DONE), set(TARGETS), 2) == []


@settings(max_examples=300)
@given(
    st.dictionaries(st.sampled_from(TARGETS), st.sampled_from(list(Standing))),
    st.sets(st.sampled_from(TARGETS)),
    st.integers(1, 6),
    st.integers(0, 6),
)
def test_a_batch_that_has_room_leaves_enough_healthy_ones_alone(standings, healthy, size, least):
    batch = next_batch(standings, healthy, size)
    if batch and not no_room(batch, healthy, least):
        assert len(healthy - set(batch)) >= least
    assert all(standings[target] in (Standing.BEGUN, Standing.UNTOUCHED) for target in batch)


def test_the_reason_has_the_numbers_and_the_names():
    assert no_room(["a"], ["a", "b"], 1) == ""
    assert no_room(["a"], ["a", "b"], 2) == "beside a only 1 targets are healthy, and 2 have to be: b"


def test_the_tally_names_few_and_counts_the_rest():
    assert tally({"a": Standing.DONE, "b": Standing.UNTOUCHED, "c": Standing.DONE}) == "done: a, c; not touched: b"
    assert named([str(n) for n in range(SHOWN + 3)]).endswith("19 and 3 more")
