from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfheal.guardrails import HOLD, JUDGED, LIMITS, Grounds, in_force, next_level, storm
from selfheal.states import Level

AT = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
LONG_AGO = AT - timedelta(hours=5)
CYCLE = timedelta(minutes=2)
T, M, L = Level


@pytest.mark.parametrize(
    ("unhealthy", "newly", "services", "expected"),
    [
        (4, 4, 5, False),
        (5, 0, 12, True),
        (5, 0, 13, False),
        (0, 5, 12, True),
        (6, 4, 100, False),
        (39, 39, 100, True),
    ],
)
def test_a_storm_needs_the_share_and_the_number(unhealthy: int, newly: int, services: int, expected: bool) -> None:
    assert bool(storm(unhealthy=unhealthy, newly_unhealthy=newly, services=services, percent=40, least=5)) is expected


def test_levels_only_get_wider() -> None:
    tighten, maintain, loosen = (LIMITS[level] for level in (Level.TIGHTEN, Level.MAINTAIN, Level.LOOSEN))
    assert tighten.confidence > maintain.confidence > loosen.confidence
    assert tighten.blast_radius < maintain.blast_radius < loosen.blast_radius
    assert tighten.impact.rank <= maintain.impact.rank <= loosen.impact.rank


def outcomes(held: int, of: int = JUDGED) -> tuple[bool, ...]:
    return (True,) * held + (False,) * (of - held)


@pytest.mark.parametrize(
    ("level", "held", "of", "ceiling", "expected"),
    [
        (M, 4, 10, L, T),
        (M, 5, 10, L, M),
        (M, 0, 3, L, T),
        (M, 0, 2, L, M),
        (L, 4, 10, L, T),
        (T, 5, 10, L, T),
        (T, 6, 10, L, M),
        (T, 0, 0, L, M),
        (T, 10, 10, L, M),
        (M, 9, 10, L, L),
        (M, 8, 10, L, M),
        (M, 9, 9, L, M),
        (M, 10, 10, M, M),
        (L, 8, 10, L, M),
        (L, 10, 10, M, M),
        (M, 10, 10, T, T),
        (T, 10, 10, T, T),
    ],
)
def test_a_level_follows_from_the_last_ten_outcomes(level: Level, held: int, of: int, ceiling: Level, expected: Level) -> None:
    assert next_level(level, LONG_AGO, Grounds(outcomes(held, of), ceiling=ceiling), AT)[0] is expected


def test_only_the_last_ten_outcomes_count() -> None:
    assert next_level(M, LONG_AGO, Grounds(outcomes(10, 40), ceiling=L), AT)[0] is L


@pytest.mark.parametrize("level", list(Level))
def test_a_storm_tightens_at_once_whatever_came_of_runs(level: Level) -> None:
    grounds = Grounds(outcomes(10), storm="9 of 12 services are unhealthy", ceiling=L)
    assert next_level(level, AT, grounds, AT) == (T, "a storm: 9 of 12 services are unhealthy")


def test_it_is_loosened_only_while_it_is_calm() -> None:
    level, why = next_level(M, LONG_AGO, Grounds(outcomes(10), unrest="2 services are critical", ceiling=L), AT)
    assert (level, why) == (M, "10 of the last 10 outcomes held, but it is not calm: 2 services are critical")


@pytest.mark.parametrize(("minutes", "expected"), [(0, T), (29, T), (30, M), (90, M)])
def test_a_level_stands_half_an_hour_before_it_is_loosened(minutes: int, expected: Level) -> None:
    assert next_level(T, AT - timedelta(minutes=minutes), Grounds(outcomes(10), ceiling=L), AT)[0] is expected


def test_a_clock_that_was_set_back_keeps_no_level_for_ever() -> None:
    assert next_level(T, AT + timedelta(days=1), Grounds(outcomes(10)), AT)[0] is M


@given(period=st.integers(1, 60), cycles=st.integers(10, 300), seconds=st.integers(1, 600), ceiling=st.sampled_from(Level))
def test_under_a_square_wave_of_outcomes_it_is_loosened_at_most_once_in_half_an_hour(
    period: int, cycles: int, seconds: int, ceiling: Level
) -> None:
    level, since, at, came = M, LONG_AGO, AT, list(outcomes(10))
    loosened: list[datetime] = []
    tightened = 0
    for cycle in range(cycles):
        came = [(cycle // period) % 2 == 0, *came][:JUDGED]
        after, _ = next_level(level, since, Grounds(came, ceiling=ceiling), at)
        if after is not level:
            looser = list(Level).index(after) > list(Level).index(level)
            loosened += [at] if looser else []
            tightened += not looser
            level, since = after, at
        at += timedelta(seconds=seconds)
    assert all(later - earlier >= HOLD for earlier, later in pairwise(loosened))
    assert tightened <= len(loosened) + 2  # from `loosen` it can fall twice for one loosening before: to `maintain`, to `tighten`


@given(wave=st.lists(st.booleans(), min_size=1, max_size=60), since=st.integers(0, 90), ceiling=st.sampled_from(Level))
def test_it_is_never_looser_than_its_ceiling(wave: list[bool], since: int, ceiling: Level) -> None:
    for level in Level:
        after, _ = next_level(level, AT - timedelta(minutes=since), Grounds(wave, ceiling=ceiling), AT)
        assert list(Level).index(after) <= list(Level).index(ceiling)


@pytest.mark.parametrize(
    ("said", "seconds", "ceiling", "expected"),
    [
        (T, 0, M, T),
        (T, 360, M, T),
        (T, 361, M, M),
        (T, -120, M, T),
        (T, -121, M, M),
        (L, 0, M, M),
        (L, 0, L, L),
        (L, 361, L, M),
        (M, 0, T, T),
        (M, 361, T, T),
    ],
)
def test_what_counts_is_what_was_said_lately_or_normal(said: Level, seconds: int, ceiling: Level, expected: Level) -> None:
    assert in_force(said, AT - timedelta(seconds=seconds), ceiling=ceiling, cycle=CYCLE, at=AT)[0] is expected


def test_without_a_meta_loop_the_level_is_normal() -> None:
    assert in_force(M, None, cycle=CYCLE, at=AT) == (M, "no meta loop has said another")
