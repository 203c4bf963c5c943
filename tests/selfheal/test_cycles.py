"""A cycle is decided again from its entry alone, and whoever changed the entry is found out."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfheal.canonical import dumps
from selfheal.cycles import Before, budget, decide, differences, grounds_document, probes, replay, tally
from selfheal.focus import Drift, Seen, Strain, as_document
from selfheal.guardrails import Grounds
from selfheal.states import FocusArea, Level

AT = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
BEFORE = Before(Level.MAINTAIN, AT)
GROUNDS = Grounds((True, False, True, True), ceiling=Level.LOOSEN)
SLOW = Seen(entries=120, errors=14, healthy=3, critical=1, drifts=(Drift("shop", 400.0, 200.0),))


def leaf(seen: Seen = SLOW, grounds: Grounds = GROUNDS, before: Before = BEFORE) -> dict[str, Any]:
    found = decide(seen, before, grounds, AT)
    payload = {
        "focus_area": found.focus.area.value,
        "confidence": f"{found.focus.confidence:.2f}",
        "guardrail_adjustment": found.level.value,
        "reasoning": found.reasoning,
        "advice": found.advice,
        "seen": as_document(seen),
        "grounds": grounds_document(before, grounds),
    }
    return json.loads(dumps({"at": "2026-11-25T12:00:00.000000Z", "payload": payload}))


@given(
    outcomes=st.lists(st.booleans(), max_size=10),
    storm=st.sampled_from(["", "9 of 12 services are unhealthy"]),
    unrest=st.sampled_from(["", "2 services are critical"]),
    levels=st.tuples(st.sampled_from(Level), st.sampled_from(Level)),
    minutes=st.integers(0, 60),
    errors=st.integers(0, 30),
)
def test_whatever_was_decided_follows_from_the_entry_again(
    outcomes: list[bool], storm: str, unrest: str, levels: tuple[Level, Level], minutes: int, errors: int
) -> None:
    before = Before(levels[0], AT - timedelta(minutes=minutes))
    grounds = Grounds(tuple(outcomes), storm, unrest, levels[1])
    assert replay(leaf(Seen(errors=errors, healthy=2), grounds, before)) == []


@pytest.mark.parametrize(
    ("path", "value", "part"),
    [
        (("focus_area",), "routine_maintenance", "focus_area"),
        (("confidence",), "0.10", "confidence"),
        (("guardrail_adjustment",), "loosen", "guardrail_adjustment"),
        (("reasoning",), [], "reasoning"),
        (("advice", "distress"), 0, "advice"),
        (("seen", "errors"), 0, "focus_area"),
        (("grounds", "storm"), "a storm", "guardrail_adjustment"),
        (("grounds", "outcomes"), [False] * 10, "guardrail_adjustment"),
    ],
)
def test_an_entry_that_does_not_follow_from_what_it_says_was_seen_is_found_out(path: Any, value: Any, part: str) -> None:
    changed = leaf()
    place = changed["payload"]
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    assert part in [line.partition(":")[0] for line in replay(changed)]


@pytest.mark.parametrize("gone", ["seen", "grounds"])
def test_an_entry_that_says_too_little_says_so(gone: str) -> None:
    changed = leaf()
    del changed["payload"][gone]
    assert replay(changed) == [f"the entry cannot be decided again: KeyError: '{gone}'"]


def test_each_part_of_which_log_and_tables_differ_is_named() -> None:
    log = leaf()["payload"]
    table = copy.deepcopy(log) | {"confidence": "0.99", "more": 1}
    assert [difference.field for difference in differences(log, table)] == ["confidence", "more"]
    assert differences(log, copy.deepcopy(log)) == []


@pytest.mark.parametrize(
    ("action", "result", "counted"),
    [
        ("run.failed", "ok", (1, 0)),
        ("step.timed_out", "ok", (1, 0)),
        ("step.unknown", "ok", (1, 0)),
        ("notification.given_up", "failed", (1, 0)),
        ("memory.denied", "blocked", (0, 1)),
        ("user.locked", "ok", (0, 1)),
        ("log.refused", "ok", (1, 0)),
        ("run.succeeded", "ok", (0, 0)),
        ("alerts.received", "ok", (0, 0)),
    ],
)
def test_an_entry_counts_as_an_error_or_as_blocked(action: str, result: str, counted: tuple[int, int]) -> None:
    assert tally([{"action": action, "result": result}]) == counted


@pytest.mark.parametrize(("area", "seconds", "expected"), [
    (FocusArea.ROUTINE_MAINTENANCE, 120, 20), (FocusArea.ROUTINE_MAINTENANCE, 40, 10), (FocusArea.CAPACITY_STRAIN, 40, 20),
    (FocusArea.ERROR_SPIKE, 1, 1),
])  # fmt: skip
def test_a_budget_is_a_part_of_a_cycle(area: FocusArea, seconds: int, expected: int) -> None:
    assert budget(area, seconds) == expected


def test_only_what_can_be_asked_for_is_probed() -> None:
    full = Seen(strains=(Strain("db", "db-01", "disk_free", 0.9), Strain("db", "db-01", "memory", 0.8)))
    assert probes(FocusArea.CAPACITY_STRAIN, full, ["disk_free", "up"]) == ["disk_free"]
    assert probes(FocusArea.LATENCY_DRIFT, Seen(), ["latency_ms", "up"]) == ["latency_ms"]
    assert probes(FocusArea.LATENCY_DRIFT, Seen(), []) == []
    assert probes(FocusArea.ROUTINE_MAINTENANCE, full, ["disk_free"]) == []
