"""What memory learns: what was of use counts, and what is asked often and found seldom is suggested elsewhere."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from learning.broker.models import Memory, Pattern
from tests.learning.conftest import history, store_rest

from .conftest import Asking, logged


@pytest.fixture
def followed() -> Callable[[], None]:
    """Everything in the outbox becomes an entry, and is read."""
    from learning.follow import follow

    def read() -> None:
        store_rest()
        while follow():
            continue

    return read


def test_what_was_of_use_counts_once_the_log_was_read(web: Asking, followed: Callable[[], None]) -> None:
    key = web.store("restart helps")
    web.query(query="restart")
    web.query(query="restart", used=[key])
    followed()
    assert Memory.objects.get().uses == 1
    assert web.query(query="restart")["memories"][0]["why"]["frequency"] == 0.01


def test_what_was_not_returned_to_somebody_cannot_be_of_use_to_them(
    web: Asking, host: Asking, followed: Callable[[], None]
) -> None:
    key = web.store("restart helps")
    web.query(query="restart")
    host.query("host", used=[key, str(uuid.uuid4())])
    followed()
    assert Memory.objects.get().uses == 0
    assert logged("memory.used") == []


def test_what_is_asked_often_and_found_seldom_suggests_to_ask_others(web: Asking, followed: Callable[[], None]) -> None:
    assert [web.query(query="disk full")["suggestions"] for _ in range(3)] == [[], [], []]
    followed()
    (said,) = web.query(query="full disk")["suggestions"]
    assert "found little 3 times" in said


@pytest.mark.usefixtures("db")
def test_each_outcome_is_one_memory_of_its_services_domain(learnt: Callable[..., Any]) -> None:
    leaves = learnt(history(seed=11, runs=60))
    ends = ("succeeded", "failed", "rolled_back", "aborted", "rejected")
    over = {leaf["resource"].removeprefix("run:"): leaf for leaf in leaves if leaf["action"].removeprefix("run.") in ends}
    remembered = {row.content["run"]: row for row in Memory.objects.filter(source="outcome")}
    assert remembered.keys() == over.keys()
    assert {row.domain for row in remembered.values()} == {"host", "shop"}
    held = {leaf["resource"].removeprefix("run:") for leaf in leaves if leaf["action"] == "run.held"}
    assert {run for run, row in remembered.items() if row.content["held"]} == held


@pytest.mark.usefixtures("db")
def test_from_the_third_run_on_a_pattern_is_a_memory_that_does_not_expire(learnt: Callable[..., Any]) -> None:
    leaves = learnt(history(seed=12, runs=60))
    started = {leaf["resource"] for leaf in leaves if leaf["action"] == "run.running"}
    assert sum(sum(row.results.values()) for row in Pattern.objects.all()) == len(started)
    often = [row for row in Pattern.objects.all() if sum(row.results.values()) >= 3]
    known = {(row.content["service"], row.content["diagnosis"], row.content["playbook"]) for row in _patterns()}
    assert known == {(row.service, row.diagnosis, row.playbook) for row in often}
    assert all(row.expires_at is None for row in _patterns())


def _patterns() -> list[Memory]:
    return list(Memory.objects.filter(source="pattern"))


def test_a_stored_memory_has_its_digest_in_the_log_and_not_its_text(web: Asking) -> None:
    web.store("restart helps")
    (leaf,) = logged("memory.stored")
    assert "restart" not in str(leaf)
    assert len(leaf["payload"]["sha256"]) == 64
    assert Memory.objects.get().at <= timezone.now()
