from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from healing import heartbeats
from healing.jobs import KEPT, claim_slot
from healing.models import Heartbeat, JobSlot

pytestmark = pytest.mark.django_db


def test_one_caller_gets_a_slot_and_the_next_slot_is_free(at: datetime) -> None:
    assert claim_slot("tick", 30, at)
    assert not claim_slot("tick", 30, at + timedelta(seconds=29))
    assert claim_slot("tick", 30, at + timedelta(seconds=30))


def test_jobs_do_not_take_each_others_slots(at: datetime) -> None:
    assert claim_slot("tick", 5, at)
    assert claim_slot("watchdog", 5, at)


def test_a_clock_that_was_set_back_does_not_stop_a_job(at: datetime) -> None:
    assert claim_slot("tick", 5, at + timedelta(days=1))
    assert claim_slot("tick", 5, at)


def test_old_slots_are_deleted(at: datetime) -> None:
    claim_slot("watchdog", 5, at)
    for step in range(KEPT * 3):
        claim_slot("tick", 5, at + timedelta(seconds=5 * step))
    assert JobSlot.objects.filter(job="tick").count() <= KEPT * 2
    assert JobSlot.objects.filter(job="watchdog").count() == 1


def test_what_has_not_beaten_for_a_while_is_missing(at: datetime) -> None:
    heartbeats.beat("a", "beat", at - timedelta(seconds=30))
    heartbeats.beat("s", "sequencer", at - timedelta(seconds=10))
    assert heartbeats.missing(at) == ["worker:control", "worker:runs", "beat"]


def test_a_second_beat_of_a_process_moves_its_row(at: datetime) -> None:
    heartbeats.beat("a", "beat", at - timedelta(seconds=30))
    heartbeats.beat("a", "beat", at)
    assert Heartbeat.objects.get().at == at


def test_a_process_that_ends_takes_its_row_along_and_a_dead_one_is_forgotten(at: datetime) -> None:
    heartbeats.beat("dead", "beat", at - timedelta(hours=2))
    heartbeats.beat("a", "beat", at)
    assert not Heartbeat.objects.filter(name="dead").exists()
    heartbeats.forget("a")
    assert not Heartbeat.objects.exists()


def test_a_beat_from_the_future_does_not_count_for_ever(at: datetime) -> None:
    heartbeats.beat("a", "beat", at + timedelta(days=1))
    assert "beat" in heartbeats.missing(at)
