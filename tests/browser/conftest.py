"""A real browser against a real server: Debian's Chromium by Playwright, one for all tests, an empty session for each."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client

from healing.models import User
from healing.runs import starting
from tests.factories import make_user

CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESK, PHONE = (1440, 900), (390, 844)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/browser" in str(item.path):
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.xdist_group("browser"))  # one browser for all of them
            item.add_marker(pytest.mark.django_db(transaction=True))


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    if not CHROMIUM.exists():
        pytest.skip(f"there is no browser at {CHROMIUM}: apt-get install chromium, or name one in CHROMIUM")
    # Playwright keeps an event loop in this thread, which Django would take for asynchronous code.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=60_000)

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield browser
        browser.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture(autouse=True)
def _no_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    """The workers are not told: what the pages did is read from the database."""
    monkeypatch.setattr(starting, "_send_now", lambda run_id: None)


class Desks:
    """Contexts of the one browser. A fresh one would fetch every script and font again, so they are given back, emptied."""

    def __init__(self, browser: Any, origin: str) -> None:
        self.browser, self.origin = browser, origin
        self.free: dict[tuple[tuple[int, int], bool], list[Any]] = {}

    def take(self, size: tuple[int, int], dark: bool) -> Any:
        if waiting := self.free.get((size, dark)):
            return waiting.pop()
        phone = size == PHONE
        context = self.browser.new_context(
            base_url=self.origin,
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if dark else "light",
            is_mobile=phone,
            has_touch=phone,
        )
        context.set_default_timeout(60_000)
        return context

    def give_back(self, context: Any, size: tuple[int, int], dark: bool) -> None:
        page = context.new_page()
        everything = {"origin": self.origin, "storageTypes": "cookies,local_storage,session_storage,indexeddb"}
        context.new_cdp_session(page).send("Storage.clearDataForOrigin", everything)
        for each in context.pages:
            each.close()
        context.clear_cookies()
        self.free.setdefault((size, dark), []).append(context)


@pytest.fixture(scope="session")
def desks(chromium: Any, live_server: Any) -> Iterator[Desks]:
    connection.inc_thread_sharing()  # the browser keeps its connections, so threads of the server outlive a test
    yield Desks(chromium, live_server.url)
    connection.dec_thread_sharing()


def session_cookie(user: User, origin: str) -> dict[str, str]:
    """What a browser keeps of somebody who has signed in. The form itself is clicked through in `test_pages`."""
    client = Client()
    client.force_login(user)
    return {"name": settings.SESSION_COOKIE_NAME, "value": client.cookies[settings.SESSION_COOKIE_NAME].value, "url": origin}


@pytest.fixture
def desk(desks: Desks) -> Iterator[Callable[..., Any]]:
    """`desk("ann", "approver", PHONE)` is an empty page of that person, signed in.

    Errors of scripts, what our own Content-Security-Policy refuses, and foreign requests fail the test.
    """
    taken, wrong = [], []

    def look_at(request: Any) -> None:
        if not request.url.startswith((desks.origin, "data:")):
            wrong.append(f"asked {request.url}")

    def sit_down(name: str, role: str, size: tuple[int, int] = DESK, dark: bool = False, **fields: Any) -> Any:
        user = make_user(name, role=role, **fields)
        context = desks.take(size, dark)
        taken.append((context, size, dark))
        context.add_cookies([session_cookie(user, desks.origin)])
        page = context.new_page()
        page.goto = partial(page.goto, wait_until="domcontentloaded")  # by then our scripts have run; fonts may come later
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(f"{page.url}: {said.text}") if said.type == "error" else None)
        page.on("request", look_at)
        return page

    yield sit_down
    for context, size, dark in taken:
        desks.give_back(context, size, dark)
    assert wrong == []
