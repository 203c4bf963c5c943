"""Two people, or a person and the clock, at the same moment on real connections: one outcome, and nobody gets a deadlock."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from healing import approvals, debt, incidents
from healing.governance import set_kill_switch
from healing.models import ApprovalRequest, Control, LedgerOutbox, Problem, Run
from healing.runs import abort, starting
from healing.runs.ending import finish
from healing.runs.watchdog import clear_waiting, take_care
from selfheal.errors import Conflict
from selfheal.states import RunStatus
from tests.factories import APPROVE, make_incident, make_playbook, make_problem, make_request, make_run, make_service, make_user

pytestmark = pytest.mark.usefixtures("real_database", "sent")
ROUNDS = 6


def at_once(*acts: Callable[[], Any]) -> list[Exception]:
    """Do all of them from threads that start together; what they raised, but for Conflict: coming second is no error."""
    gate, errors = threading.Barrier(len(acts)), []

    def do(act: Callable[[], Any]) -> None:
        try:
            gate.wait()
            act()
        except Conflict:
            pass  # somebody else got there first, and it says so
        except Exception as error:  # noqa: BLE001
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=do, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def waiting(n: int) -> ApprovalRequest:
    at = timezone.now()
    service = make_service(f"web-{n}")
    playbook = make_playbook(f"restart-{n}", impact="high")
    run = make_run(make_incident(service, at), playbook, at, due_at=at + timedelta(minutes=60))
    return make_request(run, at)


ACTS: dict[str, Callable[[ApprovalRequest, Any], Any]] = {
    "approve": lambda r, user: approvals.approve(r.pk, user, "", "test", timezone.now()),
    "reject": lambda r, user: approvals.reject(r.pk, user, "no", "test", timezone.now()),
    "abort": lambda r, user: abort(r.subject_id, actor="otto", reason="no", at=timezone.now()),
    "resolve": lambda r, user: incidents.resolve(run_of(r).incident_id, "otto", "", timezone.now()),  # type: ignore[arg-type]
    "expire": lambda r, user: take_care(timezone.now() + timedelta(minutes=61)),
    "kill": lambda r, user: set_kill_switch("kill", reason="drill", actor="otto", at=timezone.now()),
}


def run_of(request: ApprovalRequest) -> Run:
    return Run.objects.get(pk=request.subject_id)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("approve", "reject"),
        ("approve", "abort"),
        ("approve", "resolve"),
        ("approve", "expire"),
        ("reject", "resolve"),
        ("approve", "kill"),
    ],
)
def test_whoever_comes_second_changes_nothing_and_neither_gets_an_error(one: str, other: str) -> None:
    ann = make_user("ann", APPROVE)
    for n in range(ROUNDS):
        request = waiting(n)
        assert at_once(lambda r=request: ACTS[one](r, ann), lambda r=request: ACTS[other](r, ann)) == []
        request.refresh_from_db()
        status = run_of(request).status
        consistent = {
            "approved": ("queued", "aborted"),
            "rejected": ("rejected",),
            "cancelled": ("aborted",),
            "expired": ("aborted",),
        }
        assert status in consistent[request.status], (request.status, status)


def test_two_approvals_by_two_people_approve_once() -> None:
    ann, ben = make_user("ann", APPROVE), make_user("ben", APPROVE)
    request = waiting(0)
    acts = [lambda u=user: approvals.approve(request.pk, u, "", "test", timezone.now()) for user in (ann, ben)]
    assert at_once(*acts) == []
    assert run_of(request).status == "queued"


def test_the_kill_switch_can_be_pulled_while_many_approve(sent: list[str]) -> None:
    ann = make_user("ann", APPROVE)
    requests = [waiting(n) for n in range(6)]
    approve = [lambda r=request: approvals.approve(r.pk, ann, "", "test", timezone.now()) for request in requests]
    pull = lambda: set_kill_switch("kill", reason="drill", actor="otto", at=timezone.now())  # noqa: E731
    assert at_once(pull, *approve) == []
    assert Control.objects.get(pk=1).kill_switch == "kill"
    set_kill_switch("off", reason="over", actor="otto", at=timezone.now())
    for request in requests:
        assert starting.claim(request.subject_id, "worker", timezone.now()) is None
        assert run_of(request).status == "aborted"


def test_what_waited_while_the_stop_file_was_there_is_not_revived(settings: Any, tmp_path: Any) -> None:
    settings.SELF_HEAL_HOME = tmp_path
    request = waiting(0)
    (tmp_path / "STOP").touch()
    clear_waiting(timezone.now())
    (tmp_path / "STOP").unlink()
    assert (run_of(request).status, run_of(request).abort_reason) == ("aborted", "kill_switch")


def test_one_run_is_claimed_once_however_many_workers_try(sent: list[str]) -> None:
    request = waiting(0)
    Run.objects.filter(pk=request.subject_id).update(status="running", lease_expires_at=timezone.now() - timedelta(seconds=1))
    leases: list[Any] = []
    acts = [lambda n=n: leases.append(starting.claim(request.subject_id, f"worker {n}")) for n in range(8)]
    assert at_once(*acts) == []
    assert sum(lease is not None for lease in leases) == 1


def succeed(run: Run) -> None:
    assert finish(run, RunStatus.SUCCEEDED, actor="worker", reason="verified", at=timezone.now())


def test_successes_at_once_open_one_problem_that_counts_each_of_them(settings: Any) -> None:
    settings.SELF_HEAL_PROBLEM_HEALS = 3
    make_playbook()
    shop = make_service("shop", hosts=12)
    runs = [
        make_run(make_incident(shop, target=f"shop-{n:02d}"), status="verifying", target=f"shop-{n:02d}") for n in range(1, 9)
    ]
    for run in runs[:2]:
        succeed(run)
    assert at_once(*(lambda run=run: succeed(run) for run in runs[2:])) == []
    found = Problem.objects.get()
    assert (found.heals, found.parts.count()) == (8, 8)


def test_two_people_acknowledge_a_problem_once() -> None:
    ann, ben, problem = make_user("ann", role="operator"), make_user("ben", role="operator"), make_problem()
    acts = [lambda who=who: debt.acknowledge(problem.pk, who, "mine", timezone.now()) for who in (ann, ben)]
    assert at_once(*acts) == []
    problem.refresh_from_db()
    assert sum(b'"problem.ack"' in bytes(leaf) for leaf in LedgerOutbox.objects.values_list("leaf", flat=True)) == 1
    assert problem.acknowledged_by in (ann, ben)
