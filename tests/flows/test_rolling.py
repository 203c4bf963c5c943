"""A rolling restart over five real processes: batch by batch, while enough others are healthy."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from healing import scheduler
from healing.models import Incident, Run, Step
from healing.runs import runner, starting, steps
from tests.factories import APPROVE, OPERATE, make_user
from tests.fleet import HOSTS, Fleet
from tests.flows.conftest import House

pytestmark = pytest.mark.slow

Work = Callable[..., Run]
ONE = "{size: 1, min_healthy: 4}"
ROLLING = """
playbook: rolling-restart
title: Restart one after the other
domain: host
diagnoses: [latency_spike]
impact: low
targets: service
batch: {batch}
timeout: 5m
steps:
  - {{id: restart, action: process.restart, timeout: 30s, rollback: none}}
verify:
  - {{check: http_health, url: "${{target.url}}/", timeout: 2s, within: {within}, every: 200ms}}
"""


class Rolled:
    """A house with the fleet in it, and a run that a person asked for although everything is healthy."""

    def __init__(self, house: House, tmp_path: Path) -> None:
        self.house, self.folder = house, tmp_path
        self.fleet: Any = None

    def propose(self, hosts: list[str], batch: str, *, within: str = "60s", down: tuple[str, ...] = ()) -> Run:
        self.fleet = Fleet(self.folder, hosts, down=down)
        (self.house.playbooks / "restart-hung.yaml").unlink()
        (self.house.playbooks / "rolling-restart.yaml").write_text(ROLLING.format(batch=batch, within=within))
        self.house.declare(web=self.fleet.declared())
        self.house.alert("HighLatency", "web", instance=HOSTS[0])
        ann = make_user("ann", APPROVE, OPERATE)
        return scheduler.propose(Incident.objects.get().pk, "rolling-restart", {}, ann, timezone.now())


@pytest.fixture
def rolled(house: House, tmp_path: Path) -> Iterator[Rolled]:
    built = Rolled(house, tmp_path)
    yield built
    if built.fleet:
        built.fleet.end()


def test_a_rolling_restart_never_has_fewer_than_four_of_five_up(rolled: Rolled, work: Work) -> None:
    run = rolled.propose(HOSTS, ONE)
    rolled.fleet.watch()
    run = work(run)
    seen = rolled.fleet.seen()
    assert run.outcome == "success", run.reason
    assert run.reason == f"verified; done: {', '.join(HOSTS)}"
    assert seen["least"] >= 4
    assert seen["failed"] == 0
    assert rolled.fleet.starts() == [1, 1, 1, 1, 1]


def test_it_stops_at_the_first_target_that_does_not_come_back(rolled: Rolled, work: Work, monkeypatch: Any) -> None:
    run = rolled.propose(HOSTS, ONE, within="1s")
    rolled.fleet.watch()
    when_begun(monkeypatch, HOSTS[2], lambda: rolled.fleet.fall_ill(HOSTS[2]))
    run = work(run)
    assert run.status == "failed"
    assert f"{HOSTS[2]} did not come back: http_health" in run.reason
    assert run.reason.endswith(f"done: {HOSTS[0]}, {HOSTS[1]}; failed: {HOSTS[2]}; not touched: {HOSTS[3]}, {HOSTS[4]}")
    assert rolled.fleet.starts() == [1, 1, 1, 0, 0]
    assert rolled.fleet.seen()["least"] >= 4
    assert Incident.objects.get().status == "open"


def test_nothing_is_touched_while_too_few_others_are_healthy(rolled: Rolled, work: Work) -> None:
    run = rolled.propose(HOSTS, ONE, down=(HOSTS[3], HOSTS[4]))
    run = work(run)
    assert (run.status, run.abort_reason) == ("aborted", "bounds")
    assert f"beside {HOSTS[3]} only 3 targets are healthy, and 4 have to be" in run.reason
    assert rolled.fleet.starts() == [0, 0, 0, 0, 0]


def test_a_target_that_falls_ill_outside_a_batch_goes_before_those_of_it_that_wait(
    rolled: Rolled, work: Work, monkeypatch: Any
) -> None:
    run = rolled.propose(HOSTS, "{size: 2, min_healthy: 3}", within="1s")
    when_begun(monkeypatch, HOSTS[0], lambda: rolled.fleet.fall_ill(HOSTS[4]))
    run = work(run)
    assert begun(run)[:2] == [HOSTS[0], HOSTS[4]]
    assert f"{HOSTS[4]} did not come back" in run.reason


def begun(run: Run) -> list[str]:
    """The targets in the order in which they were touched."""
    return list(run.steps.filter(phase="step", attempt__gt=0).order_by("started_at").values_list("target", flat=True))


def test_a_target_that_is_down_goes_first(rolled: Rolled, work: Work) -> None:
    run = rolled.propose(HOSTS[:3], "{size: 1, min_healthy: 2}", down=(HOSTS[2],))
    run = work(run)
    assert run.outcome == "success", run.reason
    assert begun(run) == [HOSTS[2], *HOSTS[:2]]


def test_a_failure_that_is_allowed_does_not_stop_it_but_is_no_success(rolled: Rolled, work: Work, monkeypatch: Any) -> None:
    run = rolled.propose(HOSTS[:3], "{size: 2, min_healthy: 1, max_failures: 1}", within="1s")
    when_begun(monkeypatch, HOSTS[0], lambda: rolled.fleet.fall_ill(HOSTS[0]))
    run = work(run)
    assert run.status == "failed"
    assert run.reason.endswith(f"done: {HOSTS[1]}, {HOSTS[2]}; failed: {HOSTS[0]}")
    assert rolled.fleet.starts() == [1, 1, 1]


class Died(BaseException):
    """The worker is gone: nothing after this is written."""


def test_a_takeover_touches_no_target_twice_and_says_unknown(rolled: Rolled, work: Work, monkeypatch: Any) -> None:
    run = rolled.propose(HOSTS, ONE)
    performed = steps.perform

    def dies_after(of: Run, step: Step, *more: Any) -> Any:
        launched = performed(of, step, *more)
        if step.phase == "step" and step.target == HOSTS[2]:
            raise Died
        return launched

    monkeypatch.setattr(steps, "perform", dies_after)
    lease = starting.claim(uuid.UUID(str(run.pk)), "worker dead")
    with pytest.raises(Died):
        runner.execute(lease)
    monkeypatch.setattr(steps, "perform", performed)
    Run.objects.filter(pk=run.pk).update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    run = work(run, holder="worker two")
    assert run.status == "failed"
    assert f"step restart on {HOSTS[2]} is unknown" in run.reason
    assert run.steps.get(phase="step", target=HOSTS[2]).status == "unknown"
    assert rolled.fleet.starts() == [1, 1, 1, 0, 0]


def test_a_takeover_between_two_targets_goes_on_with_the_next(rolled: Rolled, work: Work, monkeypatch: Any) -> None:
    run = rolled.propose(HOSTS[:3], "{size: 1, min_healthy: 2}")
    performed = steps.perform

    def dies_before(of: Run, step: Step, *more: Any) -> Any:
        if step.phase == "verify" and step.target == HOSTS[1] and step.pk and Step.objects.filter(pk=step.pk).exists():
            raise Died
        return performed(of, step, *more)

    monkeypatch.setattr(steps, "perform", dies_before)
    lease = starting.claim(uuid.UUID(str(run.pk)), "worker dead")
    with pytest.raises(Died):
        runner.execute(lease)
    monkeypatch.setattr(steps, "perform", performed)
    Run.objects.filter(pk=run.pk).update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    run = work(run, holder="worker two")
    assert run.outcome == "success", run.reason
    assert rolled.fleet.starts() == [1, 1, 1]


def when_begun(monkeypatch: Any, host: str, happen: Callable[[], Any]) -> None:
    """Have something happen right before the step on `host`."""
    performed = steps.perform

    def performing(of: Run, step: Step, *more: Any) -> Any:
        if step.phase == "step" and step.target == host:
            happen()
        return performed(of, step, *more)

    monkeypatch.setattr(steps, "perform", performing)
