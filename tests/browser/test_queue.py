"""The queue, worked through by mouse, by thumb and by keyboard; and how it stays true while somebody looks at it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from healing.admin.approvals import ApprovalRequestAdmin
from healing.admin.base import address_of
from healing.models import ApprovalRequest, Run, SavedFilter, User
from tests.factories import make_incident, make_playbook, make_request, make_run, make_service, make_user

from .conftest import DESK, PHONE
from .test_approval import sideways

QUEUE = "/admin/healing/approvalrequest/"
LOOKS = pytest.mark.parametrize(("size", "dark"), [(DESK, False), (PHONE, True)], ids=["desk", "phone in the dark"])


def ask(name: str, impact: str = "low", **fields: Any) -> ApprovalRequest:
    run = make_run(make_incident(make_service(name)), make_playbook(f"heal-{name}", impact=impact))
    return make_request(run, **{"title": f"heal {name}", "impact": impact, **fields})


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """News come each second."""
    monkeypatch.setattr(ApprovalRequestAdmin, "live_seconds", 1)
    monkeypatch.setattr(ApprovalRequestAdmin, "live_page", lambda self, thing: 1)


def choose(page: Any, *names: str) -> None:
    for name in names:
        page.get_by_label(f"Choose heal {name}").check()


def leave(page: Any) -> None:
    """Escape from the dialog that is open."""
    page.keyboard.press("Escape")
    page.locator("dialog[open]").wait_for(state="detached")


@LOOKS
def test_several_are_approved_and_each_row_says_what_became_of_it(desk: Any, size: tuple[int, int], dark: bool) -> None:
    late, medium = ask("late"), ask("medium", "medium")
    ask("a"), ask("b")
    page = desk("ann", "approver", size, dark)
    page.goto(QUEUE)
    choose(page, "a", "b", "late", "medium")
    page.get_by_role("button", name="Approve…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("medium impact: not approved so, only on its own page").wait_for()
    assert sideways(page) <= 0
    ApprovalRequest.objects.filter(pk=late.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    dialog.get_by_label("Comment (optional)").fill("known trouble")
    dialog.get_by_role("button", name="Approve 3").click()
    page.get_by_text("2 approved.").wait_for()
    page.get_by_text("heal late: The request has expired").wait_for()
    assert sideways(page) <= 0
    medium.refresh_from_db()
    assert (medium.status, Run.objects.filter(status="queued").count()) == ("pending", 2)


def test_several_are_rejected_with_a_reason_that_must_be_given(desk: Any) -> None:
    ask("a", "critical"), ask("b")
    page = desk("ann", "approver")
    page.goto(QUEUE)
    choose(page, "a")
    page.get_by_role("button", name="Choose all").click()
    page.get_by_role("button", name="Reject…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Reject 2").click()
    assert dialog.is_visible()  # the browser does not send it empty
    dialog.get_by_label("Why not?").fill("planned work")
    dialog.get_by_role("button", name="Reject 2").click()
    page.get_by_text("2 rejected.").wait_for()
    page.get_by_text("Nothing waits for a decision").wait_for()


def test_who_may_only_look_chooses_nothing(desk: Any) -> None:
    ask("a")
    page = desk("vera", "viewer")
    page.goto(QUEUE)
    for key in ("j", "x", "r"):
        page.keyboard.press(key)
    assert page.locator(".sh-choose").count() == 0
    assert page.get_by_role("dialog").count() == 0


def test_ones_own_request_is_refused_among_others(desk: Any, settings: Any) -> None:
    settings.SELF_HEAL_FOUR_EYES_FROM = "low"
    own = ask("own")
    ask("other")
    page = desk("ann", "approver")
    ApprovalRequest.objects.filter(pk=own.pk).update(requester=User.objects.get(username="ann"))
    page.goto(QUEUE)
    choose(page, "own", "other")
    page.get_by_role("button", name="Approve…").click()
    page.get_by_role("dialog").get_by_role("button", name="Approve 2").click()
    page.get_by_text("1 approved.").wait_for()
    page.get_by_text("heal own: You asked for this yourself").wait_for()


def test_the_keyboard_moves_opens_and_asks_but_never_answers(desk: Any) -> None:
    first, second = ask("a", "high"), ask("b")
    page = desk("ann", "approver")
    page.goto(QUEUE)
    page.keyboard.press("?")
    page.get_by_role("dialog").get_by_text("next and previous row").wait_for()
    leave(page)
    for key in ("j", "j", "k", "j"):
        page.keyboard.press(key)
    assert page.evaluate("document.activeElement.textContent.trim()") == "heal b"
    page.keyboard.press("r")
    page.keyboard.type("j k a r")  # typed into the reason, and no keys
    dialog = page.get_by_role("dialog")
    assert dialog.get_by_label("Why not?").input_value() == "j k a r"
    leave(page)
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "searchbar"
    page.get_by_role("link", name="heal a").focus()
    page.keyboard.press("a")
    page.wait_for_url(f"**{address_of(first)}**")
    page.get_by_role("dialog").get_by_text("Approve this?").wait_for()
    leave(page)
    page.keyboard.press("u")
    page.wait_for_url(f"**{QUEUE}")
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{address_of(second)}**")
    page.keyboard.press("r")
    page.keyboard.type("not now")
    assert ApprovalRequest.objects.filter(status="pending").count() == 2
    for key in ("Tab", "Tab", "Enter"):
        page.keyboard.press(key)
    page.get_by_text("Rejected: nothing runs").wait_for()


def test_news_change_only_what_is_new(desk: Any, quick: None) -> None:
    for number in range(30):
        ask(f"n{number:02d}", expires_at=timezone.now() + timedelta(minutes=20 + number))
    page = desk("ann", "approver")
    page.goto(QUEUE)
    choose(page, "n20")
    page.get_by_role("link", name="heal n25").focus()
    page.evaluate("window.kept = document.activeElement; window.scrollTo(0, 400)")
    assert page.evaluate("scrollY") > 100
    place = page.get_by_text("heal n25").bounding_box()["y"]
    ask("urgent", "critical")
    ApprovalRequest.objects.filter(title="heal n29").update(status="approved")
    page.get_by_text("heal urgent").wait_for(state="attached")
    assert page.get_by_text("heal n29").count() == 0
    assert page.evaluate("document.activeElement === window.kept")
    assert page.get_by_label("Choose heal n20").is_checked()
    assert abs(page.get_by_text("heal n25").bounding_box()["y"] - place) < 5
    page.get_by_text("updated ").first.wait_for()


def test_a_page_says_that_somebody_else_was_faster_and_keeps_what_one_wrote(desk: Any, quick: None) -> None:
    request = ask("a", "critical", needed=2)
    page = desk("ann", "approver")
    page.goto(f"{address_of(request)}#dialog-reject")
    page.get_by_label("Why not?").fill("the disk is full")
    request.votes.create(user=make_user("bo", role="approver"), approve=True, via="page", at=timezone.now())
    page.get_by_text("1 of 2 approvals so far").wait_for()
    assert page.get_by_label("Why not?").input_value() == "the disk is full"
    ApprovalRequest.objects.update(status="expired", decided_at=timezone.now())
    page.get_by_text("It has changed while you were writing").wait_for()
    assert page.get_by_label("Why not?").input_value() == "the disk is full"
    page.get_by_role("button", name="Cancel").click()
    assert page.get_by_role("button", name="Reject").count() == 0


def test_a_view_is_kept_under_a_name(desk: Any) -> None:
    ask("a"), ask("b", "high")
    page = desk("ann", "approver", PHONE)
    page.goto(f"{QUEUE}?impact__exact=high")
    page.get_by_role("button", name="Save this view").click()
    page.get_by_role("dialog").get_by_label("Name").fill("what hurts")
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    page.get_by_text("Saved as what hurts.").wait_for()
    page.goto(QUEUE)
    page.get_by_role("link", name="what hurts").click()
    page.get_by_text("heal b").wait_for()
    assert page.get_by_text("heal a").count() == 0
    assert sideways(page) <= 0
    page.get_by_role("button", name="Remove the filter what hurts").click()
    page.get_by_role("link", name="what hurts").wait_for(state="detached")
    assert not SavedFilter.objects.exists()


def test_the_zone_of_the_browser_is_offered(desk: Any) -> None:
    page = desk("ann", "approver")
    page.goto(QUEUE)
    page.get_by_role("link", name="Times in UTC").click()
    page.get_by_role("button", name="This browser's:").click()
    page.get_by_role("button", name="Save").click()
    page.wait_for_url(f"**{QUEUE}")
    assert User.objects.get(username="ann").time_zone == page.evaluate("Intl.DateTimeFormat().resolvedOptions().timeZone")
