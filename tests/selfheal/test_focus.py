"""Where to look: a table of what was seen and what follows from it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfheal.canonical import dumps
from selfheal.focus import Drift, Seen, Strain, Unwell, as_document, distress, focus, from_document, rounded
from selfheal.states import FocusArea, Health, Level

SLOW = Drift("shop", 400.0, 200.0)
FULL = Strain("db", "db-01", "disk_free", 0.8)
DOWN = Unwell("db", Health.CRITICAL, 3, 1)


@pytest.mark.parametrize(
    ("seen", "area"),
    [
        (Seen(), "routine_maintenance"),
        (Seen(errors=10), "routine_maintenance"),
        (Seen(errors=11), "error_spike"),
        (Seen(blocked=5), "routine_maintenance"),
        (Seen(blocked=6), "trust_violations"),
        (Seen(drifts=(Drift("shop", 130.0, 100.0),)), "routine_maintenance"),
        (Seen(drifts=(Drift("shop", 131.0, 100.0),)), "latency_drift"),
        (Seen(strains=(Strain("db", "db-01", "disk_free", 0.49),)), "routine_maintenance"),
        (Seen(strains=(FULL,)), "capacity_strain"),
        (Seen(unwell=(Unwell("web", Health.CRITICAL, 0, 0),)), "routine_maintenance"),
        (Seen(unwell=(DOWN,)), "dependency_health"),
        (Seen(errors=11, blocked=6, drifts=(SLOW,), strains=(FULL,), unwell=(DOWN,)), "error_spike"),
        (Seen(blocked=6, drifts=(SLOW,)), "trust_violations"),
        (Seen(drifts=(SLOW,), strains=(FULL,)), "latency_drift"),
        (Seen(strains=(FULL,), unwell=(DOWN,)), "capacity_strain"),
    ],
)
def test_the_first_area_that_holds_is_the_focus(seen: Seen, area: str) -> None:
    assert focus(seen).area == area


def test_every_area_that_holds_is_among_the_reasons_and_says_what_it_saw() -> None:
    found = focus(Seen(entries=200, errors=30, drifts=(SLOW, Drift("web", 300.0, 100.0)), unwell=(DOWN,)))
    assert found.reasons == (
        "30 errors in the last 200 entries of 5 min, over 10",
        "web takes 300 ms, 3.0× of its usual 100 ms, and 1 more",
        "db is critical, 1 of the 3 that depend on it are unwell too",
    )


@pytest.mark.parametrize(("errors", "sure"), [(12, 0.59), (16, 0.77), (20, 0.95), (200, 0.95)])
def test_it_is_surer_the_further_it_is_over_the_limit(errors: int, sure: float) -> None:
    assert focus(Seen(errors=errors)).confidence == sure


@pytest.mark.parametrize(("unknown", "sure"), [(0, 0.95), (5, 0.72), (10, 0.5)])
def test_calm_is_worth_less_the_less_is_known(unknown: int, sure: float) -> None:
    assert focus(Seen(healthy=10 - unknown, unknown=unknown)).confidence == sure


@pytest.mark.parametrize(
    ("critical", "degraded", "incidents", "score", "level"),
    [
        (0, 0, 0, 0, Level.LOOSEN),
        (0, 1, 0, 10, Level.MAINTAIN),
        (2, 0, 0, 60, Level.MAINTAIN),
        (1, 1, 1, 60, Level.MAINTAIN),
        (2, 1, 0, 70, Level.TIGHTEN),
        (9, 9, 9, 100, Level.TIGHTEN),
    ],
)
def test_distress_recommends(critical: int, degraded: int, incidents: int, score: int, level: Level) -> None:
    found = distress(Seen(critical=critical, degraded=degraded, open_incidents=incidents))
    assert (found.score, found.recommends) == (score, level)


measured = st.floats(0.001, 1e6).map(rounded)
count = st.integers(0, 300)
names = st.text(max_size=20)
seen = st.builds(
    Seen,
    *[count] * 9,
    st.lists(st.builds(Drift, names, measured, measured), max_size=3).map(tuple),
    st.lists(st.builds(Strain, names, names, names, st.floats(0, 1).map(rounded)), max_size=3).map(tuple),
    st.lists(st.builds(Unwell, names, st.sampled_from(Health), count, count), max_size=3).map(tuple),
    names,
)


@given(seen)
def test_what_was_seen_survives_the_log_and_the_same_focus_follows_from_it(seen: Seen) -> None:
    again = from_document(json.loads(dumps(as_document(seen))))
    assert again == seen
    assert focus(again) == focus(seen)


@given(seen)
def test_there_is_always_one_focus_with_a_reason(seen: Seen) -> None:
    found = focus(seen)
    assert found.area in list(FocusArea)
    assert 0.5 <= found.confidence <= 0.95
    assert found.reasons
