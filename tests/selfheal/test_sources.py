"""Terms of the sources, and what the two that are rules find."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfheal.sources import Course, Error, Terms, failing, recurring, refusal, shape_of, share


@pytest.mark.parametrize(
    ("confidence", "terms", "used", "expected"),
    [
        (0.9, Terms(False, 0.5, 5), 0, "disabled"),
        (0.49, Terms(True, 0.5, 5), 0, "confidence"),
        (0.5, Terms(True, 0.5, 5), 4, ""),
        (0.5, Terms(True, 0.5, 5), 5, "limit"),
        (1.0, Terms(True, 0.0, 0), 0, "limit"),
    ],
)
def test_terms_say_what_may_open_an_incident(confidence: float, terms: Terms, used: int, expected: str) -> None:
    assert refusal(confidence, terms, used) == expected


def errors(times: int, message: str = "No space left on device", target: str = "web-01") -> list[Error]:
    return [Error("web", target, message) for _ in range(times)]


@pytest.mark.parametrize(("times", "found"), [(2, 0), (3, 1), (9, 1)])
def test_three_times_the_same_error_is_a_pattern(times: int, found: int) -> None:
    assert len(recurring(errors(times))) == found


def test_errors_of_different_places_are_none() -> None:
    assert recurring([*errors(2), *errors(2, target="web-02")]) == []


def test_what_varies_does_not_tell_errors_apart() -> None:
    said = [f"write of block {n} at 0x{n:08x} failed: out of disk space" for n in range(1, 4)]
    (found,) = recurring([error for message in said for error in errors(1, message)])
    assert (found.diagnosis, found.confidence) == ("capacity_strain", 0.6)
    assert "write of block # at # failed" in found.title


@pytest.mark.parametrize(
    ("message", "diagnosis"),
    [
        ("connection refused", "elevated_errors"),
        ("the certificate has expired", "certificate_expiry"),
        ("host unreachable", "service_down"),
        ("it did not work", "general_degradation"),
    ],
)
def test_the_words_of_the_error_are_the_diagnosis(message: str, diagnosis: str) -> None:
    assert [each.diagnosis for each in recurring(errors(3, message))] == [diagnosis]


@given(st.integers(3, 50))
def test_it_is_surer_the_more_often_and_never_more_than_its_diagnosis(times: int) -> None:
    (found,) = recurring(errors(times, "host unreachable"))
    assert 0.6 <= found.confidence <= 0.75


@given(st.text(max_size=400))
def test_a_shape_is_short_and_has_no_number_and_is_its_own_shape(message: str) -> None:
    shape = shape_of(message)
    assert len(shape) <= 200
    assert not any(each in shape for each in "0123456789")
    assert shape_of(shape) == shape


@pytest.mark.parametrize(
    ("runs", "bad", "usual", "usual_bad", "found"),
    [
        (2, 2, 20, 0, False),
        (3, 3, 20, 0, True),
        (10, 3, 20, 0, True),
        (10, 2, 20, 0, False),
        (10, 8, 20, 10, True),
        (10, 7, 20, 10, False),
        (3, 2, 4, 0, True),
        (5, 2, 4, 0, False),
    ],
)
def test_a_playbook_that_goes_wrong_more_often_than_before_is_found(
    runs: int, bad: int, usual: int, usual_bad: int, found: bool
) -> None:
    assert bool(failing([Course("restart", "web", runs, bad, usual, usual_bad)])) is found


def test_a_service_is_named_once_with_the_worst_of_its_playbooks() -> None:
    found = failing(
        [Course("scale", "web", 4, 3, 20, 0), Course("restart", "web", 4, 4, 20, 2), Course("flush", "db", 4, 4, 0, 0)]
    )
    assert [(each.service, each.title.partition(" ")[0], each.confidence) for each in found] == [
        ("web", "restart", 0.9), ("db", "flush", 0.85),
    ]  # fmt: skip


@pytest.mark.parametrize(("good", "bad", "expected"), [(0, 0, None), (1, 0, 1.0), (1, 2, 0.333)])
def test_a_share_over_nothing_is_none(good: int, bad: int, expected: float | None) -> None:
    assert share(good, bad) == expected
