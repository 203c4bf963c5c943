"""A run is told from its entries alone, and whoever changes the tables behind the log's back is found out."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import transaction
from django.utils import timezone

from config.cli import run as cli
from healing import approvals
from healing.ledger import keys, sequencer
from healing.ledger.replay import Replayed, replay_run
from healing.models import ApprovalRequest, Run, Step
from healing.runs import abort
from selfheal.errors import Invalid
from tests.factories import APPROVE, make_user

from .conftest import House

Work = Callable[..., Run]


PLAYBOOK = """
playbook: wait-and-see
title: It does not help
domain: host
diagnoses: [elevated_errors]
impact: low
reversible: true
steps:
  - {id: first, action: wait, with: {duration: 1ms}, timeout: 5s, rollback: {action: wait, with: {duration: 1ms}, timeout: 5s}}
verify:
  - {check: http_health, url: "${target.url}/healthz", expect: {status: 200}, within: 1s, every: 500ms}
"""


@pytest.fixture
def undone(house: House, work: Work) -> Run:
    """A run that a person approved, that did not help and was undone: every phase is in its story."""
    house.service("search", broken=True, mode="ask")
    (house.playbooks / "add-workers.yaml").unlink()
    house.playbook("wait-and-see", PLAYBOOK)
    run = house.propose("HighErrorRate", "search")
    approvals.approve(ApprovalRequest.objects.get(subject_id=run.pk).pk, make_user("ann", APPROVE), "go", "test", timezone.now())
    run = work(run)
    assert run.status == "rolled_back", run.reason
    return run


def told(run: Run) -> Replayed:
    sequencer.sequence_once(keys.load(), timezone.now())
    return replay_run(run.pk)


def said(found: Replayed) -> list[str]:
    return [*found.story.faults, *map(str, found.differences)]


def test_the_log_alone_tells_the_whole_run_and_agrees_with_the_tables(undone: Run) -> None:
    found = told(undone)
    assert said(found) == []
    story = found.story
    assert (story.run["digest"], story.run["verdict"], story.run["status"]) == (undone.digest, "approval", "rolled_back")
    assert {rule["rule"] for rule in story.run["rules"]} >= {"kill_switch", "change_window"}
    assert [vote["user"] for request in story.requests.values() for vote in request["votes"]] == ["ann"]
    phases = {phase for phase, _, _ in story.steps}
    assert phases >= {"symptom", "step", "verify", "rollback"}
    assert [line.index for line in story.lines] == sorted(line.index for line in story.lines if line.index is not None)


def test_a_program_is_told_the_same_as_json(undone: Run, capsys: pytest.CaptureFixture[str]) -> None:
    told(undone)
    assert cli(["log", "replay", str(undone.pk), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["agrees"], found["run"]["status"], found["differences"]) == (True, "rolled_back", [])


def test_what_the_sequencer_has_not_seen_yet_is_part_of_the_story(undone: Run) -> None:
    found = replay_run(undone.pk)
    assert said(found) == []
    assert None in {line.index for line in found.story.lines}


CHANGES: list[tuple[Callable[[Run], Any], str]] = [
    (lambda run: Run.objects.filter(pk=run.pk).update(status="succeeded"), 'run: status is "rolled_back" in the log'),
    (lambda run: Run.objects.filter(pk=run.pk).update(plan={**run.plan, "title": "x"}), "run: plan_sha256 is"),
    (lambda run: run.steps.filter(phase="step").update(stdout="nothing happened"), "step 1 on search: stdout is"),
    (
        lambda run: run.steps.filter(phase="verify", position=0).delete(),
        'verify 1 on search: status is "failed" in the log and "(nothing)"',
    ),
    (lambda run: run.steps.filter(phase="verify", position=0).update(message="all is well"), "verify 1 on search: message is"),
    (lambda run: ApprovalRequest.objects.filter(subject_id=run.pk).update(used_at=None), "used_at is"),
    (
        lambda run: Step.objects.create(run=run, phase="step", position=9, target="x", status="succeeded", bound_seconds=1),
        'step 10 on x: status is "(nothing)" in the log and "succeeded" in the tables',
    ),
]


def test_a_table_that_says_something_else_is_named_with_its_field(undone: Run) -> None:
    told(undone)
    for change, says in CHANGES:
        with transaction.atomic():
            change(undone)
            (line,) = said(replay_run(undone.pk))
            assert says in line
            transaction.set_rollback(True)


def test_a_run_that_was_aborted_before_its_start_replays_as_well(house: House) -> None:
    house.service("shop", mode="ask", up=False)
    run = house.propose("InstanceDown", "shop")
    abort(run.pk, actor="otto", reason="not now", at=timezone.now())
    found = told(run)
    assert said(found) == []
    assert (found.story.run["outcome"], found.story.run["abort_reason"]) == ("aborted", "operator")


def test_a_run_that_the_log_does_not_know_is_an_error(house: House) -> None:
    with pytest.raises(Invalid, match="no entry about a run"):
        replay_run(make_user("ann").pk)


def test_an_output_that_retention_took_away_is_no_difference_and_one_that_somebody_else_did_is(undone: Run) -> None:
    told(undone)
    Step.objects.filter(run=undone, phase="step").update(stdout="", stdout_bytes=6)
    assert any("stdout" in line for line in said(told(undone)))
    with time_machine.travel(timezone.now() + timedelta(days=365), tick=False):
        assert not said(replay_run(undone.pk))
