from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from healing import access
from healing.models import Token, User
from tests.factories import make_roles

PASSWORD = "correct horse battery"
PROBLEM = "application/problem+json"


class Api:
    """A client with a token, or without one."""

    def __init__(self, user: User | None = None, *scopes: str) -> None:
        self.client = Client(raise_request_exception=False)
        self.user, self.token = user, None
        self.headers: dict[str, str] = {}
        if user:
            self.token, text = access.create_token(user, scopes, timedelta(days=1), "test", "test", timezone.now())
            self.headers = {"Authorization": f"Bearer {text}"}

    def get(self, path: str, **query: Any) -> Any:
        return self.client.get(f"/api/self_heal/{path}", query, headers=self.headers)

    def post(self, path: str, body: Any = None, content_type: str = "application/json") -> Any:
        data = body if isinstance(body, bytes) else json.dumps({} if body is None else body).encode()
        return self.client.post(f"/api/self_heal/{path}", data, content_type=content_type, headers=self.headers)

    def call(self, method: str, address: str) -> Any:
        """Any method on any address of the site, with an empty object for a body where one goes."""
        body = b"" if method == "get" else b"{}"
        return self.client.generic(method.upper(), f"/{address}", body, "application/json", headers=self.headers)


def user(name: str, role: str) -> User:
    return access.create_user(name, role, PASSWORD, "test", timezone.now())


def problem(response: Any, status: int) -> dict[str, Any]:
    """The problem that the response holds; fails unless it is a whole one of that status."""
    assert response.status_code == status, response.content
    assert response["Content-Type"] == PROBLEM
    found = response.json()
    assert {"type", "title", "status", "detail"} <= set(found)
    assert found["status"] == status
    return found


@pytest.fixture(autouse=True)
def roles(db: None) -> None:
    make_roles()


@pytest.fixture
def reader() -> Api:
    return Api(user("vera", "viewer"), "read")


@pytest.fixture
def operator() -> Api:
    return Api(user("olga", "operator"), "read", "operate")


@pytest.fixture
def approver() -> Api:
    return Api(user("anna", "approver"), "read", "approve")


@pytest.fixture
def admin() -> Api:
    return Api(user("adam", "admin"), "read", "operate", "approve", "admin")


@pytest.fixture
def sender() -> Api:
    return Api(user("alertmanager", "viewer"), "ingest")


@pytest.fixture
def anonymous() -> Api:
    return Api()


@pytest.fixture
def revoke() -> Callable[[Token], None]:
    return lambda token: access.revoke_token(str(token.public_id), "test", timezone.now())
