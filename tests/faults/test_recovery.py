"""A worker dies at a point of a run; another takes over, or nobody does. The point is set by writing what it had written."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from healing.governance import set_kill_switch
from healing.models import Incident, Run, Step
from healing.runs import runner, starting, steps
from healing.runs.ending import abort
from healing.runs.watchdog import look_after
from selfheal.states import StepStatus
from tests.flows.conftest import House

Work = Callable[..., Run]
TOUCH = """
playbook: touch-twice
title: Leave a mark
domain: host
diagnoses: [service_down]
impact: low
reversible: true
timeout: {timeout}
steps:
  - id: first
    action: command.run
    with: {{command: append, args: {{text: first}}}}
    timeout: 10s
    rollback: {{action: command.run, with: {{command: append, args: {{text: undone}}}}, timeout: 10s}}
  - {{id: second, action: {action}, timeout: {bound}, rollback: none}}
verify:
  - {{check: http_health, url: "${{target.url}}/healthz", expect: {{status: 200}}, within: 1s, every: 200ms}}
"""


class Marks:
    """A file that every start of the command appends a line to: what really happened, and how often."""

    def __init__(self, house: House, tmp_path: Path) -> None:
        self.path = tmp_path / "marks"
        script = f"import sys, time; open({str(self.path)!r}, 'a').write(sys.argv[1] + '\\\\n'); time.sleep(float(sys.argv[2]))"
        (house.config / "commands.yaml").write_text(
            f'append:\n  argv: [/usr/bin/python3, -c, "{script}", "${{args.text}}", "0"]\n'
            "  args: {text: {type: string, enum: [first, second, undone]}}\n"
            f'hang:\n  argv: [/usr/bin/python3, -c, "{script}", "hang", "60"]\n'
        )

    def lines(self) -> list[str]:
        return self.path.read_text().split() if self.path.exists() else []


@pytest.fixture
def marks(house: House, tmp_path: Path) -> Marks:
    return Marks(house, tmp_path)


def propose(house: House, action: str, *, broken: bool = True, timeout: str = "1m", bound: str = "20s", more: str = "") -> Run:
    house.service("shop", broken=broken)
    (house.playbooks / "restart-process.yaml").unlink()
    house.playbook(
        "touch-twice",
        TOUCH.format(action=action, timeout=timeout, bound=bound).replace("timeout: 20s, roll", f"{more}timeout: 20s, roll"),
    )
    return house.propose("InstanceDown", "shop")


def die_in_the_second_step(run: Run) -> Run:
    """What a worker leaves that did the first step, wrote down the second and was killed: nothing after that is written."""
    lease = starting.claim(run.pk, "worker dead", timezone.now())
    assert lease
    run = Run.objects.select_related("service").get(pk=run.pk)
    dying = runner.Runner(run, lease)
    steps.plan_steps(run)
    first, second = run.steps.filter(phase="step").order_by("position")[:2]
    dying._do(first, run.plan["steps"][0])
    steps.begin(second, lease, timezone.now())
    Run.objects.filter(pk=run.pk).update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    return run


def test_a_step_that_may_not_run_again_is_unknown_and_the_verification_decides(house: House, work: Work, marks: Marks) -> None:
    run = die_in_the_second_step(propose(house, "command.run, with: {command: append, args: {text: second}}", broken=True))
    run = work(run, holder="worker two")
    assert run.steps.get(name="second", phase="step").status == StepStatus.UNKNOWN
    assert (run.status, marks.lines()) == ("rolled_back", ["first", "undone"])
    assert run.reason.endswith("; undone: first; looked at again, http_health does not pass")
    assert [row.status for row in run.steps.filter(phase="verify").order_by("started_at")] == ["failed", "failed"]


def test_an_unknown_step_that_helped_after_all_ends_in_success(house: House, work: Work, marks: Marks) -> None:
    run = propose(house, "command.run, with: {command: append, args: {text: second}}", broken=False)
    run = work(die_in_the_second_step(run), holder="worker two")
    assert (run.status, marks.lines()) == ("succeeded", ["first"])


def test_a_run_that_left_steps_undone_behind_an_unknown_one_is_no_success(house: House, work: Work, marks: Marks) -> None:
    third = "  - {{id: third, action: command.run, with: {{command: append, args: {{text: second}}}}, timeout: 9s}}"
    text = TOUCH.replace("verify:", f"{third}\nverify:")
    house.service("shop")
    (house.playbooks / "restart-process.yaml").unlink()
    bad = "command.run, with: {command: append, args: {text: second}}"
    house.playbook("touch-twice", text.format(action=bad, timeout="1m", bound="20s"))
    run = work(die_in_the_second_step(house.propose("InstanceDown", "shop")), holder="worker two")
    assert (run.status, marks.lines()) == ("failed", ["first"])
    assert "a step is unknown and third was not begun: a person has to look" in run.reason


def test_whoever_takes_it_over_waits_as_long_for_it_to_help_as_the_playbook_says(
    house: House, work: Work, marks: Marks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "TOUCH", TOUCH.replace("within: 1s", "within: 30s"))
    run = die_in_the_second_step(propose(house, "command.run, with: {command: append, args: {text: second}}", broken=True))
    watch, waited = runner.Runner._watch, []

    def watching(self: runner.Runner, row: Step, within: float, every: float, **more: Any) -> Any:
        waited.append((row.phase, within))
        return watch(self, row, 0.0, every, **more)

    monkeypatch.setattr(runner.Runner, "_watch", watching)
    work(run, holder="worker two")
    assert waited == [("verify", 30.0), ("verify", 5.0)]


def test_a_step_that_may_run_again_does(house: House, work: Work, marks: Marks) -> None:
    run = propose(house, "wait, with: {duration: 100ms}", broken=False)
    run = work(die_in_the_second_step(run), holder="worker two")
    second = run.steps.get(name="second", phase="step")
    assert (second.status, second.attempt, run.status) == (StepStatus.SUCCEEDED, 2, "succeeded")


def test_a_run_that_is_taken_over_where_nothing_is_executed_any_more_starts_nothing_further(
    house: House, work: Work, marks: Marks, settings: Any
) -> None:
    run = propose(house, "wait, with: {duration: 100ms}")
    died = die_in_the_second_step(run)
    settings.SELF_HEAL_EXECUTE, settings.SELF_HEAL_OBSERVE_ONLY = False, True
    run = work(died, holder="worker two")
    assert (run.status, run.abort_reason, run.steps.get(name="second").attempt) == ("aborted", "policy", 1)
    assert "does not execute any more; half-done: first (undone by command.run)" in run.reason
    assert marks.lines() == ["first"]


def test_nothing_is_undone_where_nothing_is_executed_any_more(house: House, work: Work, marks: Marks, settings: Any) -> None:
    run = propose(house, "command.run, with: {command: append, args: {text: second}}", broken=True)
    died = die_in_the_second_step(run)
    settings.SELF_HEAL_EXECUTE, settings.SELF_HEAL_OBSERVE_ONLY = False, True
    run = work(died, holder="worker two")
    assert (run.status, run.abort_reason, marks.lines()) == ("aborted", "policy", ["first"])


def test_the_old_worker_can_write_nothing_once_another_has_the_run(house: House, work: Work, marks: Marks) -> None:
    run = propose(house, "wait, with: {duration: 100ms}", broken=True)
    old = starting.claim(run.pk, "worker one", timezone.now())
    Run.objects.filter(pk=run.pk).update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    assert work(run, holder="worker two").status == "rolled_back"
    assert old is not None
    with pytest.raises(steps.LeaseLost):
        steps.renew(old, timezone.now())


def test_a_run_whose_lease_is_good_is_not_taken_over(house: House, marks: Marks) -> None:
    run = propose(house, "noop")
    assert starting.claim(run.pk, "worker one", timezone.now())
    assert starting.claim(run.pk, "worker two", timezone.now()) is None


def test_a_run_that_nobody_takes_over_is_ended_and_its_incident_says_so(house: House, marks: Marks) -> None:
    run = die_in_the_second_step(propose(house, "noop"))
    look_after(timezone.now() + timedelta(seconds=25))
    run.refresh_from_db()
    assert (run.status, run.abort_reason) == ("aborted", "lost_worker")
    assert Step.objects.get(run=run, name="second", phase="step").status == StepStatus.UNKNOWN
    incident = Incident.objects.get()
    assert incident.status == "open"
    assert "lost its worker" in incident.why["reason"]


def test_a_lost_run_is_first_offered_to_the_other_workers(house: House, sent: list[str], marks: Marks) -> None:
    run = die_in_the_second_step(propose(house, "noop"))
    sent.clear()
    look_after(timezone.now())
    assert sent == [str(run.pk)]


def test_a_run_past_its_deadline_is_ended_even_if_its_lease_is_renewed(house: House, marks: Marks) -> None:
    run = die_in_the_second_step(propose(house, "noop"))
    late = timezone.now() + timedelta(minutes=2)
    Run.objects.filter(pk=run.pk).update(lease_expires_at=late + timedelta(seconds=10))
    look_after(late)
    run.refresh_from_db()
    assert (run.status, run.abort_reason) == ("aborted", "timeout")


def test_a_run_that_passes_its_deadline_ends_its_process_and_undoes_what_was_done(house: House, work: Work, marks: Marks) -> None:
    run = work(propose(house, "command.run, with: {command: hang}", timeout="6s"))
    assert (run.status, run.abort_reason) == ("aborted", "timeout")
    assert marks.lines() == ["first", "hang", "undone"]


def test_a_step_that_passes_its_bound_is_ended_and_what_was_done_is_undone(house: House, work: Work, marks: Marks) -> None:
    run = work(propose(house, "command.run, with: {command: hang}", bound="1s"))
    assert run.status == "rolled_back"
    assert run.steps.get(name="second", phase="step").status == StepStatus.TIMED_OUT
    assert marks.lines() == ["first", "hang", "undone"]


@pytest.fixture
def during(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], None]:
    """Have something happen while the second step runs: at the first wake after its mark is there."""

    def arrange(marks: Marks, happen: Callable[[], Any]) -> None:
        wake, done = runner.Runner._wake, []

        def waking(self: runner.Runner) -> str:
            if "hang" in marks.lines() and not done:
                done.append(happen())
            return wake(self)

        monkeypatch.setattr(runner.Runner, "_wake", waking)

    return arrange  # type: ignore[return-value]


def test_the_kill_switch_ends_a_running_step_and_lists_what_is_half_done(
    house: House, work: Work, marks: Marks, during: Any
) -> None:
    run = propose(house, "command.run, with: {command: hang}")
    said: list[dict] = []
    during(marks, lambda: said.append(set_kill_switch("kill", reason="drill", actor="ann", at=timezone.now())))
    run = work(run)
    assert (run.status, run.abort_reason) == ("aborted", "kill_switch")
    assert [(h["step"], h["undo"]) for h in said[0]["half_done"]] == [("first", "command.run"), ("second", "nothing")]
    assert "first (undone by command.run)" in run.reason
    assert (run.finished_at - run.started_at).total_seconds() < 10


def test_a_stop_file_ends_a_running_step_without_a_database(house: House, work: Work, marks: Marks, during: Any) -> None:
    run = propose(house, "command.run, with: {command: hang}")
    during(marks, lambda: (house.root / "STOP").touch())
    assert work(run).abort_reason == "kill_switch"


def test_an_operator_can_abort_a_running_step(house: House, work: Work, marks: Marks, during: Any) -> None:
    run = propose(house, "command.run, with: {command: hang}")
    during(marks, lambda: abort(run.pk, actor="otto", reason="wrong host", at=timezone.now()))
    run = work(run)
    assert (run.status, run.abort_reason) == ("aborted", "operator")


def test_pulling_the_switch_ends_what_waits_and_releasing_it_revives_nothing(house: House, work: Work, marks: Marks) -> None:
    run = propose(house, "noop")
    set_kill_switch("pause", reason="drill", actor="ann", at=timezone.now())
    set_kill_switch("off", reason="over", actor="ann", at=timezone.now())
    run = work(run)
    assert (run.status, run.abort_reason, run.started_at) == ("aborted", "kill_switch", None)
