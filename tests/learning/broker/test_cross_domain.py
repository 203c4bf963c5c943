"""A cross-domain approval: asked for by a program, answered by a person in the queue of all approvals, for as long as it says."""

from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone

from healing import approvals
from healing.models import ApprovalRequest
from tests.factories import make_user

from .conftest import Asking


@pytest.fixture
def theirs(host: Asking) -> None:
    host.store("theirs", domain="host")
    host.store("their secret", domain="host", sensitive=True)


def asked_for(web: Asking, **changes: object) -> ApprovalRequest:
    answer = web.post("approvals", **{"domain": "web", "domains": ["host"], "hours": 4, "reason": "the outage", **changes})
    assert answer.status_code == 201, answer.content
    return ApprovalRequest.objects.get(pk=answer.json()["approval"])


def seen(web: Asking) -> list[str]:
    return [row["content"] for row in web.query(include_cross_domain=True)["memories"]]


def approve(request: ApprovalRequest) -> None:
    approvals.approve(request.pk, make_user("anna", role="approver"), "", "test", timezone.now())


@pytest.mark.usefixtures("theirs")
def test_once_approved_the_other_domain_answers_without_what_is_sensitive(web: Asking) -> None:
    request = asked_for(web)
    assert seen(web) == []
    approve(request)
    assert seen(web) == ["theirs"]


@pytest.mark.usefixtures("theirs")
def test_it_ends_when_it_says(web: Asking) -> None:
    approve(asked_for(web))
    with time_machine.travel(timezone.now() + timedelta(hours=4, seconds=1), tick=False):
        assert seen(web) == []


@pytest.mark.usefixtures("theirs")
def test_it_is_for_the_domains_that_it_names(web: Asking) -> None:
    approve(asked_for(web, domains=["shop"]))
    assert seen(web) == []


@pytest.mark.usefixtures("theirs")
def test_a_rejection_allows_nothing(web: Asking) -> None:
    approvals.reject(asked_for(web).pk, make_user("anna", role="approver"), "no", "test", timezone.now())
    assert seen(web) == []


@pytest.mark.usefixtures("theirs")
def test_what_was_approved_is_what_counts(web: Asking) -> None:
    from learning.broker.models import Grant

    approve(asked_for(web))
    Grant.objects.update(others=["host", "pay"])
    assert seen(web) == []


def test_who_asked_does_not_approve(web: Asking) -> None:
    from selfheal.errors import NotAllowed

    request = asked_for(web)
    web.user.groups.add(make_user("anna", role="approver").groups.get())
    with pytest.raises(NotAllowed, match="somebody else"):
        approvals.approve(request.pk, type(web.user).objects.get(pk=web.user.pk), "", "test", timezone.now())


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"domains": ["web"]}, 400),
        ({"domains": ["Host!"]}, 400),
        ({"hours": 0}, 400),
        ({"hours": 721}, 400),
        ({"domain": "host"}, 403),
    ],
)
def test_what_cannot_be_asked_for_is_refused(web: Asking, changes: dict, status: int) -> None:
    body = {"domain": "web", "domains": ["host"], "hours": 4, "reason": "the outage", **changes}
    assert web.post("approvals", **body).status_code == status
