"""What the roll-ups say equals what counting the leaves one by one says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from itertools import product
from typing import Any

import pytest

from learning.aggregates import SPANS, learning
from selfheal.lessons import WIDTH

from .conftest import BEGIN, Leaf, history

CHOICES: list[dict[str, str]] = [{}, {"service": "web"}, {"playbook": "scale"}, {"service": "shop", "playbook": "flush"}]
ENDS = ("succeeded", "failed", "rolled_back", "aborted", "held", "not_held")
NOW = BEGIN + timedelta(days=21, hours=2, minutes=17)


def runs_of(leaves: Iterable[Leaf]) -> list[dict[str, Any]]:
    """Each run as the facts that its leaves tell."""
    runs: dict[str, dict[str, Any]] = {}
    for each in leaves:
        name, at = each["action"].removeprefix("run."), datetime.fromisoformat(each["at"])
        run = runs.setdefault(each["resource"], {"at": {}, "by": {}})
        run["at"][name], run["by"][name] = at, each["actor"]
        if name == "proposed":
            run |= {key: each["payload"][key] for key in ("playbook", "service", "diagnosis", "since")}
    return list(runs.values())


def counted(runs: list[dict[str, Any]], begin: datetime | None, **chosen: str) -> list[dict[str, Any]]:
    """The runs that started since `begin`."""
    mine = [run for run in runs if all(run[key] == value for key, value in chosen.items())]
    return [run for run in mine if "running" in run["at"] and (begin is None or run["at"]["running"] >= begin)]


def begin_of(span: str) -> datetime | None:
    length = {"24h": timedelta(hours=24), "7d": timedelta(days=7), "all": None}[span]
    return (NOW - length).replace(minute=0, second=0, microsecond=0) if length else None


def test_rates_are_those_of_counting_one_by_one(learnt: Callable[..., Any]) -> None:
    runs = runs_of(learnt(history(seed=3, runs=400)))
    for span, chosen in product(SPANS, CHOICES):
        said, mine = learning(span, NOW, **chosen), counted(runs, begin_of(span), **chosen)
        assert said["total_runs"] == len(mine)
        assert {row["diagnosis"] for row in said["by_diagnosis"]} >= {run["diagnosis"] for run in mine}
        for row in said["by_diagnosis"]:
            rows = [run for run in mine if run["diagnosis"] == row["diagnosis"]]
            ends = Counter(name for run in rows for name in run["at"])
            assert row["total"] == len(rows)
            assert {name: row[name] for name in ENDS} == {name: ends[name] for name in ENDS}
            assert row["success_rate"] == (round(ends["succeeded"] / len(rows), 4) if rows else None)


def test_lessons_are_counted_by_status_in_their_own_hour(learnt: Callable[..., Any]) -> None:
    runs = runs_of(learnt(history(seed=4, runs=300)))
    begin = begin_of("7d")
    names = Counter(name for run in runs for name, at in run["at"].items() if begin and at >= begin)
    said = learning("7d", NOW)["by_status"]
    assert {name: said[name] for name in ("proposed", "rejected", "succeeded", "failed", "rolled_back")} == {
        name: names[name] for name in ("proposed", "rejected", "succeeded", "failed", "rolled_back")
    }
    assert said["approved"] + said["auto_approved"] == names["approved"]
    assert said["blocked"] + said["aborted"] == names["aborted"]


def test_the_time_to_repair_is_right_to_five_per_cent(learnt: Callable[..., Any]) -> None:
    runs = [run for run in runs_of(learnt(history(seed=5, runs=200))) if "succeeded" in run["at"] and run["service"] == "web"]
    times = sorted((run["at"]["succeeded"] - datetime.fromisoformat(run["since"])).total_seconds() for run in runs)
    exact = times[(len(times) + 1) // 2 - 1]
    (said,) = learning("all", NOW, service="web")["by_service"]
    assert exact <= said["mttr_seconds_p50"] + 0.05 <= exact * WIDTH + 0.1


@pytest.mark.django_db
def test_over_no_runs_a_rate_is_nothing() -> None:
    said = learning("24h", NOW)
    assert (said["total_runs"], said["overall_success_rate"]) == (0, None)
    assert said["aggregates"]["all"]["success_rate"] is None
    assert said["by_playbook"] == []


def test_the_best_lower_bound_is_ranked_first(learnt: Callable[..., Any]) -> None:
    learnt(history(seed=6, runs=300))
    bounds = [row["success_rate_lower_bound"] for row in learning("all", NOW)["playbook_rankings"]]
    assert bounds == sorted(bounds, reverse=True)
    assert len(bounds) == 3


def test_what_is_asked_of_the_database_does_not_grow(learnt: Callable[..., Any], django_assert_max_num_queries: Any) -> None:
    learnt(history(seed=7, runs=200))
    with django_assert_max_num_queries(14):
        learning("all", NOW)
