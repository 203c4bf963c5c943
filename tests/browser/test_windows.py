"""A window and a freeze, made by clicking."""

from __future__ import annotations

from typing import Any

import pytest

from healing.models import Window
from tests.factories import make_service

from .conftest import DESK, PHONE
from .test_approval import sideways

SIZES = pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])


@SIZES
def test_a_freeze_is_previewed_and_stored_without_a_line_of_icalendar(desk: Any, size: tuple[int, int]) -> None:
    make_service("web")
    page = desk("root", "admin", size)
    page.goto("/admin/healing/window/")
    if size == PHONE:
        page.get_by_text("more_horiz").click()
    page.locator("#header-inner").get_by_text("New window or freeze").click()
    page.get_by_label("Name").fill("Black Friday")
    page.get_by_label("Kind").select_option("freeze")
    assert page.get_by_label("Calendar", exact=True).is_hidden()
    page.get_by_label("One span of time").check()
    assert page.get_by_label("Mon", exact=True).is_hidden()
    page.locator("[name=begins]").fill("2090-11-24T00:00")
    page.locator("[name=until]").fill("2090-11-27T00:00")
    page.get_by_role("button", name="Preview").click()
    page.get_by_text("It never holds in the next six years.").wait_for()
    page.locator("[name=begins]").fill("2020-11-24T00:00")
    page.locator("[name=until]").fill("2020-11-27T00:00")
    page.get_by_label("Each year again").check()
    page.get_by_role("button", name="Preview").click()
    page.get_by_text("Would hold next").wait_for()
    assert page.locator(".sh-openings li").count() == 5
    assert sideways(page) <= 0
    page.get_by_label("Reason").fill("the sale")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Black Friday is stored.").wait_for()
    assert sideways(page) <= 0
    assert Window.objects.get().kind == "freeze"
