from pathlib import Path

import pytest
from django.conf import settings
from django.utils import timezone

from healing import catalog
from healing.models import Run
from tests.factories import make_incident, make_playbook, make_run, make_service, make_step

from .conftest import Api, problem, user

PLAYBOOKS = Path(__file__).parents[3] / "config/playbooks"
WEB = {"name": "web", "url": "http://127.0.0.1:1", "mode": "ask", "labels": {"unit": "web.service"}}


def test_runs_are_listed_and_filtered(reader):
    make_run(make_incident(make_service("web")), status="succeeded", held=True)
    make_run(make_incident(make_service("db")), make_playbook("other"))
    assert len(reader.get("runs").json()["results"]) == 2
    (row,) = reader.get("runs", status="succeeded").json()["results"]
    assert (row["service"], row["playbook"], row["outcome"], row["held"]) == ("web", "restart-unit", "success", True)
    assert len(reader.get("runs", playbook="other").json()["results"]) == 1
    assert len(reader.get("runs", service="db", status="pending").json()["results"]) == 1


def test_one_run_shows_plan_digest_decision_steps_and_verification(reader, django_assert_max_num_queries):
    run = make_run(status="failed")
    make_step(run, stdout="restarting\n", stdout_bytes=11)
    make_step(run, phase="verify", name="check", status="failed", message="503")
    with django_assert_max_num_queries(6):
        found = reader.get(f"runs/{run.pk}").json()
    assert (found["digest"], found["decision"]["verdict"], found["outcome"]) == (run.digest, "approval", "failed")
    assert found["plan"]["steps"][0]["with"] == {"unit": "web.service"}
    assert [(s["name"], s["stdout"]) for s in found["steps"]] == [("restart", "restarting\n")]
    assert [(s["status"], s["message"]) for s in found["verification"]] == [("failed", "503")]


def test_a_run_that_has_not_started_is_aborted_at_once(operator):
    run = make_run()
    answer = operator.post(f"runs/{run.pk}/abort", {"reason": "not needed"}).json()
    assert (answer["status"], answer["abort_reason"], answer["reason"]) == ("aborted", "operator", "not needed")


def test_a_run_that_is_over_is_409(operator):
    run = make_run(status="succeeded")
    assert "over" in problem(operator.post(f"runs/{run.pk}/abort"), 409)["detail"]


@pytest.fixture
def down():
    service, _ = catalog.upsert_service(WEB, timezone.now(), "test")
    return make_incident(service)


def test_a_proposal_is_a_run_that_policy_has_decided_on(operator, down):
    catalog.sync(settings.SELF_HEAL_CONFIG_DIR, [PLAYBOOKS], timezone.now(), "test")
    response = operator.post(f"incidents/{down.pk}/propose", {"playbook": "restart-process"})
    assert response.status_code == 201, response.content
    run = Run.objects.get()
    row = response.json()
    assert (row["id"], row["playbook"], row["requested_by"], row["trigger"]) == (
        str(run.pk),
        "restart-process",
        "olga",
        "operator",
    )
    assert (row["status"], row["verdict"]) == (run.status, run.decision["verdict"])
    assert problem(operator.post(f"incidents/{down.pk}/propose", {"playbook": "restart-process"}), 409)["detail"].startswith(
        "dup: "
    )


def test_a_proposal_with_a_parameter_that_is_not_declared_is_refused(operator, down):
    catalog.sync(settings.SELF_HEAL_CONFIG_DIR, [PLAYBOOKS], timezone.now(), "test")
    response = operator.post(f"incidents/{down.pk}/propose", {"playbook": "restart-process", "parameters": {"shell": "rm -rf /"}})
    assert "shell" in problem(response, 400)["field"]
    assert not Run.objects.exists()


def test_a_proposal_with_an_unknown_playbook_names_the_field(operator, down):
    assert problem(operator.post(f"incidents/{down.pk}/propose", {"playbook": "nobody"}), 400)["field"] == "playbook"
    assert problem(operator.post(f"incidents/{down.pk}/propose", {"playbook": 1}), 400)["field"] == "playbook"
    assert (
        problem(operator.post(f"incidents/{down.pk}/propose", {"playbook": "x", "parameters": []}), 400)["field"] == "parameters"
    )
    assert not Run.objects.exists()


def test_a_proposal_that_the_scheduler_passes_over_is_409_with_the_reason(operator, down):
    make_run(down)
    answer = problem(operator.post(f"incidents/{down.pk}/propose", {"playbook": "restart-unit"}), 409)
    assert answer["detail"].startswith("dup: ")


@pytest.mark.parametrize(("scopes", "status"), [(("operate",), "pending"), (("operate", "approve"), "queued")])
def test_an_approvers_own_proposal_counts_only_by_a_token_that_may_approve(down, scopes, status):
    catalog.sync(settings.SELF_HEAL_CONFIG_DIR, [PLAYBOOKS], timezone.now(), "test")
    anna = Api(user("anna", "approver"), "read", *scopes)
    assert anna.post(f"incidents/{down.pk}/propose", {"playbook": "restart-process"}).json()["status"] == status
