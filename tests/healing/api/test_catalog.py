"""Playbooks, services and the kill switch over HTTP, with the real catalog."""

from pathlib import Path

import pytest
from django.conf import settings
from django.utils import timezone

from healing import catalog
from healing.models import LedgerOutbox, Playbook, Record, Run, Service
from tests.factories import make_incident, make_playbook, make_run, make_service, make_step

from .conftest import problem

PLAYBOOKS = Path(__file__).parents[3] / "config/playbooks"
WEB = {"name": "web", "url": "https://web.internal", "mode": "ask", "labels": {"unit": "web.service"}}


@pytest.mark.parametrize(
    ("service", "field"),
    [
        ({}, "name"),
        ({"name": "web", "depends_on": ["web"]}, "depends_on"),
        ({"name": "web", "labels": {"pidfile": "/run/web.pid"}}, "labels"),
        ({"name": "web", "labels": {"unit": "web.service", "program": "web"}}, "labels"),
        ({"name": "web", "labels": {"pidfile": "/run/web.pid", "start": "web"}}, "labels"),
        ({"name": "web", "targets": {"hosts": ["a", "a"]}}, "targets"),
        ({"name": "web", "targets": {"via": "ssh"}}, "targets.hosts"),
    ],
)
def test_what_is_wrong_with_a_service_is_named_by_its_field(admin, service, field):
    assert problem(admin.post("services", service), 400)["field"] == field


def test_playbooks_come_with_record_and_autonomy_for_each_diagnosis(reader):
    make_playbook("restart-unit", diagnoses=["service_down", "latency_spike"])
    Playbook.objects.create(
        name="restart-unit", version=2, digest="x", title="old", domain="host", impact="low", source="", document={}, path="",
        active=False, created_at=timezone.now(),
    )  # fmt: skip
    Record.objects.create(
        diagnosis="service_down", playbook="restart-unit", started=3, succeeded=2, failed=1, demoted_at=timezone.now()
    )
    (row,) = reader.get("playbooks").json()["results"]
    down, slow = row["record"]
    assert (down["started"], down["autonomous"]) == (3, False)
    assert (slow["diagnosis"], slow["started"], slow["autonomous"]) == ("latency_spike", 0, True)
    assert "clean record" in slow["autonomy"]


def test_a_service_is_declared_with_201_and_changed_with_200(admin):
    response = admin.post("services", WEB)
    assert response.status_code == 201
    found = response.json()
    assert {**found, **WEB} == found
    assert (found["tier"], found["targets"], found["depends_on"], found["min_instances"]) == ("standard", {}, [], 1)
    changed = admin.post("services", {**WEB, "mode": "auto"})
    assert (changed.status_code, changed.json()["mode"]) == (200, "auto")
    assert Service.objects.get().mode == "auto"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({**WEB, "mode": "off"}, "mode"),
        ({**WEB, "name": 7}, "name"),
        ({**WEB, "labels": {"unit": 1}}, "labels.unit"),
        ({**WEB, "depends_on": ["nobody"]}, "depends_on.0"),
        ({**WEB, "colour": "red"}, "colour"),
    ],
)
def test_a_service_that_is_wrong_names_the_field_and_stores_nothing(admin, body, field):
    before = LedgerOutbox.objects.count()
    assert problem(admin.post("services", body), 400)["field"] == field
    assert (Service.objects.count(), LedgerOutbox.objects.count()) == (0, before)


def test_services_are_listed_with_their_targets(reader):
    make_service("web", hosts=2, depends_on=[make_service("db")])
    db, web = reader.get("services").json()["results"]
    assert (db["name"], [t["name"] for t in db["resolved_targets"]]) == ("db", ["db"])
    assert (web["depends_on"], [t["name"] for t in web["resolved_targets"]]) == (["db"], ["web-01", "web-02"])
    assert reader.get("services", mode="observe").json()["results"] == []
    assert len(reader.get("services", name="web").json()["results"]) == 1


@pytest.fixture
def declared():
    service, _ = catalog.upsert_service({**WEB, "mode": "auto"}, timezone.now(), "test")
    catalog.sync(settings.SELF_HEAL_CONFIG_DIR, [PLAYBOOKS], timezone.now(), "test")
    Service.objects.filter(pk=service.pk).update(active=True)
    return service


def test_a_dry_run_tells_plan_decision_and_reasons_and_touches_nothing(reader, declared):
    playbook = Playbook.objects.filter(active=True, diagnoses__icontains="service_down").order_by("name")[0]
    before = (Run.objects.count(), LedgerOutbox.objects.count())
    response = reader.post(f"playbooks/{playbook.name}/dry_run", {"service": "web", "diagnosis": "service_down"})
    assert response.status_code == 200, response.content
    found = response.json()
    assert set(found) == {"not_applicable", "plan", "digest", "decision", "reasons"}
    assert found["not_applicable"] or found["plan"]["playbook"] == playbook.name
    assert (Run.objects.count(), LedgerOutbox.objects.count()) == before


def test_a_dry_run_of_what_is_not_there_names_it(reader, declared):
    problem(reader.post("playbooks/nobody/dry_run", {"service": "web", "diagnosis": "x"}), 404)
    make_playbook("x")
    assert problem(reader.post("playbooks/x/dry_run", {"service": "nobody", "diagnosis": "x"}), 400)["field"] == "service"
    assert problem(reader.post("playbooks/x/dry_run", {"diagnosis": "x"}), 400)["field"] == "service"
    problem(reader.post("playbooks/%00/dry_run", {"service": "web", "diagnosis": "x"}), 404)


def test_the_kill_switch_is_pulled_by_an_operator_and_released_by_an_approver(operator, approver, reader):
    assert reader.get("kill_switch").json()["state"] == "off"
    assert operator.post("kill_switch", {"state": "kill", "reason": "smoke"}).json()["state"] == "kill"
    assert "scope approve" in problem(operator.post("kill_switch", {"state": "off", "reason": "fine"}), 403)["detail"]
    assert "scope approve" in problem(operator.post("kill_switch", {"state": "pause", "reason": "fine"}), 403)["detail"]
    found = approver.post("kill_switch", {"state": "off", "reason": "fine"}).json()
    assert (found["state"], found["reason"], found["actor"]) == ("off", "fine", "anna")
    assert "scope operate" in problem(approver.post("kill_switch", {"state": "kill", "reason": "x"}), 403)["detail"]


@pytest.mark.parametrize(
    ("body", "field"), [({"state": "on", "reason": "x"}, "state"), ({"state": "kill"}, "reason"), ({}, "state")]
)
def test_a_switch_that_is_moved_wrongly_names_the_field(operator, body, field):
    assert problem(operator.post("kill_switch", body), 400)["field"] == field


def test_the_kill_switch_says_what_is_half_done_and_what_undoes_it(operator):
    run = make_run(make_incident(), status="running")
    make_step(run, status="running")
    (half,) = operator.post("kill_switch", {"state": "pause", "reason": "x"}).json()["half_done"]
    assert {key: half[key] for key in ("run", "step", "status", "undo")} == {
        "run": str(run.pk),
        "step": "restart",
        "status": "running",
        "undo": "nothing",
    }
    assert half["target"] == run.target


def test_a_stop_file_counts_as_kill(reader, tmp_path, settings):
    settings.SELF_HEAL_HOME = tmp_path
    (tmp_path / "STOP").touch()
    found = reader.get("kill_switch").json()
    assert (found["state"], found["stop_file"]) == ("kill", True)
