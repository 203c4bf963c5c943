"""What a step writes stands in its row while it runs."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError
from django.db.models import QuerySet
from django.utils import timezone

from healing.launcher import Output, worker
from healing.models import Step
from healing.result import Result
from healing.runs import steps
from selfheal.states import StepStatus
from tests.factories import make_run, make_step
from tests.processes import until

pytestmark = pytest.mark.django_db
OUTPUT = Output("so far", "", 6, 0)


@pytest.fixture
def step() -> Step:
    return make_step(make_run(status="running", started_at=timezone.now()), status="running", lease_token=3)


def test_it_is_written_while_the_action_goes_on(step: Step, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = tmp_path / "seen"

    def act(arguments: Any, context: Any) -> Result:
        print("half of it", flush=True)
        until(seen.exists)
        print("the rest", file=sys.stderr)
        return Result(True, "")

    def wake() -> str:
        if Step.objects.get(pk=step.pk).stdout == "half of it\n":
            seen.touch()
        return ""

    monkeypatch.setattr(worker, "WAKE_SECONDS", 0.05)
    monkeypatch.setitem(steps.ACTIONS, step.action, SimpleNamespace(run=act))
    launched = steps.perform(step.run, step, wake)
    assert (launched.stdout, launched.stderr) == ("half of it\n", "the rest\n")


@pytest.mark.parametrize("changes", [{"status": StepStatus.UNKNOWN}, {"lease_token": 4}])
def test_a_worker_that_lost_the_run_writes_no_more(step: Step, changes: dict[str, Any]) -> None:
    Step.objects.filter(pk=step.pk).update(**changes)
    steps._so_far(step, OUTPUT)
    assert Step.objects.get(pk=step.pk).stdout == ""


def test_a_database_that_is_away_does_not_end_the_step(step: Step, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **kwargs: Any) -> Any:
        raise OperationalError("away")

    monkeypatch.setattr(QuerySet, "update", fail)
    steps._so_far(step, OUTPUT)
