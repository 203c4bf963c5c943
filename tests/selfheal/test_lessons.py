"""Which lesson a leaf holds, and what rates and quantiles say."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfheal.lessons import WIDTH, bucket, lesson_of, lower_bound, quantile, rate

RUN = "00000000-0000-0000-0000-000000000001"


def leaf(action: str, actor: str = "worker", resource: str = f"run:{RUN}", **payload: Any) -> dict[str, Any]:
    at = "2026-11-25T12:00:00.000000Z"
    return {"actor": actor, "action": action, "resource": resource, "payload": payload, "at": at}


@pytest.mark.parametrize(
    ("given_leaf", "status", "result"),
    [
        (leaf("run.proposed", "scheduler"), "proposed", None),
        (leaf("run.approved", "policy"), "auto_approved", None),
        (leaf("run.approved", "ann"), "approved", None),
        (leaf("run.rejected", "ann", **{"from": "pending"}), "rejected", "rejected"),
        (leaf("run.aborted", "policy", **{"from": "proposed", "abort_reason": "policy"}), "blocked", "blocked"),
        (leaf("run.aborted", "policy", **{"from": "approved", "abort_reason": "change_window"}), "blocked", "blocked"),
        (leaf("run.aborted", **{"from": "pending", "abort_reason": "expired"}), "aborted", "aborted"),
        (leaf("run.aborted", **{"from": "running", "abort_reason": "timeout"}), "aborted", "timeout"),
        (leaf("run.aborted", **{"from": "running", "abort_reason": "kill_switch"}), "aborted", "aborted"),
        (leaf("run.succeeded", **{"from": "verifying"}), "succeeded", "ok"),
        (leaf("run.failed", **{"from": "verifying"}), "failed", "failed"),
        (leaf("run.rolled_back", **{"from": "rolling_back"}), "rolled_back", "rolled_back"),
    ],
)
def test_each_decision_and_outcome_is_a_lesson(given_leaf: dict[str, Any], status: str, result: str | None) -> None:
    lesson = lesson_of(given_leaf)
    assert lesson
    assert (lesson.run, lesson.status, lesson.result) == (RUN, status, result)


def test_only_what_had_started_has_ended() -> None:
    started = lesson_of(leaf("run.aborted", **{"from": "running", "abort_reason": "operator"}))
    waited = lesson_of(leaf("run.aborted", **{"from": "pending", "abort_reason": "operator"}))
    assert started
    assert waited
    assert (started.ended, waited.ended) == (True, False)


@pytest.mark.parametrize(
    "other",
    [leaf("run.queued"), leaf("run.batch"), leaf("step.running"), leaf("approval.vote"), leaf("run.succeeded", resource="map")],
)
def test_everything_else_teaches_nothing(other: dict[str, Any]) -> None:
    assert lesson_of(other) is None


def test_a_rate_over_none_is_nothing() -> None:
    assert rate(0, 0) is None
    assert lower_bound(0, 0) is None
    assert rate(1, 3) == 0.3333


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50), st.sampled_from([0.5, 0.9, 1.0]))
def test_a_quantile_is_at_most_five_per_cent_over_the_exact_one(seconds: list[float], share: float) -> None:
    counts: dict[int, int] = {}
    for each in seconds:
        counts[bucket(each)] = counts.get(bucket(each), 0) + 1
    said = quantile(counts, share)
    exact = sorted(seconds)[max(0, -(-round(share * len(seconds) * 10) // 10) - 1)]
    assert said is not None
    assert said >= exact * 0.999 - 0.1
    assert said <= max(1.0, exact * WIDTH) * 1.001 + 0.1


def test_a_quantile_of_nothing_is_nothing() -> None:
    assert quantile({}, 0.5) is None
