"""What keeps a run from being proposed or from starting, and what takes autonomy away and gives it back."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from healing import approvals, autonomy, governance, scheduler
from healing.alertmanager import Answer, Asked
from healing.models import ApprovalRequest, Control, Incident, LedgerOutbox, Playbook, Record, Run
from healing.runs import starting
from healing.runs.ending import finish, judge_held
from selfheal.errors import Conflict, Invalid, NotAllowed
from selfheal.states import RunStatus
from tests.factories import make_incident, make_playbook, make_run, make_service, make_user

from .conftest import House


def leaves(*actions: str) -> list[dict[str, Any]]:
    rows = LedgerOutbox.objects.order_by("pk").values_list("leaf", flat=True)
    return [leaf for leaf in (json.loads(bytes(row)) for row in rows) if leaf["action"] in actions]


# ---- Alertmanager, asked again


class Says:
    """What Alertmanager says from now on."""

    answer = Answer()


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Says:
    said = Says()
    settings.SELF_HEAL_ALERTMANAGER_URL = "http://alertmanager.invalid"
    monkeypatch.setattr(Asked, "about", lambda self, incident_id: said.answer)
    return said


@pytest.mark.parametrize("skip", ["silenced", "gone"])
def test_what_is_silenced_or_gone_is_not_proposed_and_looked_at_again(house: House, says: Says, skip: str) -> None:
    house.service("shop", up=False)
    says.answer = Answer(skip, "so it is")
    house.alert("InstanceDown", "shop")
    house.look()
    assert not Run.objects.exists()
    why = Incident.objects.get().why
    assert (why["skip"], why["reason"]) == (skip, "so it is")
    says.answer = Answer()
    house.look(timezone.now() + timedelta(minutes=1, seconds=5))
    assert Run.objects.get().status == "queued"


def test_a_person_is_told_that_it_is_silenced(house: House, says: Says) -> None:
    house.service("shop", mode="ask", up=False)
    says.answer = Answer("silenced", "silenced in Alertmanager by 5f3a")
    house.alert("InstanceDown", "shop")
    with pytest.raises(Conflict, match="silenced in Alertmanager by 5f3a"):
        scheduler.propose(Incident.objects.get().pk, "restart-process", {}, make_user("op", "operate"), timezone.now())


def test_while_it_does_not_answer_a_person_is_asked(house: House, says: Says) -> None:
    house.service("shop", up=False)
    says.answer = Answer(doubt="no answer within 2 s")
    run = house.propose("InstanceDown", "shop")
    assert (run.status, run.decision["verdict"]) == ("pending", "approval")
    assert "Alertmanager could not be asked: no answer within 2 s" in run.decision["why"]


@pytest.mark.parametrize(
    ("mode", "answer", "reason"),
    [
        ("auto", Answer("silenced", "silenced in Alertmanager by 5f3a"), "superseded"),
        ("auto", Answer("gone", "Alertmanager has no such alert any more"), "superseded"),
        ("auto", Answer(doubt="no answer"), "policy"),
        ("ask", Answer("silenced", "silenced in Alertmanager by 5f3a"), "superseded"),
        ("ask", Answer(doubt="no answer"), None),
    ],
)
def test_it_is_asked_again_before_the_start(house: House, says: Says, mode: str, answer: Answer, reason: str | None) -> None:
    house.service("shop", mode=mode, up=False)
    run = house.propose("InstanceDown", "shop")
    if mode == "ask":
        approvals.approve(ApprovalRequest.objects.get().pk, make_user("ann", role="approver"), "", "test", timezone.now())
    says.answer = answer
    lease = starting.claim(run.pk, "worker test")
    run.refresh_from_db()
    assert ((lease is None), run.abort_reason) == (reason is not None, reason)
    assert answer.detail in run.reason


def test_what_a_person_approved_starts_in_doubt_and_says_so(house: House, says: Says) -> None:
    house.service("shop", mode="ask", up=False)
    run = house.propose("InstanceDown", "shop")
    approvals.approve(ApprovalRequest.objects.get().pk, make_user("ann", role="approver"), "", "test", timezone.now())
    says.answer = Answer(doubt="no answer within 2 s")
    starting.claim(run.pk, "worker test")
    run.refresh_from_db()
    assert run.reason == "a person approved it; Alertmanager could not be asked: no answer within 2 s"


# ---- bounds

UNIT = """
playbook: restart-named
title: Restart what a label names
domain: host
diagnoses: [service_down]
impact: low
parameters: {unit: {type: string, pattern: "^[a-z]{1,20}$", from: service.labels.unit}}
steps:
  - {id: look, action: noop}
verify:
  - {check: http_health, url: "${target.url}/healthz"}
"""


@pytest.fixture
def named(house: House) -> House:
    for path in house.playbooks.glob("*.yaml"):
        path.unlink()
    house.playbook("restart-named", UNIT)
    house.service("shop", up=False)
    house.declare(shop={"labels": {"unit": "shop; reboot"}})
    return house


def test_a_parameter_out_of_its_bounds_is_denied_and_the_run_says_which(named: House) -> None:
    run = named.propose("InstanceDown", "shop")
    assert (run.status, run.abort_reason) == ("aborted", "bounds")
    (rule,) = [rule for rule in run.decision["rules"] if rule["rule"] == "bounds"]
    assert rule["verdict"] == "deny"
    assert "parameters.unit" in rule["reason"]
    assert run.plan["steps"] == []


def test_a_dry_run_shows_that_it_would_be_denied(named: House) -> None:
    for parameters, said in (({"unit": "A"}, "parameters.unit"), ({"shell": "x"}, "parameters.shell: is no parameter")):
        found = scheduler.dry_run("shop", "shop", "service_down", "restart-named", parameters, timezone.now())
        assert (found["decision"]["verdict"], found["plan"]) == ("deny", None)
        assert any(rule["rule"] == "bounds" and said in rule["reason"] for rule in found["decision"]["rules"])


def test_what_is_out_of_its_bounds_at_the_start_does_not_start(named: House) -> None:
    named.declare(shop={"labels": {"unit": "shop"}})
    run = named.propose("InstanceDown", "shop")
    assert run.status == "queued"
    named.declare(shop={"labels": {"unit": "A"}})
    assert starting.claim(run.pk, "worker test") is None
    run.refresh_from_db()
    assert (run.status, run.abort_reason) == ("aborted", "bounds")


# ---- what was approved is what runs


def test_a_playbook_that_was_edited_after_the_approval_does_not_run_and_the_run_keeps_what_changed(named: House) -> None:
    named.declare(shop={"labels": {"unit": "shop"}, "mode": "ask"})
    run = named.propose("InstanceDown", "shop")
    approvals.approve(ApprovalRequest.objects.get().pk, make_user("ann", role="approver"), "", "test", timezone.now())
    named.playbook("restart-named", UNIT.replace("{id: look, action: noop}", "{id: look, action: wait, with: {duration: 9s}}"))
    assert starting.claim(run.pk, "worker test") is None
    run.refresh_from_db()
    assert (run.status, run.abort_reason) == ("aborted", "superseded")
    changed = {change["path"]: (change["before"], change["after"]) for change in run.decision["changed"]}
    assert changed["steps.0.action"] == ("noop", "wait")
    assert "steps.0.action was 'noop' and is 'wait'" in run.reason


def test_a_label_that_was_changed_after_the_approval_voids_it_and_says_so(named: House) -> None:
    named.declare(shop={"labels": {"unit": "shop"}, "mode": "ask"})
    run = named.propose("InstanceDown", "shop")
    approvals.approve(ApprovalRequest.objects.get().pk, make_user("ann", role="approver"), "", "test", timezone.now())
    named.declare(shop={"labels": {"unit": "web"}})
    assert starting.claim(run.pk, "worker test") is None
    run.refresh_from_db()
    assert run.decision["changed"] == [{"path": "parameters.unit", "before": "shop", "after": "web"}]


# ---- one run a chain, storms, a playbook that fails everywhere


def test_one_run_at_once_for_a_service_and_for_its_dependency_chain(house: House) -> None:
    house.service("db", up=False)
    house.service("api", up=False, depends_on=["db"])
    house.service("wiki", up=False)
    running = house.propose("InstanceDown", "api")
    assert starting.claim(running.pk, "worker test")
    busy, free = house.propose("InstanceDown", "db"), house.propose("InstanceDown", "wiki")
    assert starting.claim(busy.pk, "worker test") is None
    assert starting.claim(free.pk, "worker test")
    elsewhere = make_run(make_incident(running.service, target="api-02", diagnosis="latency_spike"), running.playbook)
    assert starting._busy(elsewhere)


def test_a_storm_stops_autonomy_and_is_written_down_once_when_it_begins_and_ends(house: House) -> None:
    for n in range(5):
        house.service(f"web-{n}", up=False)
        house.alert("InstanceDown", f"web-{n}")
    house.look()
    assert {run.decision["verdict"] for run in Run.objects.all()} == {"approval"}
    assert "5 of 5 services are unhealthy" in Run.objects.first().decision["why"]
    governance.note_storm(timezone.now())
    assert Control.objects.get().storm == "5 of 5 services are unhealthy"
    Incident.objects.update(status="closed")
    for _ in range(2):
        governance.note_storm(timezone.now())
    assert [leaf["action"] for leaf in leaves("storm.tripped", "storm.over")] == ["storm.tripped", "storm.over"]
    assert Control.objects.get().storm == ""


def failed(playbook: Playbook, n: int, **fields: Any) -> None:
    for k in range(n):
        make_run(make_incident(make_service(f"other-{playbook.version}-{k}")), playbook, **{"status": "failed", **fields})


def test_a_playbook_that_fails_everywhere_is_stopped_everywhere(house: House) -> None:
    house.service("shop", up=False)
    failed(Playbook.objects.get(name="restart-process"), 3)
    run = house.propose("InstanceDown", "shop")
    assert run.decision["verdict"] == "approval"
    assert "stopped across the fleet: 3 of its runs went wrong within 60 min" in run.decision["why"]


@pytest.mark.parametrize("fields", [{"abort_reason": "operator"}, {"started_at": None}, {"status": "succeeded"}])
def test_what_says_nothing_about_the_playbook_stops_nothing(transactional_db: None, fields: dict) -> None:
    playbook = make_playbook()
    failed(playbook, 3, **fields)
    assert governance._failing(playbook.name, timezone.now()) == ""


def test_a_mended_playbook_begins_anew(transactional_db: None) -> None:
    old = make_playbook(active=False)
    failed(old, 3)
    make_playbook(version=2)
    assert governance._failing(old.name, timezone.now()) == ""


# ---- autonomy


@pytest.fixture
def medium(transactional_db: None) -> Playbook:
    return make_playbook("add-workers", impact="medium", diagnoses=["elevated_errors"])


def held_run(playbook: Playbook, n: int) -> None:
    at = timezone.now() - timedelta(minutes=20)
    incident = make_incident(make_service(f"web-{n}"), at, status="resolved", diagnosis="elevated_errors", resolved_at=at)
    incident.episodes.update(status="resolved", ends_at=at)
    run = make_run(incident, playbook, at, status=RunStatus.SUCCEEDED, due_at=at + timedelta(minutes=15))
    judge_held(run, timezone.now())


def test_the_fifth_held_run_promotes_and_the_log_says_so_once(medium: Playbook) -> None:
    for n in range(6):
        held_run(medium, n)
    (leaf,) = leaves("autonomy.promoted")
    assert leaf["payload"]["before"] == {"autonomy": "not earned yet, 4 of 5 held runs in a row"}
    assert "earned by 5 held runs in a row" in leaf["payload"]["after"]["autonomy"]
    assert Record.objects.get().held == 6


def grant(playbook: Playbook, **changes: Any) -> autonomy.Standing:
    user = changes.pop("user", None) or make_user(f"root{Record.objects.count()}", role="admin")
    said = {"diagnosis": playbook.diagnoses[0], "days": 30, "reason": "watched it for a month", **changes}
    return autonomy.grant(playbook.name, user=user, at=timezone.now(), **said)


def test_a_grant_lets_it_act_alone_until_it_ends(medium: Playbook) -> None:
    standing = grant(medium)
    assert standing.alone
    assert "granted by a person until" in standing.why
    (later,) = autonomy.standings([medium], timezone.now() + timedelta(days=31))
    assert not later.alone


def test_a_bad_run_ends_a_grant(medium: Playbook) -> None:
    grant(medium)
    run = make_run(make_incident(diagnosis="elevated_errors"), medium, status="running")
    assert finish(run, RunStatus.FAILED, actor="worker test", reason="it did not help", at=timezone.now())
    assert Record.objects.get().granted_until is None
    (leaf,) = leaves("autonomy.demoted")
    assert leaf["payload"]["before"]["granted_until"]
    assert leaf["payload"]["after"]["granted_until"] is None


def test_a_person_ends_a_grant_and_each_change_is_logged_with_before_and_after(medium: Playbook) -> None:
    grant(medium)
    root = make_user("root", role="admin")
    assert not autonomy.revoke(medium.name, "elevated_errors", "it was wrong", root, timezone.now()).alone
    granted, revoked = leaves("autonomy.granted", "autonomy.revoked")
    assert granted["payload"]["before"] == {"granted_until": None}
    assert revoked["payload"]["before"] == granted["payload"]["after"]
    with pytest.raises(Conflict, match="has no grant"):
        autonomy.revoke(medium.name, "elevated_errors", "again", root, timezone.now())


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"days": 0}, Invalid, "1 to 90 days"),
        ({"days": 91}, Invalid, "1 to 90 days"),
        ({"reason": " "}, Invalid, "says why"),
        ({"diagnosis": "service_down"}, Invalid, "is for elevated_errors, not for 'service_down'"),
        ({"impact": "high"}, NotAllowed, "high impact always needs a person"),
        ({"impact": "critical"}, NotAllowed, "critical impact always needs a person"),
        ({"role": "approver"}, NotAllowed, "role admin"),
    ],
)
def test_a_grant_is_bounded(medium: Playbook, changes: dict, error: type[Exception], said: str) -> None:
    Playbook.objects.update(impact=changes.pop("impact", "medium"))
    user = make_user("ann", role=changes.pop("role", "admin"))
    with pytest.raises(error, match=said):
        grant(medium, user=user, **changes)
    assert not Record.objects.exists()
