from __future__ import annotations

import pytest

from selfheal.guardrails import LIMITS, storm
from selfheal.states import Level


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
