"""What is gathered, what a person confirms, checks as steps and own undo, with real processes."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from healing import approvals, scheduler
from healing.actions import ACTIONS
from healing.actions.plain import Noop
from healing.governance import set_kill_switch
from healing.ledger import keys, sequencer
from healing.ledger.replay import replay_run
from healing.models import ApprovalRequest, Incident, Run
from healing.result import Result
from healing.runs import runner, starting
from healing.runs.ending import abort
from selfheal.errors import Conflict, NotAllowed
from tests.factories import APPROVE, OPERATE, make_service, make_user
from tests.faults.test_races import at_once
from tests.flows.conftest import House

Work = Callable[..., Run]
HEAD = "title: Test\ndomain: host\ndiagnoses: [service_down]\nimpact: low\ntimeout: 1m\n"
VERIFY = 'verify: [{check: http_health, url: "${target.url}/healthz", within: 1s, every: 200ms}]\n'


class Desk:
    """A broken service, commands that read and write files, and a playbook that a test writes."""

    def __init__(self, house: House, folder: Path) -> None:
        self.house, self.marks, self.fact = house, folder / "marks", folder / "fact"
        self.fact.write_text("four\n")
        append = f"import sys; open({str(self.marks)!r}, 'a').write(sys.argv[1] + chr(10))"
        (house.config / "commands.yaml").write_text(
            f"fact: {{argv: [/bin/cat, {self.fact}]}}\n"
            "hang: {argv: [/bin/sleep, '60']}\n"
            f'mark: {{argv: [/usr/bin/python3, -c, "{append}", "${{args.text}}"],\n'
            "  args: {text: {type: string, pattern: .*}}}\n"
        )
        (house.playbooks / "restart-process.yaml").unlink()

    def write(self, text: str, *, broken: bool = True) -> None:
        self.house.service("shop", broken=broken)
        self.house.playbook("test", f"playbook: test\n{HEAD}{text}")

    def propose(self, text: str, *, broken: bool = True) -> Run:
        self.write(text, broken=broken)
        return self.house.propose("InstanceDown", "shop")

    def lines(self) -> list[str]:
        return self.marks.read_text().split() if self.marks.exists() else []


@pytest.fixture
def desk(house: House, tmp_path: Path) -> Desk:
    return Desk(house, tmp_path)


def mark(text: str, more: str = "rollback: none") -> str:
    return f"{{id: {text}, action: command.run, with: {{command: mark, args: {{text: {text}}}}}, timeout: 20s, {more}}}"


GATHER = "gather: {fact: {check: command, with: {command: fact}}}\n"
SAY = 'steps: [{id: say, action: command.run, with: {command: mark, args: {text: "${gather.fact.output}"}}, timeout: 20s}]\n'


# -- gather


def test_what_is_gathered_is_in_the_plan_and_in_what_is_done(desk: Desk, work: Work) -> None:
    run = desk.propose(f"{GATHER}when: gather.fact.ok\n{SAY}{VERIFY}")
    assert run.plan["gathered"] == {"fact": {"ok": True, "output": "four", "exit_code": 0}}
    run = work(run)
    assert desk.lines() == ["four"]
    assert [row.status for row in run.steps.filter(phase="gather")] == ["succeeded"]


def test_what_is_no_longer_so_at_the_start_supersedes_the_run_with_the_difference(desk: Desk, work: Work) -> None:
    run = desk.propose(f"{GATHER}{SAY}{VERIFY}")
    desk.fact.write_text("five\n")
    run = work(run)
    assert (run.status, run.abort_reason) == ("aborted", "superseded")
    assert "fact.output was 'four' and is 'five'" in run.reason
    assert desk.lines() == []


def test_what_cannot_be_read_in_time_makes_it_not_applicable(desk: Desk) -> None:
    desk.write(f"gather: {{slow: {{check: command, with: {{command: hang}}, timeout: 200ms}}}}\nsteps: [{mark('a')}]\n{VERIFY}")
    desk.house.alert("InstanceDown", "shop")
    desk.house.look()
    assert "gather slow: did not end within 0.2 s" in Incident.objects.get().why["reason"]


def test_a_process_with_threads_has_another_one_read(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "active_count", lambda: 2)
    run = desk.propose(f"{GATHER}{SAY}{VERIFY}")
    assert run.plan["gathered"]["fact"]["output"] == "four"


def test_a_dry_run_reads_and_changes_nothing(desk: Desk) -> None:
    desk.write(f"{GATHER}{SAY}{VERIFY}")
    found = scheduler.dry_run("shop", "shop", "service_down", "test", {}, timezone.now())
    assert found["plan"]["gathered"]["fact"]["output"] == "four"
    assert desk.lines() == []
    assert not Run.objects.exists()


# -- checks as steps


def test_a_check_that_does_not_come_true_fails_its_step_and_what_was_done_is_undone(desk: Desk, work: Work) -> None:
    undo = "rollback: {action: command.run, with: {command: mark, args: {text: undone}}, timeout: 20s}"
    look = '{id: up, check: http_health, url: "${target.url}/healthz", within: 300ms, every: 100ms}'
    run = work(desk.propose(f"steps:\n  - {mark('done', undo)}\n  - {look}\n{VERIFY}"))
    assert run.status == "rolled_back"
    assert "step up failed" in run.reason
    assert desk.lines() == ["done", "undone"]


def test_a_check_must_stay_true_for_as_long_as_it_says(desk: Desk, work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    stays = "{id: stays, check: command, with: {command: fact}, for: 500ms, every: 100ms}"
    run = desk.propose(f"steps:\n  - {mark('done')}\n  - {stays}\n{VERIFY}")
    watch = runner.Runner._watch

    def watching(self: runner.Runner, row: Any, *times: float, **more: float) -> Any:
        if row.name == "stays":
            pause = self._pause
            self._pause = lambda seconds: (desk.fact.unlink(missing_ok=True), pause(seconds))  # type: ignore[method-assign]
        return watch(self, row, *times, **more)

    monkeypatch.setattr(runner.Runner, "_watch", watching)
    run = work(run)
    assert "step stays failed: exit code 1" in run.reason
    assert run.steps.get(name="stays").attempt == 1


def test_a_check_that_stays_true_lets_the_next_step_begin(desk: Desk, work: Work) -> None:
    stays = "{id: stays, check: command, with: {command: fact}, for: 200ms, every: 100ms}"
    work(desk.propose(f"steps:\n  - {stays}\n  - {mark('after')}\n{VERIFY}"))
    assert desk.lines() == ["after"]


# -- an action's own undo


class Setting(Noop):
    """A setting in a file, that knows what it was before."""

    name, undoes = "setting.set", True

    class Parameters(Noop.Parameters):
        path: str
        value: str

    def freeze(self, given: Mapping[str, Any], place: Any) -> dict[str, Any]:
        return dict(given)

    def undo(self, arguments: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any] | None:
        return {**arguments, "value": data["before"]} if "before" in data else None

    def run(self, arguments: Mapping[str, Any], context: Any) -> Result:
        path = Path(arguments["path"])
        before = path.read_text()
        if before == "locked":
            return Result(False, "it is locked")
        path.write_text(arguments["value"])
        return Result(True, f"set to {arguments['value']}", {"before": before})


@pytest.fixture
def setting(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    monkeypatch.setitem(ACTIONS, "setting.set", Setting())
    step = f"{{id: set, action: setting.set, with: {{path: {desk.fact}, value: six}}, timeout: 20s, rollback: undo}}"
    return lambda: f"steps: [{step}]\n{VERIFY}"


def test_an_actions_own_undo_puts_back_what_it_found(desk: Desk, work: Work, setting: Callable[[], str]) -> None:
    run = work(desk.propose(setting()))
    assert (run.status, desk.fact.read_text()) == ("rolled_back", "four\n")
    assert run.steps.get(phase="rollback").arguments["value"] == "four\n"


def test_nothing_claims_to_have_undone_a_step_that_changed_nothing(desk: Desk, work: Work, setting: Callable[[], str]) -> None:
    desk.fact.write_text("locked")
    run = work(desk.propose(setting()))
    assert run.status == "failed"
    assert "nothing had been changed that could be undone" in run.reason


# -- confirm

SURE = f"steps:\n  - {mark('first')}\n  - {mark('second', 'rollback: none, confirm: Is the load off?')}\n"


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], None]:
    """Have something happen once while the run waits for a person."""

    def arrange(happen: Callable[[], Any]) -> None:
        wake, done = runner.Runner._wake, []

        def waking(self: runner.Runner) -> str:
            if not done and ApprovalRequest.objects.filter(subject_type="step", status="pending").exists():
                done.append(happen())
            return wake(self)

        monkeypatch.setattr(runner.Runner, "_wake", waking)

    return arrange


def question() -> ApprovalRequest:
    return ApprovalRequest.objects.get(subject_type="step")


def test_a_step_waits_for_a_persons_yes_while_the_clock_stands_still(desk: Desk, work: Work, meanwhile: Any) -> None:
    run = desk.propose(f"{SURE}{VERIFY}", broken=True)
    ann, seen = make_user("ann", APPROVE), []

    def yes() -> None:
        seen.append(Run.objects.get().deadline_at)
        approvals.approve(question().pk, ann, "it is", "test", timezone.now())

    meanwhile(yes)
    run = work(run)
    asked = question()
    assert desk.lines() == ["first", "second"]
    assert asked.title.startswith("Is the load off? (Test: shop / shop, before second)")
    assert (asked.digest, asked.used_at is not None) == (run.digest, True)
    assert seen[0] - run.started_at > timedelta(minutes=60)
    assert timedelta(minutes=1) <= run.deadline_at - run.started_at < timedelta(minutes=3)
    sequencer.sequence_once(keys.load(), timezone.now())
    told = replay_run(run.pk)
    assert (list(told.story.faults), list(told.differences)) == ([], [])


def test_the_workers_hard_limit_stands_behind_steps_undo_verification_and_every_question(desk: Desk) -> None:
    undo = "rollback: {action: noop, timeout: 7s}"
    run = desk.propose(f"steps:\n  - {mark('a', undo)}\n  - {mark('b', 'confirm: Sure?')}\n{VERIFY}")
    assert starting.hard_limit(run.plan) == 60 + 60 + 7 + 1 + 60 * 60


def test_a_no_leaves_everything_as_it_is(desk: Desk, work: Work, meanwhile: Any) -> None:
    run = desk.propose(f"{SURE}{VERIFY}")
    ann = make_user("ann", APPROVE)
    meanwhile(lambda: approvals.reject(question().pk, ann, "not now", "test", timezone.now()))
    run = work(run)
    assert (run.status, run.abort_reason) == ("aborted", "operator")
    assert "step second was not confirmed: not now; it is left as it is; half-done: first" in run.reason
    assert run.steps.get(name="second").status == "skipped"
    assert desk.lines() == ["first"]


def test_no_answer_in_time_is_a_no(desk: Desk, work: Work, settings: Any) -> None:
    settings.SELF_HEAL_APPROVAL_TTL_MIN = 0
    run = work(desk.propose(f"{SURE}{VERIFY}"))
    assert (run.status, run.abort_reason) == ("aborted", "expired")
    assert "nobody answered in time" in run.reason
    assert question().status == "expired"


@pytest.mark.parametrize(
    ("happen", "why"),
    [
        (lambda: set_kill_switch("kill", reason="drill", actor="ann", at=timezone.now()), "kill_switch"),
        (lambda: set_kill_switch("pause", reason="drill", actor="ann", at=timezone.now()), "kill_switch"),
        (lambda: abort(Run.objects.get().pk, actor="otto", reason="no", at=timezone.now()), "operator"),
    ],
)
def test_whoever_stops_it_stops_it_while_it_waits(desk: Desk, work: Work, meanwhile: Any, happen: Any, why: str) -> None:
    run = desk.propose(f"{SURE}{VERIFY}")
    meanwhile(happen)
    run = work(run)
    assert (run.status, run.abort_reason) == ("aborted", why)
    assert question().status == "cancelled"
    with pytest.raises(Conflict):
        approvals.approve(question().pk, make_user("ben", APPROVE), "", "test", timezone.now())


class Died(BaseException):
    """The worker is gone: nothing after this is written."""


def test_whoever_takes_it_over_goes_on_waiting_and_asks_nobody_twice(desk: Desk, work: Work, meanwhile: Any) -> None:
    def dies() -> None:
        raise Died

    run = desk.propose(f"{SURE}{VERIFY}")
    meanwhile(dies)
    with pytest.raises(Died):
        runner.execute(starting.claim(uuid.UUID(str(run.pk)), "worker dead"))  # type: ignore[arg-type]
    Run.objects.filter(pk=run.pk).update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    ann = make_user("ann", APPROVE)
    meanwhile(lambda: approvals.approve(question().pk, ann, "", "test", timezone.now()))
    work(run, holder="worker two")
    assert desk.lines() == ["first", "second"]
    assert ApprovalRequest.objects.filter(subject_type="step").count() == 1


def test_from_high_up_nobody_confirms_what_they_asked_for(desk: Desk, work: Work, meanwhile: Any, sent: list[str]) -> None:
    desk.house.service("shop", broken=True)
    desk.house.playbook("test", f"playbook: test\n{HEAD}{SURE}{VERIFY}".replace("impact: low", "impact: high"))
    desk.house.alert("InstanceDown", "shop")
    ann, ben = make_user("ann", APPROVE, OPERATE), make_user("ben", APPROVE)
    run = scheduler.propose(Incident.objects.get().pk, "test", {}, ann, timezone.now())
    approvals.approve(ApprovalRequest.objects.get().pk, ben, "", "test", timezone.now())
    refused = []

    def tries() -> None:
        with pytest.raises(NotAllowed) as caught:
            approvals.approve(question().pk, ann, "", "test", timezone.now())
        refused.append(str(caught.value))
        approvals.approve(question().pk, ben, "", "test", timezone.now())

    meanwhile(tries)
    work(run)
    assert "somebody else has to approve it" in refused[0]
    assert desk.lines() == ["first", "second"]


# -- one run a service


@pytest.mark.usefixtures("real_database")
def test_a_run_over_a_service_and_one_on_a_target_of_it_do_not_overlap_though_both_are_claimed_at_once(house: House) -> None:
    make_service("web", hosts=2)
    house.playbook("wait", "playbook: wait\n" + HEAD + "steps: [{id: a, action: wait, with: {duration: 1ms}}]\n" + VERIFY)
    over = "targets: service\nbatch: {size: 1}\n"
    text = "playbook: roll\n" + HEAD.replace("service_down", "latency_spike") + over + "steps: [{id: a, action: noop}]\n" + VERIFY
    (house.playbooks / "restart-hung.yaml").unlink()
    (house.playbooks / "restart-process.yaml").unlink()
    house.playbook("roll", text)
    one = house.propose("InstanceDown", "web", instance="web-01")
    every = house.propose("HighLatency", "web", instance="web-02")
    assert (one.plan["targets"], every.plan["targets"]) == (["web-01"], ["web-01", "web-02"])
    leases: list[starting.Lease | None] = []
    claims = [lambda run=run: leases.append(starting.claim(run.pk, "worker")) for run in (one, every, one, every)]
    assert at_once(*claims) == []
    assert sum(lease is not None for lease in leases) == 1
    assert sorted(Run.objects.values_list("status", flat=True)) == ["queued", "running"]
