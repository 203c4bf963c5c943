"""What programs are told of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import override_settings
from django.utils import timezone

from healing import access
from tests.healing.api.conftest import Api, problem, user

from .conftest import history

LEARNING, OUTCOMES = "api/self_heal/learning", "api/self_heal/learning/outcomes"


@pytest.fixture
def reader(db: None) -> Api:
    access.ensure_roles(timezone.now())
    return Api(user("reader", "viewer"), "read")


def test_it_answers_with_the_shape_of_the_contract(reader: Api, learnt: Callable[..., Any]) -> None:
    learnt(history(seed=8, runs=30))
    said = reader.call("get", LEARNING).json()
    assert list(said) == [
        "time_bucket", "time_range", "total_runs", "overall_success_rate", "by_status", "by_diagnosis", "by_playbook",
        "by_service", "playbook_rankings", "recent_trends", "aggregates", "metadata",
    ]  # fmt: skip
    assert {"diagnosis", "total", "succeeded", "success_rate_lower_bound", "mttr_seconds_p50"} <= set(said["by_diagnosis"][0])
    assert set(said["aggregates"]) == {"all", "24h", "7d"}
    assert said["total_runs"] == sum(row["total"] for row in said["by_service"])


def test_outcomes_come_newest_first_and_as_many_as_asked(reader: Api, learnt: Callable[..., Any]) -> None:
    learnt(history(seed=9, runs=30))
    said = reader.call("get", f"{OUTCOMES}?limit=5").json()
    indexes = [row["index"] for row in said["results"]]
    assert len(indexes) == 5
    assert indexes == sorted(indexes, reverse=True)
    assert said["next"]


def test_a_span_that_is_none_is_named(reader: Api) -> None:
    assert "time_bucket: is one of 24h, 7d, all" in problem(reader.call("get", f"{LEARNING}?time_bucket=1y"), 400)["detail"]


@pytest.mark.parametrize("path", [LEARNING, OUTCOMES])
def test_it_is_for_who_may_read_while_the_mode_is_on(path: str, reader: Api) -> None:
    problem(Api(user("mem", "viewer"), "memory").call("get", path), 403)
    with override_settings(SELF_HEAL_EXECUTE=False, SELF_HEAL_OBSERVE_ONLY=False):
        problem(reader.call("get", path), 404)
