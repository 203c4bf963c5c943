"""Every change of what governs or of what is governed has its entry, with who, why, and how it was before and after."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.utils import timezone

import healing
from config import settings_log
from healing import access, approvals, catalog, debt, incidents, intake, trust
from healing.governance import set_kill_switch
from healing.models import LedgerOutbox, Run, User
from healing.runs import abort, ending, starting
from healing.runs.watchdog import take_care
from healing.transitions import move
from selfheal.states import MOVES, AbortReason, RunStatus
from tests.factories import (
    APPROVE,
    PASSWORD,
    make_decision,
    make_incident,
    make_problem,
    make_request,
    make_run,
    make_service,
    make_step,
    make_user,
)

pytestmark = pytest.mark.django_db
CODE = Path(healing.__file__).parent


@pytest.fixture(autouse=True)
def _no_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    from healing import tasks

    monkeypatch.setattr(tasks.execute_run, "apply_async", lambda *_, **__: None)
    monkeypatch.setattr(tasks.look, "apply_async", lambda *_, **__: None)


def leaves(action: str) -> list[dict[str, Any]]:
    found = (json.loads(bytes(row)) for row in LedgerOutbox.objects.order_by("id").values_list("leaf", flat=True))
    return [leaf for leaf in found if leaf["action"] == action]


# -- what has a status


MAKE: dict[str, Callable[[str], Any]] = {
    "run": lambda status: make_run(status=status),
    "incident": lambda status: make_incident(status=status),
    "approval": lambda status: make_request(status=status),
    "problem": lambda status: make_problem(status=status),
    "step": lambda status: make_step(make_run(status="running"), status=status),
}
ALL_MOVES = [(kind, source, to) for kind, moves in MOVES.items() for source, targets in moves.items() for to in targets]


@pytest.mark.parametrize(("kind", "source", "to"), [tuple(map(str, each)) for each in ALL_MOVES])
def test_every_move_of_the_table_has_an_entry_with_actor_reason_before_and_after(kind: str, source: str, to: str) -> None:
    thing = MAKE[kind](source)
    assert move(thing, to, actor="ann", at=timezone.now(), reason="because")
    (leaf,) = leaves(f"{kind}.{to}")
    assert leaf["actor"] == "ann"
    assert {key: leaf["payload"][key] for key in ("from", "to", "reason")} == {"from": source, "to": to, "reason": "because"}


def test_no_other_code_writes_the_status_of_what_the_table_moves() -> None:
    """An update that names `status` among what it writes, outside of `transitions`, is a move without an entry.

    Episodes have no moves of their own: the entry of the intake tells of them.
    """
    writes = re.compile(r"\.update\(\s*status=|\b(?:run|step|row|request|incident|thing)\.status = |bulk_update\([^)]*\"status\"")
    found = {str(path.relative_to(CODE)) for path in CODE.rglob("*.py") if writes.search(path.read_text())}
    assert found <= {"transitions.py", "intake/store.py", "idempotency.py"}  # the last: the status of an HTTP answer


# -- what has none


@dataclass
class Scene:
    """A little world in which a road is taken; `client` is the admin `root`, signed in."""

    at: datetime
    client: Client
    root: User
    ann: User


@pytest.fixture
def scene() -> Scene:
    access.ensure_roles(timezone.now())
    client, root = Client(), make_user("root", role="admin")
    client.force_login(root)
    return Scene(timezone.now(), client, root, make_user("ann", APPROVE))


def alert(status: str = "firing", fingerprint: str = "", **labels: str) -> bytes:
    ends = "0001-01-01T00:00:00Z" if status == "firing" else "2026-11-25T12:00:00Z"
    named = {"alertname": "InstanceDown", "service": "web", "severity": "warning", **labels}
    one = {"status": status, "labels": named, "annotations": {}, "startsAt": "2026-11-25T11:00:00Z", "endsAt": ends}
    if fingerprint:
        one["fingerprint"] = fingerprint
    return json.dumps({"version": "4", "status": status, "alerts": [one]}).encode()


def receive(scene: Scene, body: bytes) -> None:
    intake.receive(body, actor="am", at=scene.at)


def user_form(user: User, **fields: Any) -> dict[str, Any]:
    groups = [group.pk for group in user.groups.all()]
    return {"username": user.username, "is_active": "on", "is_staff": "on", "groups": groups, **fields}


def change_user(scene: Scene, **fields: Any) -> None:
    answer = scene.client.post(f"/admin/healing/user/{scene.ann.pk}/change/", user_form(scene.ann, **fields))
    assert answer.status_code == 302, answer.content.decode()


def set_password(scene: Scene) -> None:
    form = {"usable_password": "true", "password1": "a long password 1", "password2": "a long password 1"}
    scene.client.post(f"/admin/healing/user/{scene.ann.pk}/password/", form)


def own_password(scene: Scene) -> None:
    form = {"old_password": PASSWORD, "new_password1": "a long password 1", "new_password2": "a long password 1"}
    assert scene.client.post("/admin/password_change/", form).status_code == 302


def revoke_by_page(scene: Scene) -> None:
    token, _ = access.create_token(scene.root, ["read"], timedelta(days=1), "ci", "root", scene.at)
    scene.client.post(f"/admin/healing/token/{token.public_id}/act/revoke/", {})


def approved(scene: Scene) -> Run:
    request = make_request()
    approvals.approve(request.pk, scene.ann, "go", "test", scene.at)
    return Run.objects.get(pk=request.subject_id)


def consumed(scene: Scene) -> None:
    assert approvals.consume(approved(scene), scene.at)


def expire(scene: Scene) -> None:
    run = make_run(due_at=scene.at)
    make_request(run)
    take_care(scene.at + timedelta(minutes=61))


def decide_again(scene: Scene) -> None:
    make_run(status="deferred", due_at=scene.at, decision=make_decision("defer", "outside"), plan={"outside_window": "wait"})
    with patch.object(starting, "_changed", return_value=None):  # the plan of this row was not resolved from its playbook
        take_care(scene.at)


def demote(scene: Scene) -> None:
    ending.finish(make_run(status="running"), RunStatus.FAILED, actor="worker", reason="it broke", at=scene.at)


def judge(scene: Scene, *, quiet: bool) -> None:
    run = make_run(status="succeeded", due_at=scene.at)
    if quiet:
        run.incident.episodes.update(status="resolved", ends_at=run.finished_at)
    ending.judge_held(run, (run.finished_at or scene.at) + timedelta(minutes=16))


def taken_over(scene: Scene) -> None:
    late = {"lease_expires_at": scene.at - timedelta(seconds=1), "lease_holder": "worker one", "attempts": 1}
    starting.claim(make_run(status="running", **late).pk, "worker two", scene.at)


def lose(scene: Scene) -> None:
    run = make_run(status="running")
    make_step(run, status="running")
    ending.end_lost(run, AbortReason.LOST_WORKER, scene.at, actor="watchdog", words="lost its worker (worker one)")


def change_mode(scene: Scene) -> None:
    service = make_service("web", mode="observe")
    scene.client.post(f"/admin/healing/service/{service.pk}/act/mode/", {"mode": "auto"})


def change_settings(scene: Scene) -> None:
    settings_log.record("web", scene.at)


Road = Callable[[Scene], Any]
ROADS: list[tuple[str, str, Road]] = [
    ("an alert comes in", "alerts.received", lambda s: (make_service("web"), receive(s, alert()))),
    ("an alert matches nothing", "alerts.received", lambda s: receive(s, alert(service="nobody"))),
    ("a person comments", "incident.comment", lambda s: incidents.comment(make_incident().pk, "ann", "hm", s.at)),
    ("an incident opens again", "incident.open", lambda s: incidents.reopen(make_incident(status="resolved"), "ann", "x", s.at)),
    ("a person votes", "approval.vote", approved),
    ("an approval is used", "approval.used", consumed),
    ("a request expires", "approval.expired", expire),
    ("a person aborts what runs", "run.abort_asked", lambda s: abort(make_run(status="running").pk, "ann", "no", s.at)),
    ("a deferred run is decided again", "run.decided", decide_again),
    ("a worker takes a run over", "run.taken_over", taken_over),
    ("a run loses its worker", "step.unknown", lose),
    ("a bad run takes autonomy away", "autonomy.demoted", demote),
    ("a person acknowledges a problem", "problem.ack", lambda s: debt.acknowledge(make_problem().pk, s.root, "mended", s.at)),
    ("a person sets trust", "trust.set", lambda s: trust.set_by_hand("agent", "bot", 0.1, None, "it lies", s.root, s.at)),
    ("a success holds", "run.held", lambda s: judge(s, quiet=True)),
    ("a success does not hold", "run.not_held", lambda s: judge(s, quiet=False)),
    ("somebody pulls the switch", "kill_switch.set", lambda s: set_kill_switch("kill", reason="drill", actor="ann", at=s.at)),
    ("a service is declared", "service.created", lambda s: catalog.upsert_service({"name": "web"}, s.at, "root")),
    ("a service changes its mode on its page", "service.changed", change_mode),
    ("settings differ from the last start", "settings.changed", change_settings),
    ("roles are set up", "role.set", lambda s: None),
    ("a user is made on the command line", "user.created", lambda s: access.create_user("new", "viewer", PASSWORD, "root", s.at)),
    ("a user gets another role", "user.changed", lambda s: change_user(s, groups=[Group.objects.get(name="admin").pk])),
    ("a user is switched off", "user.changed", lambda s: change_user(s, is_active="")),
    ("an admin sets a password", "user.password_changed", set_password),
    ("somebody changes their own password", "user.password_changed", own_password),
    (
        "a token is made",
        "token.created",
        lambda s: access.create_token(s.root, ["read"], timedelta(days=1), "ci", "root", s.at),
    ),
    ("a token is revoked on its page", "token.revoked", revoke_by_page),
]


@pytest.mark.parametrize(("action", "road"), [pytest.param(action, road, id=what) for what, action, road in ROADS])
def test_every_road_has_its_entry_with_who_did_it(scene: Scene, action: str, road: Road) -> None:
    road(scene)
    found = leaves(action)
    assert found, f"no {action}"
    assert found[-1]["actor"]
    assert PASSWORD not in json.dumps(found)
    assert "a long password" not in json.dumps(found)


def test_a_user_is_told_as_before_and_as_after(scene: Scene) -> None:
    change_user(scene, groups=[Group.objects.get(name="admin").pk])
    payload = leaves("user.changed")[-1]["payload"]
    assert (payload["before"]["roles"], payload["after"]["roles"]) == (["viewer"], ["admin"])


def test_a_change_of_settings_is_told_once_by_whom_and_without_a_secret(scene: Scene, settings: Any) -> None:
    assert settings_log.record("up", scene.at)
    settings.SELF_HEAL_AUTOAPPROVE_LOW_RISK = False
    settings.SELF_HEAL_NOTIFY_URLS = ["mailto://user:hunter2@example.org"]
    assert settings_log.record("web", scene.at)
    assert not settings_log.record("worker runs", scene.at)
    last = leaves("settings.changed")[-1]
    assert last["payload"]["before"] == {"SELF_HEAL_AUTOAPPROVE_LOW_RISK": True, "SELF_HEAL_NOTIFY_URLS": "not set"}
    assert last["payload"]["after"] == {"SELF_HEAL_AUTOAPPROVE_LOW_RISK": False, "SELF_HEAL_NOTIFY_URLS": "set"}
    assert last["actor"].endswith("(command line)")
    assert "hunter2" not in json.dumps(last)


def test_no_setting_that_may_hold_a_secret_is_written_down(settings: Any) -> None:
    settings.DATABASE_URL = settings.SELF_HEAL_HEARTBEAT_URL = "https://user:hunter2@example.org"
    said = settings_log.governing()
    assert {"SECRET_KEY", "DATABASE_URL", "CELERY_BROKER_URL", "SELF_HEAL_NOTIFY_URLS"} <= {
        n for n in said if said[n] in ("set", "not set")
    }
    assert "hunter2" not in json.dumps(said)


def test_settings_are_compared_with_what_is_in_the_log_as_well(scene: Scene) -> None:
    from healing.ledger import keys, sequencer

    settings_log.record("up", scene.at)
    sequencer.sequence_once(keys.load(), scene.at)
    assert not settings_log.record("up", scene.at)


def test_an_alert_that_gets_worse_is_told_even_where_its_incident_was_worse_already(scene: Scene) -> None:
    make_service("web")
    receive(scene, alert(severity="critical"))
    receive(scene, alert(severity="info", fingerprint="a"))
    receive(scene, alert(severity="warning", fingerprint="a"))
    assert leaves("alerts.received")[-1]["payload"]["worsened"][0]["to"] == "medium"
