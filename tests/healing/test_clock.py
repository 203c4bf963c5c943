"""A host with a wrong clock does nothing by it; the others go on."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from healing import clock, findings, heartbeats, scheduler, tasks
from healing.jobs import claim_slot
from healing.ledger.sequencer import Sequencer
from healing.models import JobSlot, Lease
from healing.runs import starting

SECOND = timedelta(seconds=1)


@pytest.fixture
def wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "ahead", lambda: -73 * SECOND)


@pytest.mark.parametrize(
    ("before", "there", "after", "ahead"),
    [(0, 1, 2, 0), (1, 0, 2, 1), (0, 0, 0, 0), (0, 9, 2, -7)],
    ids=["between", "the host is ahead", "the same", "the host is behind"],
)
def test_the_way_there_and_back_does_not_count(at: datetime, before: int, there: int, after: int, ahead: int) -> None:
    assert clock.difference(at + before * SECOND, at + there * SECOND, at + after * SECOND) == ahead * SECOND


@pytest.mark.django_db
def test_a_host_that_is_an_hour_ahead_of_its_database_server_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "_now", lambda: timezone.now() + timedelta(hours=1))
    off = clock.ahead()
    assert off == timedelta(0) if connection.vendor == "sqlite" else abs(off - timedelta(hours=1)) < SECOND


@pytest.mark.django_db
def test_a_host_with_a_wrong_clock_takes_no_slot_and_leaves_it_to_others(wrong: None, at: datetime) -> None:
    assert not claim_slot("tick", 30, at)
    assert not JobSlot.objects.exists()


@pytest.mark.django_db
def test_a_worker_with_a_wrong_clock_claims_no_run_and_says_why(
    wrong: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    claimed: list[object] = []
    monkeypatch.setattr(starting, "claim", lambda *given: claimed.append(given))
    with caplog.at_level(logging.ERROR, "healing.clock"):
        tasks.execute_run("6f2f4d1e-3f0e-4f5f-9a55-8ad1a3a1f0aa")
    assert not claimed
    assert caplog.messages == ["nothing is started here: the clock is 73 s behind the database's"]


@pytest.mark.django_db
def test_the_process_with_the_wrong_clock_is_named(wrong: None, at: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    heartbeats.beat("runs-7@attic", "worker:runs", at)
    monkeypatch.setattr(clock, "ahead", lambda: timedelta(0))
    heartbeats.beat("runs-8@cellar", "worker:runs", at + 73 * SECOND)
    found = findings.clocks(at + 73 * SECOND)
    assert (found.ok, found.found) == (False, "runs-7@attic: the clock is 73 s behind the database's")


@pytest.mark.django_db
def test_a_process_with_a_wrong_clock_that_is_gone_is_not_named_any_more(wrong: None, at: datetime) -> None:
    heartbeats.beat("runs-7@attic", "worker:runs", at)
    assert findings.clocks(at + 73 * SECOND + heartbeats.STALE + SECOND).ok


@pytest.mark.django_db
def test_a_process_with_a_wrong_clock_does_not_count_as_gone(wrong: None, at: datetime) -> None:
    heartbeats.beat("beat-1@attic", "beat", at)
    assert "beat" not in heartbeats.missing(at + 73 * SECOND)


@pytest.mark.django_db
def test_a_worker_with_a_wrong_clock_looks_at_no_incident(wrong: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "look", lambda at: pytest.fail("it looked"))
    tasks.look()


@pytest.mark.django_db
def test_a_sequencer_that_is_an_hour_ahead_does_not_hold_the_lease_for_an_hour(
    at: datetime, monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path
) -> None:
    settings.SELF_HEAL_SIGNING_KEY_FILE = tmp_path / "signing.key"
    monkeypatch.setattr(clock, "ahead", lambda: timedelta(hours=1))
    Sequencer().look(at + timedelta(hours=1))
    assert Lease.objects.get(name="sequencer").expires_at <= at + timedelta(seconds=15)
