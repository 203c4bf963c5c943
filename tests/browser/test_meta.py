"""The page of the meta loop: the picture answers who points at it, the guardrail is pinned, a cycle opens into its replay."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from metafocus import loop
from tests.browser.conftest import DESK, PHONE
from tests.browser.test_pages import fits
from tests.factories import make_incident, make_service

Desk = Callable[..., Any]


@pytest.fixture
def house() -> None:
    at = timezone.now()
    db, cache, queue = (make_service(name) for name in ("db", "cache", "queue"))
    auth = make_service("auth", depends_on=[db])
    web = make_service("web", depends_on=[db, cache, auth])
    make_service("shop", depends_on=[web, queue])
    make_service("billing-of-the-far-east", depends_on=[db, queue])
    make_incident(web, at, severity="low", status="resolved")
    for minute in range(6, 0, -1):
        if minute == 3:
            make_incident(db, at)
        if minute == 2:
            make_incident(web, at, severity="medium")
        loop.cycle(at - timedelta(minutes=2 * minute))


@pytest.mark.parametrize(("size", "dark"), [(DESK, False), (PHONE, True)])
def test_the_picture_shows_who_is_hurt_and_a_cycle_opens(desk: Desk, house: None, size: tuple[int, int], dark: bool) -> None:
    page = desk("root", "admin", size, dark)
    page.goto("/admin/meta/")
    page.get_by_text("Dependency health, distress 80 of 100").wait_for()
    assert fits(page)
    node = page.get_by_role("link", name="db: critical; its blast radius is 4")
    assert not node.locator(".sh-ring").first.is_visible()
    node.focus()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Tab")
    assert node.locator(".sh-ring").first.is_visible()
    if os.environ.get("SHOTS"):
        page.screenshot(path=f"{os.environ['SHOTS']}/meta-{size[0]}.png", full_page=True)
    page.get_by_role("button", name="Pin the guardrail").click()
    page.get_by_label("Level", exact=True).select_option("tighten")
    page.locator("dialog[open]").get_by_label("Reason").fill("a release")
    page.locator("dialog[open]").get_by_role("button", name="Pin the guardrail").click()
    page.get_by_text("The guardrail is pinned to strict").wait_for()
    page.get_by_role("button", name="Terms of log pattern").click()
    page.locator("dialog[open]").get_by_label("Incidents an hour").fill("1")
    page.locator("dialog[open]").get_by_label("Reason").fill("too loud")
    page.locator("dialog[open]").get_by_role("button", name="Terms of log pattern").click()
    page.get_by_text("0 of 1 an hour").wait_for()
    page.locator("a.sh-row").first.click()
    page.get_by_text("agrees with the tables").wait_for()
    assert fits(page)
    if os.environ.get("SHOTS"):
        page.screenshot(path=f"{os.environ['SHOTS']}/cycle-{size[0]}.png", full_page=True)
