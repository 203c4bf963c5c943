"""Two people, or a person and the clock, at the same moment on real connections: one outcome, and nobody gets a deadlock."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from healing import approvals, incidents
from healing.governance import set_kill_switch
from healing.models import ApprovalRequest, Control, Run
from healing.runs import abort, starting
from healing.runs.watchdog import clear_waiting, take_care
from selfheal.errors import Conflict
from tests.factories import APPROVE, make_incident, make_playbook, make_request, make_run, make_service, make_user

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
