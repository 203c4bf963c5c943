"""Pages that no other test opens: nothing that our own Content-Security-Policy refuses, no error of a script (see `desk`)."""

from __future__ import annotations

from typing import Any

PLACES = [
    "/admin/healing/ledgerentry/",
    "/admin/healing/user/",
    "/admin/second-factor/",
    "/admin/healing/token/add/",
    "/admin/password_change/",
    "/api/docs",
]


def test_no_page_breaks_its_own_rules(desk: Any) -> None:
    page = desk("root", "admin")
    for path in PLACES:
        answer = page.goto(path)
        assert answer.ok, path
    page.locator(".swagger-ui .opblock").first.wait_for()  # the documentation draws itself
