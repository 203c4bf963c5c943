"""Something is edited at the worst moment: between the look and the lock of a claim, or while a run has no worker."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from healing.models import Incident, Playbook, Run, Step, Target
from healing.runs import foreseen, starting
from tests.faults.test_recovery import Marks, die_in_the_second_step, propose
from tests.flows.conftest import House

Work = Callable[..., Run]


@pytest.fixture
def marks(house: House, tmp_path: Path) -> Marks:
    return Marks(house, tmp_path)


def change_the_plan() -> None:
    """What is written into the stored plan by hand."""
    run = Run.objects.get()
    run.plan["steps"][0]["rollback"]["with"]["argv"] = ["/bin/false"]
    run.save(update_fields=["plan"])


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (lambda: Playbook.objects.update(active=False), "the playbook was changed after the decision"),
        (lambda: Target.objects.update(url="http://127.0.0.1:1"), "the plan would be another one now"),
        (change_the_plan, "the stored plan is not the one that was decided on"),
        (lambda: Incident.objects.update(status="closed"), "the incident is over"),
    ],
)
def test_what_is_edited_between_the_look_and_the_lock_keeps_the_run_from_starting(
    house: House, work: Work, marks: Marks, monkeypatch: pytest.MonkeyPatch, edit: Callable[[], Any], why: str
) -> None:
    run = propose(house, "noop")

    def looking(run_id: uuid.UUID) -> foreseen.Foreseen:
        found = foreseen.foresee(run_id)
        edit()
        return found

    monkeypatch.setattr(starting, "foresee", looking)
    run = work(run)
    assert (run.status, run.abort_reason, run.started_at, marks.lines()) == ("aborted", "superseded", None, [])
    assert why in run.reason


def test_the_plan_is_worked_out_before_the_lock_and_only_compared_under_it(
    house: House, marks: Marks, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, locked = propose(house, "noop"), []
    for name in ("resolve", "digest"):
        works = getattr(foreseen, name)

        def working(*given: Any, works: Callable[..., Any] = works) -> Any:
            locked.append(connection.in_atomic_block)
            return works(*given)

        monkeypatch.setattr(foreseen, name, working)
    assert starting.claim(run.pk, "worker")
    assert locked == [False, False, False]


@pytest.mark.parametrize(("status", "ends"), [("running", "aborted"), ("rolling_back", "aborted"), ("verifying", "failed")])
def test_whoever_takes_over_a_run_whose_plan_was_changed_ends_it_and_undoes_nothing(
    house: House, work: Work, marks: Marks, status: str, ends: str
) -> None:
    run = die_in_the_second_step(propose(house, "noop"))
    change_the_plan()
    Run.objects.update(status=status)
    run = work(run, holder="worker two")
    assert (run.status, run.abort_reason, marks.lines()) == (ends, "superseded", ["first"])
    said = "the run was taken over, and the stored plan is not the one that was decided on: a person has to look; unknown: second"
    assert (run.reason, run.incident.why["reason"]) == (said, f"the last run {ends}: {said}")
    assert Step.objects.get(run=run, name="second", phase="step").status == "unknown"
