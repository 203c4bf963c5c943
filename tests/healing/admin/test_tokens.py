"""Tokens made and ended on a page, and at once everywhere."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.test import Client

from healing.admin.base import address_of
from healing.models import LedgerOutbox, Token
from tests.factories import make_roles, make_user

from .conftest import text_of

pytestmark = pytest.mark.django_db
ADD = "/admin/healing/token/add/"


@pytest.fixture(autouse=True)
def roles(db: Any) -> None:
    make_roles()


def said(**changes: Any) -> dict[str, Any]:
    return {"name": "deploy", "scopes": ["read"], "expires": "30", **changes}


def reads(secret: str) -> int:
    return Client().get("/api/self_heal/incidents", headers={"Authorization": f"Bearer {secret}"}).status_code


def secret_in(response: Any) -> str:
    return re.search(r"sh_[0-9a-zA-Z]+", response.content.decode())[0]  # type: ignore[index]


def test_the_secret_is_shown_once_works_and_is_in_no_entry(sign_in: Any) -> None:
    client = sign_in("ann", "viewer")
    made = client.post(ADD, said())
    assert "no-store" in made["Cache-Control"]
    secret = secret_in(made)
    assert reads(secret) == 200
    token = Token.objects.get()
    assert (token.user, token.scopes, token.name) == (client.user, ["read"], "deploy")
    assert secret not in text_of(client.get(address_of(token, "public_id")))
    leaf = json.loads(bytes(LedgerOutbox.objects.last().leaf))  # type: ignore[union-attr]
    assert (leaf["action"], leaf["actor"]) == ("token.created", "ann")
    assert secret[:15] not in json.dumps(leaf)


def test_a_token_that_was_revoked_on_the_page_is_refused_at_the_next_call(sign_in: Any) -> None:
    client = sign_in("ann", "viewer")
    secret = secret_in(client.post(ADD, said()))
    assert reads(secret) == 200
    client.post(address_of(Token.objects.get(), "public_id").replace("/change/", "/act/revoke/"))
    assert reads(secret) == 401


def test_its_last_use_is_written_once_a_minute_and_shown(sign_in: Any) -> None:
    client = sign_in("ann", "viewer")
    secret = secret_in(client.post(ADD, said()))
    assert "never used" in text_of(client.get("/admin/account/"))
    reads(secret)
    first = Token.objects.get().last_used_at
    reads(secret)
    assert Token.objects.get().last_used_at == first is not None
    assert "used <time" in text_of(client.get("/admin/account/"))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"scopes": ["approve"]}, "may not do what the scope"),
        ({"scopes": []}, "required"),
        ({"scopes": ["root"]}, "not one of the available choices"),
        ({"expires": "never"}, "ingest alone may never expire"),
        ({"expires": "365"}, "not one of the available choices"),
        ({"name": ""}, "required"),
    ],
)
def test_what_will_not_do_is_said_and_makes_nothing(sign_in: Any, changes: dict[str, Any], why: str) -> None:
    assert why in text_of(sign_in("ann", "viewer").post(ADD, said(**changes)))
    assert not Token.objects.exists()


def test_only_administrators_make_tokens_for_others_and_none_that_approves(sign_in: Any) -> None:
    bob = make_user("bob", role="approver")
    sign_in("ann", "operator").post(ADD, said(user=bob.pk))
    assert Token.objects.get().user.username == "ann"
    root = sign_in("root", "admin")
    assert root.post(ADD, said(user=bob.pk, scopes=["ingest"], expires="never")).status_code == 200
    assert bob.auth_token_set.get().scopes == ["ingest"]
    refused = root.post(ADD, said(user=bob.pk, scopes=["read", "approve"]))
    assert "made by the person in whose name it does" in text_of(refused)
    assert root.post(ADD, said(user=root.user.pk, scopes=["approve"])).status_code == 200
    assert bob.auth_token_set.count() == 1


def test_everybody_sees_their_own_and_administrators_all(sign_in: Any) -> None:
    ann, bob, root = sign_in("ann", "viewer"), sign_in("bob", "viewer"), sign_in("root", "admin")
    ann.post(ADD, said(name="of-ann"))
    page = address_of(Token.objects.get(), "public_id")
    assert ann.get(page).status_code == root.get(page).status_code == 200
    assert bob.get(page).status_code in (302, 404)
    assert bob.post(page.replace("/change/", "/act/revoke/")).status_code == 404
    assert "of-ann" in text_of(root.get("/admin/healing/token/"))
    assert "of-ann" not in text_of(bob.get("/admin/healing/token/"))
    assert Token.objects.count() == 1


def test_nobody_without_a_role_makes_one(sign_in: Any) -> None:
    client = sign_in("ann", "viewer")
    client.user.groups.clear()
    assert client.post(ADD, said()).status_code == 403


def test_only_an_administrator_hands_out_domains(sign_in: Any) -> None:
    assert 'name="domains"' in text_of(sign_in("adam", "admin").get(ADD))
    assert 'name="domains"' not in text_of(sign_in("olga", "operator").get(ADD))
