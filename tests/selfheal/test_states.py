from __future__ import annotations

import pytest

from selfheal.states import ALIVE_RUN, MOVES, OUTCOME_OF, RunStatus, may_move, sources_of


def test_a_run_that_is_over_goes_nowhere() -> None:
    assert all(status not in MOVES["run"] for status in OUTCOME_OF)


def test_every_run_status_is_alive_or_has_an_outcome() -> None:
    assert {*ALIVE_RUN, *OUTCOME_OF} == set(RunStatus)


@pytest.mark.parametrize("kind", list(MOVES))
def test_every_state_of_a_table_can_be_reached(kind: str) -> None:
    reached = {to for targets in MOVES[kind].values() for to in targets}
    first = next(iter(MOVES[kind]))
    assert set(MOVES[kind]) - {first} <= reached


def test_a_run_starts_only_from_queued() -> None:
    assert sources_of("run", "running") == ("queued",)
    assert not may_move("run", "approved", "running")
