"""Batches with commands instead of services: what is undone, what is left, and who stops it. A file makes a target ill."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from healing import approvals
from healing.governance import set_kill_switch
from healing.ledger import keys, sequencer
from healing.ledger.replay import replay_run
from healing.models import ApprovalRequest, Run, TimelineEvent
from healing.runs import confirming, runner
from tests.factories import APPROVE, make_service, make_user
from tests.flows.conftest import House

Work = Callable[..., Run]
ROLL = """
playbook: roll
title: Over all of them
domain: host
diagnoses: [service_down]
impact: low
timeout: {timeout}
targets: service
batch: {batch}
steps:
  - id: mark
    action: command.run
    with: {{command: mark, args: {{text: "${{target.name}}"}}}}
    timeout: 20s
    rollback: {{action: command.run, with: {{command: undo, args: {{text: "${{target.name}}"}}}}, timeout: 20s}}
  - {{id: last, action: {last}, timeout: 20s, on_fail: {on_fail}, rollback: none}}
verify:
  - {{check: command, command: well, args: {{text: "${{target.name}}"}}, within: 0s}}
"""
A, B, C = "web-01", "web-02", "web-03"


class Fleet:
    """Three targets of which files say that they are ill, or that their last step fails; marks and undos are written down."""

    def __init__(self, house: House, folder: Path) -> None:
        self.house, self.folder, self.marks = house, folder, folder / "marks"
        mark = f"import sys; open({str(self.marks)!r}, 'a').write(sys.argv[1] + sys.argv[2] + chr(10))"
        sound = "import os, sys; sys.exit(os.path.exists(sys.argv[1] + sys.argv[2]))"
        args = '"${args.text}"], args: {text: {type: string, pattern: ".*"}}'
        (house.config / "commands.yaml").write_text(
            f'mark: {{argv: [/usr/bin/python3, -c, "{mark}", "+", {args}}}\n'
            f'undo: {{argv: [/usr/bin/python3, -c, "{mark}", "-", {args}}}\n'
            f'well: {{argv: [/usr/bin/python3, -c, "{sound}", {folder}/ill-, {args}}}\n'
            f'last: {{argv: [/usr/bin/python3, -c, "{sound}", {folder}/bad-, {args}}}\n'
            "hang: {argv: [/bin/sleep, '60']}\n"
        )
        (house.playbooks / "restart-process.yaml").unlink()
        make_service("web", hosts=3)

    def propose(
        self,
        batch: str = "{size: 1, min_healthy: 2}",
        *,
        on_fail: str = "undo",
        last: str = 'command.run, with: {command: last, args: {text: "${target.name}"}}',
        timeout: str = "1m",
    ) -> Run:
        self.house.playbook("roll", ROLL.format(batch=batch, on_fail=on_fail, last=last, timeout=timeout))
        return self.house.propose("InstanceDown", "web", instance=A)

    def fails(self, how: str, target: str) -> None:
        (self.folder / f"{how}-{target}").touch()

    def lines(self) -> list[str]:
        return self.marks.read_text().split() if self.marks.exists() else []


@pytest.fixture
def fleet(house: House, tmp_path: Path) -> Fleet:
    return Fleet(house, tmp_path)


def test_only_the_target_that_failed_is_undone_and_the_rest_stays_as_it_is(fleet: Fleet, work: Work) -> None:
    run = fleet.propose()
    fleet.fails("bad", B)
    run = work(run)
    assert (run.status, fleet.lines()) == ("rolled_back", [f"+{A}", f"+{B}", f"-{B}"])
    assert run.reason.startswith(f"{B} step last failed: exit code 1; undone: mark; looked at again, every check passes; ")
    assert [(row.target, row.status) for row in run.steps.filter(name="after the undo")] == [(B, "succeeded")]
    assert run.reason.endswith(f"done: {A}; failed: {B}; not touched: {C}")


def test_a_step_that_says_stop_leaves_its_target_as_it_is(fleet: Fleet, work: Work) -> None:
    run = fleet.propose(on_fail="stop")
    fleet.fails("bad", B)
    run = work(run)
    assert (run.status, fleet.lines()) == ("failed", [f"+{A}", f"+{B}"])
    assert "stop and leave it as it is" in run.reason


def test_with_failures_to_spare_it_undoes_that_target_and_goes_on(fleet: Fleet, work: Work) -> None:
    run = fleet.propose("{size: 3, min_healthy: 0, max_failures: 1}")
    fleet.fails("bad", A)
    run = work(run)
    assert (run.status, fleet.lines()) == ("failed", [f"+{A}", f"+{B}", f"+{C}", f"-{A}"])
    assert run.reason.endswith(f"done: {B}, {C}; failed: {A}")


def test_one_failure_too_many_ends_the_batch_and_what_was_done_in_it_is_looked_at(fleet: Fleet, work: Work) -> None:
    run = fleet.propose("{size: 3, min_healthy: 0}")
    fleet.fails("bad", B)
    run = work(run)
    assert (run.status, fleet.lines()) == ("rolled_back", [f"+{A}", f"+{B}", f"-{B}"])
    assert run.reason.endswith(f"done: {A}; failed: {B}; not touched: {C}")


def test_a_run_that_passes_its_deadline_undoes_the_target_that_it_was_at(fleet: Fleet, work: Work) -> None:
    run = work(fleet.propose(last="command.run, with: {command: hang}", timeout="2s"))
    assert (run.status, run.abort_reason, fleet.lines()) == ("aborted", "timeout", [f"+{A}", f"-{A}"])


def test_the_kill_switch_stops_it_between_two_targets(fleet: Fleet, work: Work, monkeypatch: Any) -> None:
    run = fleet.propose()
    wake, done = runner.Runner._wake, []

    def waking(self: runner.Runner) -> str:
        if f"+{B}" in fleet.lines() and not done:
            done.append(set_kill_switch("pause", reason="drill", actor="ann", at=timezone.now()))
        return wake(self)

    monkeypatch.setattr(runner.Runner, "_wake", waking)
    monkeypatch.setattr(runner.Runner, "_act", lambda self, row, act=runner.Runner._act: (act(self, row), self._wake())[0])
    run = work(run)
    assert (run.status, run.abort_reason, fleet.lines()) == ("aborted", "kill_switch", [f"+{A}", f"+{B}"])
    assert run.reason.endswith(f"done: {A}; begun: {B}; not touched: {C}")


def test_what_became_ill_while_a_person_was_asked_ends_it_before_the_step(fleet: Fleet, work: Work, monkeypatch: Any) -> None:
    run = fleet.propose(last='command.run, with: {command: last, args: {text: "${target.name}"}}, confirm: "Go on?"')
    ann, answered = make_user("ann", APPROVE), confirming.answered

    def yes(request: ApprovalRequest, at: datetime) -> bool:
        fleet.fails("ill", B)
        approvals.approve(request.pk, ann, "", "test", at)
        return answered(request, at)

    monkeypatch.setattr(confirming, "answered", yes)
    run = work(run)
    assert (run.status, run.abort_reason) == ("aborted", "bounds")
    assert "only 1 targets are healthy, and 2 have to be: web-03, since last was asked about" in run.reason
    assert run.steps.get(target=A, name="last").status == "pending"


def test_a_run_over_batches_is_told_from_its_entries_alone(fleet: Fleet, work: Work) -> None:
    run = fleet.propose()
    fleet.fails("ill", A)
    run = work(run)
    sequencer.sequence_once(keys.load(), timezone.now())
    told = replay_run(run.pk)
    assert (list(told.story.faults), list(told.differences)) == ([], [])


def test_each_batch_has_its_line_and_after_the_first_no_more_targets_are_looked_at_than_have_to_be_healthy(
    fleet: Fleet, work: Work
) -> None:
    run = work(fleet.propose("{size: 1, min_healthy: 1}"))
    assert run.outcome == "success", run.reason
    lines = TimelineEvent.objects.filter(run=run, action="run.batch").order_by("outbox_id").values_list("data", flat=True)
    assert [(line["batch"], line["healthy"]) for line in lines] == [([A], [A, B, C]), ([B], [A]), ([C], [B])]
