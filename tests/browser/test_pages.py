"""The first page of a new installation, its plots, and an incident that is given to somebody, on a desk and on a phone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from healing.admin import dashboard
from healing.models import Service
from tests.browser.conftest import DESK, PHONE
from tests.factories import PASSWORD, make_incident, make_run, make_step

Desk = Callable[..., Any]


def fits(page: Any) -> bool:
    """Nothing hangs over the edge, so nobody has to scroll sideways."""
    return int(page.evaluate("document.documentElement.scrollWidth")) <= int(page.viewport_size["width"])


def test_who_is_not_signed_in_comes_by_the_form_to_where_they_were_going(desk: Desk) -> None:
    page = desk("ann", "approver")
    page.context.clear_cookies()
    page.goto("/admin/healing/approvalrequest/")
    page.wait_for_url("**/admin/login/?next=**")
    page.fill("#id_username", "ann")
    page.fill("#id_password", PASSWORD)
    page.press("#id_password", "Enter")
    page.wait_for_url("**/admin/healing/approvalrequest/")
    page.get_by_text("Nothing waits for a decision").wait_for()


@pytest.mark.parametrize(("size", "dark"), [(PHONE, True)])
def test_a_new_installation_declares_its_first_service_and_sees_what_comes(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], dark: bool
) -> None:
    monkeypatch.setattr(dashboard, "LIVE_SECONDS", 1)
    page = desk("root", "admin", size, dark)
    page.goto("/admin/")
    page.get_by_label("Name").fill("web")
    page.get_by_role("button", name="Declare it").click()
    page.get_by_text("Web is declared, in mode observe.").wait_for()
    page.get_by_text("No incident in this time.").wait_for()
    assert fits(page)
    make_incident(Service.objects.get(), title="It came while one looked")
    page.get_by_text("It came while one looked").wait_for()
    page.get_by_text("updated ").wait_for()
    assert fits(page)


@pytest.mark.parametrize(("size", "dark"), [(DESK, True), (PHONE, False)])
def test_an_incident_is_given_to_somebody_and_stands_in_the_plots(desk: Desk, size: tuple[int, int], dark: bool) -> None:
    at = timezone.now()
    incident = make_incident(at=at, title="It is down")
    run = make_run(incident, status="running", started_at=at - timedelta(minutes=1))
    make_step(run, status="running", stdout="halfway there\n", stdout_bytes=14)
    page = desk("otto", "operator", size, dark)
    page.goto("/admin/")
    page.get_by_role("img", name="Incidents opened and healed").wait_for()
    assert fits(page)
    page.goto(f"/admin/healing/incident/{incident.pk}/change/")
    page.get_by_role("button", name="Assign").click()
    page.get_by_label("Assignee").select_option("otto")
    page.locator("dialog[open]").get_by_role("button", name="Assign").click()
    page.get_by_text("Otto works on it now.").wait_for()
    page.get_by_text("nobody → otto").wait_for()
    assert fits(page)
    page.goto(f"/admin/healing/run/{run.pk}/change/")
    page.get_by_text("halfway there").wait_for()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download what it wrote").click()
    assert download.value.suggested_filename == f"{run.pk}-restart.txt"
    page.goto("/admin/health/")
    page.get_by_text("Settings in short").wait_for()
    assert fits(page)


def test_one_long_word_does_not_push_the_other_columns_of_a_list_out(desk: Desk) -> None:
    make_incident(title="x" * 300)
    page = desk("ann", "viewer", DESK)
    page.goto("/admin/healing/incident/")
    last = page.locator("#result_list tr.data-row > *").last
    assert last.evaluate("cell => cell.getBoundingClientRect().right") <= DESK[0]
