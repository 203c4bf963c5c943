"""Signed-in people; the hint to the workers is left out, because the database is what these tests look at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from healing.models import User
from healing.runs import starting
from tests.factories import make_user


@pytest.fixture(autouse=True)
def _no_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "_send_now", lambda run_id: None)


@pytest.fixture
def sign_in(db: Any) -> Callable[..., Client]:
    """`sign_in("ann", "approver")` makes the person and returns their browser; `.user` is the person."""

    def enter(name: str = "vera", role: str = "viewer", **fields: Any) -> Client:
        client = Client()
        client.user = User.objects.filter(username=name).first() or make_user(name, role=role, **fields)  # type: ignore[attr-defined]
        client.force_login(client.user)  # type: ignore[attr-defined]
        return client

    return enter


def text_of(response: Any) -> str:
    """The page's HTML with runs of white space made one."""
    return " ".join(response.content.decode().split())
