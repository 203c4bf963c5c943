"""A person decides, by clicking."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from healing.admin.base import address_of
from healing.models import ApprovalRequest, Run, User
from tests.factories import make_incident, make_playbook, make_request, make_run, make_service, make_user

from .conftest import DESK, PHONE

SIZES = pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])


def waiting(**incident: Any) -> ApprovalRequest:
    make_playbook(impact="high")
    web = make_service("web", hosts=40)
    make_service("shop", depends_on=[web])
    return make_request(make_run(make_incident(web, **incident)))


def sideways(page: Any) -> int:
    """By how many pixels the page can be pushed to the side."""
    return int(page.evaluate("document.documentElement.scrollWidth")) - int(page.viewport_size["width"])


@SIZES
def test_from_the_queue_to_an_approved_run(desk: Any, size: tuple[int, int]) -> None:
    request = waiting()
    page = desk("ann", "approver", size)
    page.goto("/admin/healing/approvalrequest/")
    page.get_by_role("link", name=request.title).first.click()
    page.get_by_role("button", name="Approve").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Comment (optional)").fill("looks right")
    dialog.get_by_role("button", name="Approve").click()
    page.get_by_text("Approved: the run starts now.").wait_for()
    request.refresh_from_db()
    assert (request.status, Run.objects.get().status) == ("approved", "queued")
    assert request.votes.get().comment == "looks right"
    assert page.get_by_role("button", name="Approve").count() == 0


def test_a_dialog_that_is_cancelled_changes_nothing(desk: Any) -> None:
    request = waiting()
    page = desk("ann", "approver")
    page.goto(address_of(request))
    page.get_by_role("button", name="Approve").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Reject").click()
    page.keyboard.press("Escape")
    assert page.get_by_role("dialog").count() == 0
    request.refresh_from_db()
    assert (request.status, request.votes.count()) == ("pending", 0)


@SIZES
def test_a_rejection_asks_for_its_reason(desk: Any, size: tuple[int, int]) -> None:
    request = waiting()
    page = desk("ann", "approver", size)
    page.goto(address_of(request))
    page.get_by_role("button", name="Reject").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Reject").click()
    assert dialog.is_visible()  # the browser does not send it empty
    request.refresh_from_db()
    assert request.status == "pending"
    dialog.get_by_label("Why not?").fill("the disk is full, a restart does not help")
    dialog.get_by_role("button", name="Reject").click()
    page.get_by_text("Rejected: nothing runs, and the incident stays open.").wait_for()
    request.refresh_from_db()
    assert (request.status, Run.objects.get().status) == ("rejected", "rejected")


def test_a_request_that_expires_while_the_page_is_open_is_not_approved(desk: Any) -> None:
    request = waiting()
    page = desk("ann", "approver")
    page.goto(address_of(request))
    ApprovalRequest.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    page.get_by_role("button", name="Approve").click()
    page.get_by_role("dialog").get_by_role("button", name="Approve").click()
    page.get_by_text("The request has expired").first.wait_for()
    request.refresh_from_db()
    assert (request.status, Run.objects.get().status) == ("pending", "pending")
    assert page.get_by_role("button", name="Approve").count() == 0


def test_who_may_not_decide_reads_why(desk: Any) -> None:
    request = waiting()
    page = desk("vera", "viewer", PHONE)
    page.goto(address_of(request))
    page.get_by_text("You may look but not decide").wait_for()
    assert page.get_by_role("button", name="Approve").count() == 0
    assert page.get_by_role("button", name="Reject").count() == 0


def test_nobody_approves_what_they_asked_for_but_may_take_it_back(desk: Any) -> None:
    request = waiting()
    page = desk("ann", "approver")
    ApprovalRequest.objects.update(requester=User.objects.get(username="ann"))
    page.goto(address_of(request))
    page.get_by_text("You asked for this yourself").wait_for()
    assert page.get_by_role("button", name="Approve").count() == 0
    page.get_by_role("button", name="Reject").wait_for()


def test_critical_says_how_many_have_approved(desk: Any) -> None:
    request = waiting()
    ApprovalRequest.objects.update(needed=2, impact="critical")
    request.votes.create(user=make_user("bo", role="approver"), approve=True, via="page", at=timezone.now())
    page = desk("ann", "approver")
    page.goto(address_of(request))
    page.get_by_text("1 of 2 approvals so far").wait_for()


def test_alert_text_is_never_markup(desk: Any) -> None:
    title = '<img src=x onerror="document.title=\'owned\'"><script>document.title="owned"</script> https://evil.example'
    request = waiting(title=title, labels={"<b>k</b>": "<script>document.title='owned'</script>"})
    page = desk("ann", "approver")
    for address in ("/admin/", "/admin/healing/incident/", address_of(request), address_of(Run.objects.get().incident)):
        page.goto(address)
        page.wait_for_load_state("networkidle")
        assert "owned" not in page.title()
        assert page.locator("#content img, #content script[src='x'], #content a[href*='evil']").count() == 0
    page.get_by_text(title, exact=True).first.wait_for()


def test_no_page_can_be_pushed_sideways_on_a_phone(desk: Any) -> None:
    request = waiting(title="x" * 300, labels={"k" * 60: "v" * 500})
    run = Run.objects.get()
    page = desk("root", "admin", PHONE)
    lists = [
        "approvalrequest",
        "incident",
        "run",
        "service",
        "playbook",
        "unmatchedalert",
        "ledgerentry",
        "control",
        "user",
        "token",
    ]
    pages = [address_of(thing) for thing in (request, run, run.incident, run.service, run.playbook)]
    for address in ["/admin/", *(f"/admin/healing/{name}/" for name in lists), *pages]:
        page.goto(address)
        assert sideways(page) <= 0, address
    page.goto(address_of(request))
    page.get_by_role("button", name="Reject").click()
    assert sideways(page) <= 0


def test_the_buttons_are_under_the_thumb_wherever_one_reads(desk: Any) -> None:
    request = waiting()
    page = desk("ann", "approver", PHONE)
    page.goto(address_of(request))
    for _ in range(2):
        box = page.get_by_role("button", name="Approve").bounding_box()
        assert box["y"] + box["height"] <= PHONE[1]
        assert box["height"] >= 44
        page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    last = page.get_by_text("Digest and plan").bounding_box()
    bar = page.locator(".sh-bar").bounding_box()
    assert last["y"] + last["height"] <= bar["y"], "the bar hides the end of the page"


def test_the_keyboard_alone_is_enough(desk: Any) -> None:
    request = waiting()
    page = desk("ann", "approver")
    page.goto(address_of(request))
    page.get_by_role("button", name="Approve").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.name") == "comment"
    for key in ("Tab", "Tab", "Enter"):
        page.keyboard.press(key)
    page.get_by_text("Approved: the run starts now.").wait_for()


def test_the_kill_switch_is_pulled_with_a_reason_and_shown_everywhere(desk: Any) -> None:
    page = desk("op", "operator", PHONE)
    page.goto("/admin/healing/control/")
    page.get_by_role("button", name="Kill").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Reason (required)").fill("it goes wild")
    dialog.get_by_role("button", name="Kill").click()
    page.get_by_text("Everything is stopped").wait_for()
    page.goto("/admin/healing/run/")
    page.get_by_text("Kill switch: everything was stopped, nothing starts.").wait_for()
