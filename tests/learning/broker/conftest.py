"""People and tokens that ask, and trust that a test gives."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from healing import access
from healing.models import LedgerOutbox, User
from learning.broker import callers
from tests.factories import make_roles, make_user


class Asking:
    """A token with the scope memory, for the domains that are named."""

    def __init__(self, user: User, *domains: str) -> None:
        self.user, self.client = user, Client(raise_request_exception=False)
        said = (user, ["memory"], timedelta(days=30), "test", "test", timezone.now(), domains)
        self.token, text = access.create_token(*said)
        self.headers = {"Authorization": f"Bearer {text}"}

    def post(self, name: str, **body: Any) -> Any:
        return self.client.post(f"/api/memory/{name}", json.dumps(body), content_type="application/json", headers=self.headers)

    def query(self, domain: str = "web", **body: Any) -> dict[str, Any]:
        answer = self.post("query", domain=domain, **body)
        assert answer.status_code == 200, answer.content
        return dict(answer.json())

    def store(self, content: Any, domain: str = "web", **body: Any) -> str:
        answer = self.post("store", domain=domain, content=content, **{"memory_type": "semantic", **body})
        assert answer.status_code == 201, answer.content
        return str(answer.json()["id"])

    def stats(self) -> dict[str, Any]:
        return dict(self.client.get("/api/memory/stats", headers=self.headers).json())


@pytest.fixture(autouse=True)
def _roles(db: None) -> None:
    make_roles()


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Everybody has that much trust."""
    return lambda score: monkeypatch.setattr(callers, "trust_in", lambda actors, at: score)


@pytest.fixture(autouse=True)
def _trust(trusted: Callable[[float], None]) -> None:
    trusted(0.6)


@pytest.fixture
def web() -> Asking:
    return Asking(make_user("wanda", role="operator"), "web")


@pytest.fixture
def host() -> Asking:
    return Asking(make_user("hugo", role="operator"), "host")


def logged(action: str) -> list[dict[str, Any]]:
    leaves = (json.loads(bytes(leaf)) for leaf in LedgerOutbox.objects.order_by("pk").values_list("leaf", flat=True))
    return [leaf for leaf in leaves if leaf["action"] == action]
