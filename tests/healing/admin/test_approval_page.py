"""The page on which a person decides, without a browser: what it says, whom it refuses."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from healing import approvals, silences
from healing.admin.base import address_of
from healing.models import ApprovalRequest, LedgerOutbox, Run, User
from tests.factories import make_incident, make_plan, make_playbook, make_request, make_run, make_service, make_user

from .conftest import text_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def high() -> ApprovalRequest:
    make_playbook(impact="high")
    web = make_service("web", hosts=40)
    make_service("shop", depends_on=[web])
    return make_request(make_run(make_incident(web)))


def act(request: ApprovalRequest, name: str) -> str:
    return address_of(request).replace("/change/", f"/act/{name}/")


def test_it_says_what_is_wrong_where_and_exactly_what_will_run(sign_in: Any, high: ApprovalRequest) -> None:
    page = text_of(sign_in("ann", "approver").get(address_of(high)))
    for said in (
        "Instance is down",
        "<strong>web-01</strong>, 1 of 40 targets of",
        "<strong>process.restart</strong> on <strong>web-01</strong>",
        "web.service",
        "http://web-01:8080/healthz",
        "It cannot be undone.",
        "<strong>1 service depends on web</strong>: shop",
        "impact high always needs approval",
        "It never ran here.",
        "Nothing runs then. The incident stays open",
        high.digest,
    ):
        assert said in page, said


def test_the_parts_stand_in_the_order_in_which_one_decides(sign_in: Any, high: ApprovalRequest) -> None:
    page = text_of(sign_in("ann", "approver").get(address_of(high)))
    order = ["Where", "Since", "Checked", "What will run", "The worst case", "Why you are asked", "The last results", "If nobody"]
    order += ["Rules that were looked at", "Digest and plan"]
    found = [page.index(f">{part}") for part in order]
    assert found == sorted(found)


def test_the_first_reason_stands_alone_and_the_others_below_it(sign_in: Any, high: ApprovalRequest) -> None:
    rules = [
        {"rule": "impact", "verdict": "approval", "reason": "one"},
        {"rule": "storm", "verdict": "approval", "reason": "two"},
    ]
    Run.objects.update(decision={"verdict": "approval", "rules": rules})
    ApprovalRequest.objects.update(why="one; two")
    page = text_of(sign_in("ann", "approver").get(address_of(high)))
    assert '<p class="sh-lead">one</p> <p class="sh-dim">Also: two. Asked by' in page


def test_it_recommends_nothing(sign_in: Any, high: ApprovalRequest) -> None:
    assert "recommend" not in text_of(sign_in("ann", "approver").get(address_of(high))).lower()


def test_the_last_three_results_are_shown_here_and_elsewhere(sign_in: Any, high: ApprovalRequest) -> None:
    run = Run.objects.get()
    for day in range(1, 6):
        at = timezone.now() - timedelta(days=day)
        make_run(make_incident(run.service, at, status="closed"), at=at, status="failed", reason=f"broke on day {day}")
    make_run(make_incident(run.service, status="closed", target="web-02"), status="succeeded", held=True)
    page = text_of(sign_in("ann", "approver").get(address_of(high)))
    assert "broke on day 3" in page
    assert "broke on day 4" not in page
    assert "web / web-02" in page


def test_an_approval_starts_the_run_and_stands_in_the_log(sign_in: Any, high: ApprovalRequest) -> None:
    client = sign_in("ann", "approver")
    after = client.post(act(high, "approve"), {"comment": "go"}, follow=True)
    high.refresh_from_db()
    assert (high.status, Run.objects.get().status) == ("approved", "queued")
    assert "Approved: the run starts now." in text_of(after)
    vote = high.votes.get()
    assert (vote.user, vote.comment) == (client.user, "go")
    assert vote.via.startswith("page session ")
    assert client.session.session_key not in vote.via
    assert any(b'"approval.vote"' in bytes(row.leaf) for row in LedgerOutbox.objects.all())


def test_a_rejection_without_a_reason_is_refused_and_changes_nothing(sign_in: Any, high: ApprovalRequest) -> None:
    after = sign_in("ann", "approver").post(act(high, "reject"), {"comment": "   "}, follow=True)
    high.refresh_from_db()
    assert high.status == "pending"
    assert "Say why you reject it" in text_of(after)


def test_a_rejection_with_a_reason_ends_the_run(sign_in: Any, high: ApprovalRequest) -> None:
    sign_in("ann", "approver").post(act(high, "reject"), {"comment": "the disk first"})
    high.refresh_from_db()
    assert (high.status, high.reason, Run.objects.get().status) == ("rejected", "the disk first", "rejected")


@pytest.mark.parametrize("name", ["approve", "reject"])
@pytest.mark.parametrize("method", ["get", "head", "put", "delete"])
def test_only_a_post_answers(sign_in: Any, high: ApprovalRequest, name: str, method: str) -> None:
    response = getattr(sign_in("ann", "approver"), method)(act(high, name))
    high.refresh_from_db()
    assert (response.status_code, high.status) == (405, "pending")


def test_a_post_without_a_csrf_token_is_refused(high: ApprovalRequest) -> None:
    from django.test import Client

    client = Client(enforce_csrf_checks=True)
    client.force_login(make_user("ann", role="approver"))
    assert client.post(act(high, "approve"), {"comment": ""}).status_code == 403
    high.refresh_from_db()
    assert high.status == "pending"


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_who_may_not_approve_sees_why_and_is_refused(sign_in: Any, high: ApprovalRequest, role: str) -> None:
    client = sign_in("vera", role)
    page = text_of(client.get(address_of(high)))
    assert "that needs the role approver" in page
    assert '<dialog id="dialog-' not in page
    assert client.post(act(high, "approve"), {"comment": ""}).status_code == 403
    high.refresh_from_db()
    assert high.status == "pending"


def test_nobody_approves_what_they_asked_for(sign_in: Any, high: ApprovalRequest) -> None:
    client = sign_in("ann", "approver")
    ApprovalRequest.objects.update(requester=client.user)
    page = text_of(client.get(address_of(high)))
    assert "You asked for this yourself" in page
    assert 'id="dialog-approve"' not in page
    after = client.post(act(high, "approve"), {"comment": ""}, follow=True)
    high.refresh_from_db()
    assert (high.status, high.votes.count()) == ("pending", 0)
    assert "somebody else has to approve it" in text_of(after)


def test_a_superuser_is_bound_by_four_eyes_too(high: ApprovalRequest) -> None:
    from django.test import Client

    root = User.objects.create_superuser("root", password="x")
    ApprovalRequest.objects.update(requester=root)
    client = Client()
    client.force_login(root)
    client.post(act(high, "approve"), {"comment": ""})
    high.refresh_from_db()
    assert high.status == "pending"


def test_critical_takes_two_people_and_one_of_them_not_twice(sign_in: Any, high: ApprovalRequest) -> None:
    ApprovalRequest.objects.update(needed=2)
    ann, bo = sign_in("ann", "approver"), sign_in("bo", "approver")
    assert "0 of 2 approvals so far" in text_of(ann.get(address_of(high)))
    ann.post(act(high, "approve"), {"comment": ""})
    again = text_of(ann.post(act(high, "approve"), {"comment": ""}, follow=True))
    high.refresh_from_db()
    assert high.status == "pending"
    assert "has answered this request already" in again
    assert "1 of 2 approvals so far" in again
    assert '<dialog id="dialog-' not in again
    bo.post(act(high, "approve"), {"comment": ""})
    high.refresh_from_db()
    assert high.status == "approved"


def test_an_expired_request_cannot_be_approved_however_old_the_page_is(sign_in: Any, high: ApprovalRequest) -> None:
    client = sign_in("ann", "approver")
    ApprovalRequest.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    page = text_of(client.get(address_of(high)))
    assert '<dialog id="dialog-' not in page
    assert "This request has expired" in page
    after = client.post(act(high, "approve"), {"comment": ""}, follow=True)
    high.refresh_from_db()
    assert high.status == "pending"
    assert "expired" in text_of(after)


def test_a_decided_request_says_who_decided_what_and_when(sign_in: Any, high: ApprovalRequest) -> None:
    bo = make_user("bo", role="approver")
    approvals.reject(high.pk, bo, "not tonight", "api", timezone.now())
    page = text_of(sign_in("ann", "approver").get(address_of(high)))
    assert "Rejected: not tonight" in page
    assert "<strong>bo</strong> rejected" in page
    assert '<dialog id="dialog-' not in page


def test_a_second_answer_after_somebody_elses_is_a_message_and_no_error(sign_in: Any, high: ApprovalRequest) -> None:
    approvals.reject(high.pk, make_user("bo", role="approver"), "not tonight", "api", timezone.now())
    after = sign_in("ann", "approver").post(act(high, "approve"), {"comment": ""}, follow=True)
    assert after.status_code == 200
    assert "The request is rejected already." in text_of(after)


@pytest.mark.parametrize("comment", ["x" * 2001, "a\x00b"])
def test_a_comment_that_cannot_be_stored_is_refused_in_words(sign_in: Any, high: ApprovalRequest, comment: str) -> None:
    after = sign_in("ann", "approver").post(act(high, "approve"), {"comment": comment}, follow=True)
    high.refresh_from_db()
    assert (after.status_code, high.status) == (200, "pending")


def test_alert_text_is_text(sign_in: Any) -> None:
    title = "<script>alert(1)</script> <b>x</b> https://evil.example {{ 7|add:7 }} \u202egnp.exe"
    request = make_request(make_run(make_incident(title=title)))
    page = sign_in("ann", "approver").get(address_of(request)).content.decode()
    assert "<script>alert" not in page
    assert "<b>x</b>" not in page
    assert 'href="https://evil.example' not in page
    assert "{{ 7|add:7 }}" in page
    assert "\u202e" not in page.split("<body")[1].split('id="content"')[1]
    assert r"\u202egnp.exe" in page


def test_values_of_the_plan_are_text_and_cannot_look_like_others(sign_in: Any) -> None:
    incident, playbook = make_incident(), make_playbook()
    step = make_plan(incident, playbook)["steps"][0]
    values = {"argv": ["/bin/true", "a b", "<i>"], "text": '["x"]', "number": 5, "empty": "", "secret": "${secret.TOKEN}"}
    run = make_run(incident, playbook, plan={"steps": [{**step, "with": values}]})
    page = text_of(sign_in("ann", "approver").get(address_of(make_request(run))))
    assert "<span>[&quot;/bin/true&quot;,</span> <span>&quot;a b&quot;,</span> <span>&quot;&lt;i&gt;&quot;]</span>" in page
    assert r"<span>&quot;[\&quot;x\&quot;]&quot;</span>" in page
    assert "<span>5</span>" in page
    assert "<span>&quot;&quot;</span>" in page
    assert "<span>${secret.TOKEN}</span>" in page


def test_an_unknown_request_is_not_found(sign_in: Any) -> None:
    client = sign_in("ann", "approver")
    for wrong in ("nonsense", "00000000-0000-4000-8000-000000000000"):
        assert client.get(f"/admin/healing/approvalrequest/{wrong}/change/").status_code == 404
        assert client.post(f"/admin/healing/approvalrequest/{wrong}/act/approve/").status_code == 404


def test_a_request_whose_incident_was_silenced_meanwhile_says_so_wherever_it_is_read(sign_in: Any, high: ApprovalRequest) -> None:
    otto, at = sign_in("otto", "operator"), timezone.now()
    run = Run.objects.select_related("incident").get(pk=high.subject_id)
    pages = [address_of(each) for each in (high, run, run.incident)]
    assert not [page for page in pages if "silenced by" in text_of(otto.get(page))]
    row = silences.create(otto.user, reason="new disks", ends_at=at + timedelta(hours=1), at=at, service="web")
    assert [page for page in pages if "silenced by otto until" in text_of(otto.get(page))] == pages
    silences.end(row.pk, otto.user, "done", timezone.now())
    assert not [page for page in pages if "silenced by" in text_of(otto.get(page))]
