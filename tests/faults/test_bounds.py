"""Three bounds on time, one inside the other: step, run, Celery's limit; and what is left when one of them is passed."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psutil
import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from healing.models import Incident, LedgerOutbox, Record, Run, Step
from healing.runs import held, starting
from healing.runs.watchdog import PATIENCE, look_after
from tests.faults.test_recovery import Marks, propose
from tests.flows.conftest import House

Work = Callable[..., Run]
HANG = "command.run, with: {command: hang}"
milliseconds = st.integers(0, 7_200_000)


@pytest.fixture
def marks(house: House, tmp_path: Any) -> Marks:
    return Marks(house, tmp_path)


@given(run=milliseconds, undo=st.lists(milliseconds, max_size=4), verify=st.lists(milliseconds, max_size=4))
@hypothesis_settings(max_examples=100)
def test_celerys_limit_is_behind_everything_that_the_run_may_take(run: int, undo: list[int], verify: list[int]) -> None:
    plan = {
        "timeout_ms": run,
        "steps": [{"rollback": {"timeout_ms": each}} for each in undo] + [{"rollback": None}],
        "verify": [{"within_ms": each} for each in verify],
    }
    assert starting.hard_limit(plan) * 1000 >= run + sum(undo) + sum(verify) + 59_000


def test_a_run_that_was_aborted_by_its_deadline_leaves_no_process_an_open_incident_and_an_entry(
    house: House, work: Work, marks: Marks
) -> None:
    run = work(propose(house, HANG, timeout="2s"))
    assert (run.status, run.abort_reason) == ("aborted", "timeout")
    assert not [p for p in psutil.process_iter(["cmdline"]) if str(marks.path) in " ".join(p.info["cmdline"] or ())]
    assert run.steps.get(phase="step", name="first").status == "rolled_back"
    incident = Incident.objects.get()
    assert incident.status == "open"
    assert "the run passed its deadline" in incident.why["reason"]
    (ended,) = [leaf for leaf in leaves() if leaf["action"] == "run.aborted"]
    assert (ended["payload"]["abort_reason"], "undone: first" in ended["payload"]["reason"]) == ("timeout", True)
    record = Record.objects.get()
    assert (record.started, record.aborted, record.demoted_at is not None) == (1, 1, True)


def test_the_deadline_of_a_run_cuts_the_bound_of_its_step_short(house: House, work: Work, marks: Marks) -> None:
    run = work(propose(house, HANG, timeout="5s", bound="30s"))
    second = Step.objects.get(run=run, phase="step", name="second")
    assert second.finished_at is not None
    assert run.deadline_at is not None
    assert second.finished_at <= run.deadline_at + timedelta(seconds=15)
    assert second.status in ("failed", "timed_out")


def test_a_step_that_no_signed_head_covered_in_time_was_not_started_and_is_not_undone(
    house: House, work: Work, marks: Marks, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody_signs(outbox_id: int, wake: Any) -> bool:
        wake.__self__.run.deadline_at = timezone.now()
        return not wake()

    settings.SELF_HEAL_LOG_STRICT = "all"
    monkeypatch.setattr(held, "wait_until_signed", nobody_signs)
    run = work(propose(house, "noop"))
    assert (run.status, run.abort_reason, marks.lines()) == ("aborted", "timeout", [])
    assert run.reason == "the run passed its deadline; nothing was done"
    assert run.steps.get(name="first").message == "not started: no signed head covered its intent"


def test_a_worker_that_does_not_end_its_run_in_time_has_it_taken_away(house: House, marks: Marks) -> None:
    run = propose(house, "noop")
    assert starting.claim(run.pk, "worker stuck")
    run.refresh_from_db()
    assert run.deadline_at is not None
    Run.objects.filter(pk=run.pk).update(lease_expires_at=run.deadline_at + timedelta(hours=1))
    look_after(run.deadline_at + PATIENCE - timedelta(seconds=1))
    run.refresh_from_db()
    assert run.status == "running"
    look_after(run.deadline_at + PATIENCE + timedelta(seconds=1))
    run.refresh_from_db()
    assert (run.status, run.abort_reason, run.lease_token) == ("aborted", "timeout", 2)
    assert timezone.now() < run.deadline_at


def leaves() -> list[dict[str, Any]]:
    return [json.loads(bytes(row.leaf)) for row in LedgerOutbox.objects.order_by("id")]
