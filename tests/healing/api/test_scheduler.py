"""The shapes of contract §6, key by key, and that they say what is so."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from healing import counters
from healing.models import Backoff, JobRun
from tests.factories import make_incident, make_run, make_service

from .conftest import problem

NUMBERS = {
    "proposed", "skipped_rate", "skipped_backoff", "skipped_dup", "skipped_window", "skipped_storm", "skipped_unmapped",
    "skipped_no_playbook", "skipped_silenced", "skipped_mode", "last_updated",
}  # fmt: skip
SHAPE = {
    "scheduler_state": {"poll_interval_seconds", "running", "last_tick_at", "last_tick_seconds"},
    "global": NUMBERS,
    "per_service": {"web"},
    "backoff": {"active_count", "services"},
    "rate_limiting": {"active_count", "services"},
    "statistics": {"total_backoff_entries", "total_rate_tracked_services"},
    "metadata": {"timestamp", "observe_only", "execute_enabled"},
}
MINUTE = timedelta(minutes=1)


def ticked(**fields):
    now = timezone.now()
    JobRun.objects.create(**{"job": "tick", "started_at": now, "finished_at": now, "seconds": 0.25, **fields})


def test_an_installation_that_has_just_begun_counts_nothing(reader):
    found = reader.get("scheduler_counters").json()
    assert {name: set(part) for name, part in found.items()} == {**SHAPE, "per_service": set()}
    assert found["global"] == {**dict.fromkeys(NUMBERS, 0), "last_updated": None}
    assert found["scheduler_state"] == {
        "poll_interval_seconds": 30, "running": False, "last_tick_at": None, "last_tick_seconds": None,
    }  # fmt: skip
    assert found["backoff"] == {"active_count": 0, "services": []}


def test_counters_waits_and_rates_key_by_key(reader):
    at, web = timezone.now(), make_service("web")
    tally = counters.Tally()
    for reason in ("rate", "backoff", "dup", "no_playbook", "silenced", "kill_switch", "flapping"):
        tally.skipped(reason, "web")
    tally.proposed({"rules": [{"rule": "storm", "verdict": "approval"}, {"rule": "change_window", "verdict": "defer"}]}, "web")
    tally.write(at)
    counters.add({("", "skipped_unmapped"): 4}, at)
    run = make_run(make_incident(web), at=at, created_at=at - MINUTE)
    make_run(make_incident(web, target="web-02"), at=at, created_at=at - 61 * MINUTE, status="failed")
    waits = {"service": web, "target": run.target, "proposals": 2, "next_allowed_at": at + 20 * MINUTE}
    Backoff.objects.create(**waits, diagnosis=run.diagnosis)
    Backoff.objects.create(**{**waits, "next_allowed_at": at - MINUTE}, diagnosis="latency_spike")
    ticked()
    found = reader.get("scheduler_counters").json()
    assert {name: set(part) for name, part in found.items()} == SHAPE
    numbers = found["global"]
    assert [numbers[f"skipped_{name}"] for name in ("rate", "backoff", "dup", "window", "storm")] == [1, 1, 1, 1, 1]
    assert [numbers[f"skipped_{name}"] for name in ("unmapped", "no_playbook", "silenced", "mode")] == [4, 1, 1, 1]
    assert numbers["proposed"] == 1
    assert set(found["per_service"]["web"]) == NUMBERS
    assert found["per_service"]["web"] == {**numbers, "skipped_unmapped": 0}
    (waiting,) = found["backoff"]["services"]
    assert (waiting["service"], waiting["target"], waiting["diagnosis"]) == ("web", run.target, run.diagnosis)
    assert set(waiting) == {"service", "target", "diagnosis", "backoff_factor", "next_allowed_at", "suppressed_until"}
    assert waiting["backoff_factor"] == 4
    assert waiting["suppressed_until"] == waiting["next_allowed_at"]
    assert found["rate_limiting"] == {
        "active_count": 1, "services": [{"service": "web", "proposals_last_hour": 1, "limit": 3}],
    }  # fmt: skip
    assert found["statistics"] == {"total_backoff_entries": 2, "total_rate_tracked_services": 1}
    assert (found["metadata"]["observe_only"], found["metadata"]["execute_enabled"]) == (False, True)
    state = found["scheduler_state"]
    assert (state["running"], state["last_tick_seconds"]) == (True, 0.25)


@pytest.mark.parametrize(
    ("ago", "error", "status"),
    [
        (89, "", "running"),
        (91, "", "stopped"),
        (-91, "", "stopped"),  # a clock that was wrong
        (10, "DatabaseError: gone", "error"),
    ],
)
def test_the_health_of_the_scheduler(reader, ago, error, status):
    ticked(started_at=timezone.now() - timedelta(seconds=ago), error=error)
    assert reader.get("scheduler_health").json() == {
        "status": status, "poll_interval_seconds": 30, "backoff_entries": 0, "rate_tracked_services": 0,
        "healthy": status == "running",
    }  # fmt: skip


def test_a_scheduler_that_never_ticked_is_stopped(reader):
    assert reader.get("scheduler_health").json()["status"] == "stopped"


def test_it_is_only_read(operator):
    problem(operator.post("scheduler_counters"), 405)


def test_counters_add_up_whoever_writes_them():
    at = timezone.now()
    for n in range(1, 4):
        counters.add({("", "proposed"): n, ("web", "proposed"): 1}, at + n * MINUTE)
    read = counters.read(counters.SHOWN)
    assert (read[""]["proposed"].value, read["web"]["proposed"].value) == (6, 3)
    assert read[""]["proposed"].updated_at == at + 3 * MINUTE
