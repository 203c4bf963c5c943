import pytest

from healing.models import Run, Vote
from tests.factories import make_incident, make_playbook, make_request, make_run

from .conftest import Api, problem, user


@pytest.fixture
def request_():
    return make_request(make_run(make_incident(), make_playbook(impact="high")))


def test_rows_name_what_a_caller_needs(reader, request_):
    (row,) = reader.get("approvals", status="pending").json()["results"]
    run = Run.objects.get()
    assert {name: row[name] for name in ("playbook", "service", "target", "run", "impact", "status", "needed", "votes")} == {
        "playbook": "restart-unit", "service": "web", "target": "web", "run": str(run.pk), "impact": "high",
        "status": "pending", "needed": 1, "votes": [],
    }  # fmt: skip
    assert row["expires_at"]
    assert row["digest"] == run.digest


def test_rows_are_filtered(reader, request_):
    assert len(reader.get("approvals", service="web").json()["results"]) == 1
    assert reader.get("approvals", service="db").json()["results"] == []
    assert reader.get("approvals", status="approved,rejected").json()["results"] == []


def test_one_request_shows_the_run_that_it_is_about(reader, request_):
    found = reader.get(f"approvals/{request_.pk}").json()
    assert found["subject"]["plan"]["steps"][0]["action"] == "process.restart"
    assert found["subject"]["digest"] == found["digest"]


def test_an_approval_counts_and_says_by_what_road_it_came(approver, request_):
    answer = approver.post(f"approvals/{request_.pk}/approve", {"comment": "go"})
    assert answer.status_code == 200
    assert answer.json()["status"] == "approved"
    (vote,) = answer.json()["votes"]
    assert (vote["user"], vote["approve"], vote["comment"]) == ("anna", True, "go")
    assert str(approver.token.public_id) in Vote.objects.get().via
    assert Run.objects.get().status == "queued"


def test_no_comment_is_needed_to_approve_and_one_is_to_reject(approver, request_):
    assert problem(approver.post(f"approvals/{request_.pk}/reject"), 400)["field"] == "comment"
    assert approver.post(f"approvals/{request_.pk}/approve").status_code == 200


def test_a_rejection_ends_the_run(approver, request_):
    assert approver.post(f"approvals/{request_.pk}/reject", {"comment": "not now"}).json()["status"] == "rejected"
    assert Run.objects.get().status == "rejected"


def test_what_is_not_pending_is_409(approver, request_):
    approver.post(f"approvals/{request_.pk}/reject", {"comment": "no"})
    assert "rejected already" in problem(approver.post(f"approvals/{request_.pk}/approve"), 409)["detail"]


def test_a_second_vote_of_one_person_is_409_and_two_people_approve_what_is_critical(approver):
    request = make_request(make_run(make_incident(), make_playbook(impact="critical")))
    path = f"approvals/{request.pk}/approve"
    assert approver.post(path).json()["status"] == "pending"
    problem(approver.post(path), 409)
    other = Api(user("otto", "approver"), "approve")
    assert other.post(path).json()["status"] == "approved"


def test_nobody_approves_what_they_asked_for(approver):
    run = make_run(make_incident(), make_playbook(impact="high"), requester=approver.user, requested_by="anna")
    request = make_request(run)
    problem(approver.post(f"approvals/{request.pk}/approve"), 403)


def test_an_operator_approves_nothing(operator, request_):
    assert "scope approve" in problem(operator.post(f"approvals/{request_.pk}/approve"), 403)["detail"]


def test_approving_by_get_is_405(approver, request_):
    problem(approver.get(f"approvals/{request_.pk}/approve"), 405)
    assert Run.objects.get().status == "pending"
