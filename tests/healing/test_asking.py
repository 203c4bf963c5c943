"""People are asked about what is no run, in the same queue and under the same rules."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from config.cli import run as selfheal
from healing import approvals, asking
from healing.admin.base import address_of
from healing.models import ApprovalRequest, LedgerOutbox, User
from selfheal.errors import Conflict, NotAllowed
from selfheal.states import Impact
from tests.factories import make_user
from tests.healing.api.conftest import Api

pytestmark = pytest.mark.django_db
SUBJECT = uuid.UUID(int=7)
CONTENT = {"domain": "web", "hours": 4}


def asked(user: User, impact: Impact = Impact.HIGH) -> ApprovalRequest:
    said: dict[str, Any] = {"title": "web asks host", "why": "the outage", "impact": impact, "domain": "web"}
    return asking.ask("thing", SUBJECT, CONTENT, user=user, at=timezone.now(), **said)


def test_another_person_approves_it_and_nothing_moves_but_the_request() -> None:
    request = asked(make_user("olga", role="operator"))
    after = approvals.approve(request.pk, make_user("anna", role="approver"), "", "test", timezone.now())
    assert after.status == "approved"
    assert ApprovalRequest.objects.get().content == CONTENT


def test_nobody_approves_what_they_asked_for() -> None:
    anna = make_user("anna", role="approver")
    with pytest.raises(NotAllowed, match="somebody else"):
        approvals.approve(asked(anna).pk, anna, "", "test", timezone.now())


def test_what_is_critical_needs_two() -> None:
    request = asked(make_user("olga", role="operator"), Impact.CRITICAL)
    assert approvals.approve(request.pk, make_user("anna", role="approver"), "", "test", timezone.now()).status == "pending"


def test_a_rejection_ends_it() -> None:
    request = asked(make_user("olga", role="operator"))
    assert approvals.reject(request.pk, make_user("anna", role="approver"), "no", "test", timezone.now()).status == "rejected"


def test_it_is_asked_once_at_a_time() -> None:
    olga = make_user("olga", role="operator")
    asked(olga)
    with pytest.raises(Conflict, match="asked already"):
        asked(olga)


def test_what_nobody_answers_expires_and_that_is_logged() -> None:
    request = asked(make_user("olga", role="operator"))
    assert asking.expire(request.expires_at - timedelta(seconds=1)) == 0
    assert asking.expire(request.expires_at) == 1
    assert ApprovalRequest.objects.get().status == "expired"
    assert b'"approval.expired"' in bytes(LedgerOutbox.objects.latest("pk").leaf)


def test_the_page_says_what_is_asked_for(client: Any) -> None:
    request = asked(make_user("olga", role="operator"))
    client.force_login(make_user("anna", role="approver"))
    page = client.get(address_of(request)).content.decode()
    for said in ("web asks host", "the outage", "hours", request.digest, "Approve"):
        assert said in page


def test_it_stands_in_the_queue(client: Any) -> None:
    asked(make_user("olga", role="operator"))
    client.force_login(make_user("anna", role="approver"))
    assert "domain web" in client.get("/admin/healing/approvalrequest/").content.decode()


def test_programs_are_told_what_is_asked_for() -> None:
    request = asked(make_user("olga", role="operator"))
    api = Api(make_user("vera"), "read")
    (row,) = api.get("approvals").json()["results"]
    assert (row["about"], row["content"], row["run"], row["playbook"]) == ("thing", CONTENT, None, None)
    assert api.get(f"approvals/{request.pk}").json()["subject"] is None


def test_the_command_line_shows_it(capsys: Any) -> None:
    request = asked(make_user("olga", role="operator"))
    assert selfheal(["approvals", "show", str(request.pk)]) == 0
    assert "hours" in capsys.readouterr().out
