"""Who may approve, by whatever road; who is told when nobody answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from config.cli import run as selfheal
from healing import access, approvals, escalation
from healing.admin.base import address_of
from healing.models import ApprovalRequest, DomainApprover, LedgerOutbox, Run, User
from healing.runs import starting
from selfheal.errors import Conflict, Invalid, NotAllowed
from tests.factories import make_incident, make_playbook, make_request, make_run, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "_send_now", lambda run_id: None)


def asked_by(user: User | None, impact: str = "high", at: Any = None, **fields: Any) -> ApprovalRequest:
    run = make_run(make_incident(), make_playbook(impact=impact), at, requester=user, requested_by=str(user or "scheduler"))
    return make_request(run, at, **fields)


def actions() -> list[dict[str, Any]]:
    return [json.loads(bytes(leaf)) for leaf in LedgerOutbox.objects.order_by("pk").values_list("leaf", flat=True)]


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def by_service(user: User, request: ApprovalRequest) -> None:
    with pytest.raises(NotAllowed, match="somebody else"):
        approvals.approve(request.pk, user, "", "test", timezone.now())


def by_token(user: User, request: ApprovalRequest) -> None:
    at = timezone.now()
    for scopes in (["approve"], ["operate", "approve", "admin"]):  # a second token is not a second person
        _, text = access.create_token(user, scopes, timedelta(days=1), "test", "test", at)
        headers = {"Authorization": f"Bearer {text}"}
        path = f"/api/self_heal/approvals/{request.pk}/approve"
        assert Client().post(path, "{}", content_type="application/json", headers=headers).status_code == 403


def by_session_on_the_api(user: User, request: ApprovalRequest) -> None:
    path = f"/api/self_heal/approvals/{request.pk}/approve"
    assert signed_in(user).post(path, "{}", content_type="application/json").status_code in (401, 403)


def by_page(user: User, request: ApprovalRequest) -> None:
    signed_in(user).post(address_of(request).replace("/change/", "/act/approve/"), {"comment": ""})


def by_form(user: User, request: ApprovalRequest) -> None:
    assert signed_in(user).post(address_of(request), {"status": "approved"}).status_code in (403, 405)


def by_list_edit(user: User, request: ApprovalRequest) -> None:
    form = {"form-TOTAL_FORMS": 1, "form-INITIAL_FORMS": 1, "form-0-id": request.pk, "form-0-status": "approved", "_save": "Save"}
    signed_in(user).post(reverse("admin:healing_approvalrequest_changelist"), form)


def by_bulk_action(user: User, request: ApprovalRequest) -> None:
    for name in ("approve", "delete_selected"):
        form = {"action": name, "_selected_action": [str(request.pk)]}
        signed_in(user).post(reverse("admin:healing_approvalrequest_changelist"), form)


def by_answer_to_several(user: User, request: ApprovalRequest) -> None:
    answer = {"ids": [str(request.pk)], "comment": "all of them"}
    signed_in(user).post(reverse("admin:healing_approvalrequest_bulk", args=["approve"]), answer)


def by_command_line(user: User, request: ApprovalRequest) -> None:
    assert selfheal(["approvals", "approve", str(request.pk), "--user", user.username]) == 1


ROADS = [
    by_service,
    by_token,
    by_session_on_the_api,
    by_page,
    by_form,
    by_list_edit,
    by_bulk_action,
    by_answer_to_several,
    by_command_line,
]


@pytest.mark.parametrize("superuser", [False, True], ids=["approver", "superuser"])
@pytest.mark.parametrize("road", ROADS, ids=lambda road: road.__name__)
def test_nobody_approves_what_they_asked_for_by_whatever_road(
    road: Callable[[User, ApprovalRequest], None], superuser: bool
) -> None:
    ann = make_user("ann", role="admin", is_superuser=superuser)
    request = asked_by(ann)
    road(ann, request)
    request = ApprovalRequest.objects.get()
    assert (request.status, request.votes.count(), Run.objects.get().status) == ("pending", 0, "pending")


@pytest.mark.parametrize(
    ("since", "impact", "allowed"),
    [
        ("high", "low", True),
        ("high", "medium", True),
        ("high", "high", False),
        ("high", "critical", False),
        ("low", "low", False),
        ("critical", "high", True),
        ("critical", "critical", False),
    ],
)
def test_four_eyes_are_needed_from_the_impact_that_is_set(since: str, impact: str, allowed: bool, settings: Any) -> None:
    settings.SELF_HEAL_FOUR_EYES_FROM = since
    ann = make_user("ann", role="approver")
    assert (approvals.kept_from_approving(asked_by(ann, impact), ann) == "") is allowed


def test_whoever_asked_may_reject() -> None:
    ann = make_user("ann", role="approver")
    assert approvals.reject(asked_by(ann).pk, ann, "a mistake", "test", timezone.now()).status == "rejected"


# ---- domains


def test_a_domain_that_names_its_approvers_is_approved_by_those_only() -> None:
    ann, bob = make_user("ann", role="approver"), make_user("bob", role="admin")
    DomainApprover.objects.create(domain="host", user=ann)
    request = asked_by(None)
    with pytest.raises(NotAllowed, match="in the domain host is approved by ann"):
        approvals.approve(request.pk, bob, "", "test", timezone.now())
    assert approvals.approve(request.pk, ann, "", "test", timezone.now()).status == "approved"


def test_approvers_of_another_domain_change_nothing() -> None:
    DomainApprover.objects.create(domain="data", user=make_user("ann", role="approver"))
    assert approvals.kept_from_approving(asked_by(None), make_user("bob", role="approver")) == ""


def test_whoever_is_named_and_has_lost_the_role_approves_nothing() -> None:
    DomainApprover.objects.create(domain="host", user=make_user("ann", role="viewer"))
    request, bob = asked_by(None), make_user("bob", role="approver")
    for user in (User.objects.get(username="ann"), bob):
        with pytest.raises(NotAllowed):
            approvals.approve(request.pk, user, "", "test", timezone.now())


def test_naming_and_removing_an_approver_is_logged_with_before_and_after() -> None:
    ann, bob = make_user("ann", role="approver"), make_user("bob", role="approver")
    approvals.name_approver("host", ann, actor="root", at=timezone.now())
    named = approvals.name_approver("host", bob, actor="root", at=timezone.now())
    approvals.remove_approver(named, actor="root", at=timezone.now())
    told = [(leaf["action"], leaf["payload"]["before"], leaf["payload"]["after"]) for leaf in actions()]
    assert told == [
        ("approver.named", [], ["ann"]),
        ("approver.named", ["ann"], ["ann", "bob"]),
        ("approver.removed", ["ann", "bob"], ["ann"]),
    ]


def test_only_approvers_are_named_and_only_once() -> None:
    with pytest.raises(Invalid, match="has not the role approver"):
        approvals.name_approver("host", make_user("vic", role="viewer"), actor="root", at=timezone.now())
    ann = make_user("ann", role="approver")
    approvals.name_approver("host", ann, actor="root", at=timezone.now())
    with pytest.raises(Conflict, match="already"):
        approvals.name_approver("host", ann, actor="root", at=timezone.now())


# ---- escalation


@pytest.fixture
def executing(settings: Any) -> None:
    settings.SELF_HEAL_EXECUTE, settings.SELF_HEAL_OBSERVE_ONLY = True, False


@pytest.fixture
def waiting(at: Any, executing: None) -> ApprovalRequest:
    return asked_by(None, at=at, created_at=at, escalate_at=at + timedelta(minutes=5))


def escalations_at(at: Any, *minutes: float) -> list[int]:
    return [len(escalation.escalate(at + timedelta(minutes=m))) for m in minutes]


def test_a_request_is_escalated_after_5_and_after_15_minutes_and_no_more(at: Any, waiting: ApprovalRequest) -> None:
    assert escalations_at(at, 4.9, 5, 5.5, 14.9, 15, 16, 50) == [0, 1, 0, 0, 1, 0, 0]
    waiting.refresh_from_db()
    assert (waiting.escalations, waiting.escalate_at) == (2, None)
    assert [leaf["payload"]["escalation"] for leaf in actions()] == [1, 2]


def test_whoever_slept_through_both_times_tells_once(at: Any, waiting: ApprovalRequest) -> None:
    assert escalations_at(at, 20, 20.5) == [1, 0]
    assert ApprovalRequest.objects.get().escalations == 2


def test_two_ticks_that_saw_the_same_request_escalate_it_once(at: Any, waiting: ApprovalRequest) -> None:
    later = at + timedelta(minutes=6)
    assert [escalation._escalate(waiting, later), escalation._escalate(waiting, later)] == [True, False]


def test_what_is_answered_or_has_expired_is_not_escalated(at: Any, waiting: ApprovalRequest) -> None:
    assert escalations_at(at, 58) == [0]
    approvals.reject(waiting.pk, make_user("ann", role="approver"), "no", "test", at + timedelta(minutes=1))
    assert ApprovalRequest.objects.get().escalate_at is None


def test_nobody_is_told_while_nothing_is_executed(at: Any, waiting: ApprovalRequest, settings: Any) -> None:
    settings.SELF_HEAL_EXECUTE, settings.SELF_HEAL_OBSERVE_ONLY = False, True
    assert escalations_at(at, 6) == [0]
