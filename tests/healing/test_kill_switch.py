"""The kill switch by each of its roads: what it ends, what it lists, who may release it, and that nothing is revived."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError
from django.test import Client
from django.utils import timezone

from config.cli import run as selfheal
from healing import access, governance
from healing.models import Control, LedgerOutbox, PutBack, Run
from healing.runs.watchdog import clear_waiting
from selfheal.states import StepStatus
from tests.factories import make_incident, make_run, make_service, make_step, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def home(tmp_path: Path, settings: Any) -> Path:
    settings.SELF_HEAL_HOME = tmp_path
    return tmp_path


@pytest.fixture
def rolling() -> Run:
    """A run over three targets: the first is done, the second is being done, the third has not begun."""
    targets = ["web-01", "web-02", "web-03"]
    undo = {"action": "process.start", "with": {}, "timeout_ms": 1000}
    step = {"id": "restart", "action": "process.restart", "with": {}, "timeout_ms": 1000, "on_fail": "undo", "rollback": undo}
    check = {"id": "look", "check": "http_health", "with": {}, "timeout_ms": 1000, "on_fail": "undo", "rollback": None}
    plan = {"targets": targets, "steps": [{**each, "target": target} for target in targets for each in (step, check)]}
    run = make_run(make_incident(make_service(hosts=3)), status="running", plan=plan, started_at=timezone.now())
    status = [StepStatus.SUCCEEDED, StepStatus.SUCCEEDED, StepStatus.RUNNING, *[StepStatus.PENDING] * 3]
    for n, planned in enumerate(plan["steps"]):
        make_step(run, position=n, name=planned["id"], target=planned["target"], status=status[n])  # type: ignore[index]
    return run


def test_half_done_names_each_target_with_what_undoes_it_and_no_check(rolling: Run) -> None:
    listed = [(half["target"], half["step"], half["status"], half["undo"]) for half in governance.half_done()]
    assert listed == [("web-01", "restart", "succeeded", "process.start"), ("web-02", "restart", "running", "process.start")]


def test_what_is_put_back_by_itself_says_when(rolling: Run) -> None:
    due = timezone.now() + timedelta(minutes=15)
    step = rolling.steps.get(position=0)
    PutBack.objects.create(step=step, service=rolling.service, target="web-01", action="log_level.set", arguments={}, due_at=due)
    assert [half["put_back_at"] for half in governance.half_done()] == [due.isoformat(), None]


def test_what_the_switch_ended_stays_listed_until_it_is_released(rolling: Run) -> None:
    governance.set_kill_switch("kill", reason="drill", actor="otto", at=timezone.now())
    ended = {"status": "aborted", "outcome": "aborted", "abort_reason": "kill_switch", "finished_at": timezone.now()}
    Run.objects.filter(pk=rolling.pk).update(**ended)
    assert len(governance.half_done()) == 2
    governance.set_kill_switch("off", reason="over", actor="ann", at=timezone.now())
    assert governance.half_done() == []


def pull_by_page(state: str, user: Any) -> int:
    client = Client()
    client.force_login(user)
    act = {"off": "release"}.get(state, state)
    return client.post(f"/admin/healing/control/1/act/{act}/", {"comment": "drill"}).status_code


def pull_by_api(state: str, user: Any) -> int:
    scopes = [scope for scope in ("operate", "approve") if user.has_perm(access.SCOPES[scope])]
    _, text = access.create_token(user, scopes, timedelta(hours=1), "", "test", timezone.now())
    body, auth = json.dumps({"state": state, "reason": "drill"}), {"authorization": f"Bearer {text}"}
    return Client().post("/api/self_heal/kill_switch", body, content_type="application/json", headers=auth).status_code


def pull_by_hand(state: str, user: Any) -> int:
    return 200 + selfheal(["kill-switch", state, "--reason", "drill", "--user", user.username])


@pytest.mark.parametrize("road", [pull_by_page, pull_by_api, pull_by_hand])
def test_an_operator_pulls_it_and_only_an_approver_releases_it(road: Callable[[str, Any], int]) -> None:
    access.ensure_roles(timezone.now())
    otto, ann = make_user("otto", role="operator"), make_user("ann", role="approver")
    for state in ("pause", "kill"):
        assert road(state, otto) in (200, 302)
        assert governance.kill_state() == state
    road("off", otto)
    assert governance.kill_state() == "kill"
    assert road("off", ann) in (200, 302)
    assert governance.kill_state() == "off"


def refuse(error: Exception) -> Callable[..., Any]:
    def away(*_: Any, **__: Any) -> Any:
        raise error

    return away


@pytest.mark.parametrize("error", [OperationalError("connection refused"), InterfaceError("connection already closed")])
def test_without_a_database_kill_writes_the_stop_file_and_says_so(
    error: Exception, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(governance, "set_kill_switch", refuse(error))
    assert selfheal(["kill-switch", "kill", "--reason", "fire"]) == 0
    assert "fire" in (home / "STOP").read_text()
    assert f"wrote {home / 'STOP'}" in capsys.readouterr().out
    assert governance.kill_state() == "kill"


@pytest.mark.parametrize("state", ["pause", "off"])
def test_without_a_database_nothing_else_works_and_that_is_said(
    state: str, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "STOP").touch()
    monkeypatch.setattr(governance, "set_kill_switch", refuse(OperationalError("connection refused")))
    assert selfheal(["kill-switch", state]) == 1
    assert "goes on stopping everything" in capsys.readouterr().err
    assert (home / "STOP").exists()


def test_the_status_shows_what_is_half_done_on_which_target(rolling: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert selfheal(["kill-switch", "status", "--json"]) == 0
    assert [half["target"] for half in json.loads(capsys.readouterr().out)["half_done"]] == ["web-01", "web-02"]


def entries() -> list[dict[str, Any]]:
    return [json.loads(bytes(row.leaf)) for row in LedgerOutbox.objects.order_by("id")]


def test_a_stop_file_is_written_into_the_log_once_with_what_it_says(home: Path, rolling: Run) -> None:
    (home / "STOP").write_text("it restarts the wrong thing\n")
    for _ in range(2):
        clear_waiting(timezone.now())
    (entry,) = [leaf for leaf in entries() if leaf["action"] == "kill_switch.stop_file"]
    assert (entry["actor"], entry["payload"]["half_done"]["count"]) == ("the file STOP", 2)
    assert "it restarts the wrong thing" in entry["payload"]["reason"]


def test_a_stop_file_that_is_gone_again_has_ended_what_was_proposed_before_it(home: Path) -> None:
    from healing.runs import starting

    run = make_run(status="queued", approved_at=timezone.now())
    (home / "STOP").touch()
    governance.notice_stop_file(timezone.now())
    (home / "STOP").unlink()
    assert starting.claim(run.pk, "worker", timezone.now()) is None
    run.refresh_from_db()
    assert (run.status, run.abort_reason) == ("aborted", "kill_switch")


def test_releasing_with_a_stop_file_there_is_in_the_log_and_removes_it(home: Path) -> None:
    (home / "STOP").touch()
    assert selfheal(["kill-switch", "off", "--reason", "over"]) == 0
    assert not (home / "STOP").exists()
    last = entries()[-1]
    assert (last["action"], last["payload"]["from"], last["payload"]["to"]) == ("kill_switch.set", "kill", "off")
    assert Control.objects.get().kill_at is not None
