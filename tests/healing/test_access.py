from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest
from django.contrib.auth.models import Group

from healing import access
from healing.models import LedgerOutbox, Token, User
from selfheal.errors import Conflict, Invalid

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery"
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _roles(at: datetime) -> None:
    access.ensure_roles(at)


def make(role: str, at: datetime, name: str = "") -> User:
    return access.create_user(name or role, role, PASSWORD, "test", at)


def entries(action: str) -> list[dict[str, object]]:
    leaves = (json.loads(bytes(row.leaf)) for row in LedgerOutbox.objects.order_by("id"))
    return [leaf for leaf in leaves if leaf["action"] == action]


@pytest.mark.parametrize(
    ("role", "may", "may_not"),
    [
        ("viewer", ["healing.view_incident", "healing.view_run"], ["healing.operate", "healing.view_user", "healing.view_token"]),
        ("operator", ["healing.view_run", "healing.operate"], ["healing.approve_approvalrequest", "healing.configure"]),
        ("approver", ["healing.operate", "healing.approve_approvalrequest"], ["healing.configure", "healing.add_user"]),
        ("admin", ["healing.approve_approvalrequest", "healing.configure", "healing.add_user"], ["healing.change_run"]),
    ],
)
def test_a_role_holds_what_it_should_and_no_more(at: datetime, role: str, may: list[str], may_not: list[str]) -> None:
    user = make(role, at)
    assert all(user.has_perm(name) for name in may)
    assert not any(user.has_perm(name) for name in may_not)
    assert not user.is_superuser


def test_roles_are_set_once_and_put_right_when_somebody_changed_them(at: datetime) -> None:
    assert access.ensure_roles(at) == []
    Group.objects.get(name="viewer").permissions.clear()
    assert access.ensure_roles(at) == ["viewer"]
    assert [entry["resource"] for entry in entries("role.set")].count("role:viewer") == 2


def test_a_user_can_sign_in_and_the_log_says_who_made_it_but_not_the_password(at: datetime) -> None:
    make("viewer", at, "ada")
    assert User.objects.get(username="ada").check_password(PASSWORD)
    entry = entries("user.created")[0]
    assert (entry["payload"]["before"], entry["payload"]["after"]["name"]) == (None, "ada")  # type: ignore[index]
    assert entry["payload"]["after"]["roles"] == ["viewer"]  # type: ignore[index]
    assert entry["actor"] == "test"
    assert not any(PASSWORD.encode() in bytes(row.leaf) for row in LedgerOutbox.objects.all())


@pytest.mark.parametrize(
    ("name", "role", "password", "field"),
    [("ada", "owner", PASSWORD, "role"), ("a b", "viewer", PASSWORD, "name"), ("ada", "viewer", "short", "password")],
)
def test_what_will_not_do_is_named_and_leaves_nothing(at: datetime, name: str, role: str, password: str, field: str) -> None:
    with pytest.raises(Invalid) as caught:
        access.create_user(name, role, password, "test", at)
    assert caught.value.field == field
    assert not User.objects.exists()


def test_a_name_is_given_once_whatever_its_case(at: datetime) -> None:
    make("viewer", at, "ada")
    with pytest.raises(Conflict, match="there is a user ADA already"):
        make("viewer", at, "ADA")


def test_the_first_admin_is_made_once(at: datetime) -> None:
    password = access.first_admin(at)
    admin = User.objects.get(username="admin")
    assert admin.check_password(password)
    assert admin.has_perm("healing.configure")
    assert access.first_admin(at) == ""


def test_a_token_is_kept_as_a_hash_and_its_text_is_nowhere(at: datetime) -> None:
    token, text = access.create_token(make("viewer", at), ["read"], 90 * DAY, "mine", "test", at)
    assert text.startswith("sh_")
    assert token.expiry == at + 90 * DAY
    stored = [str(value) for value in Token.objects.values_list().get()]
    assert not any(text in value for value in stored)
    assert not any(text.encode() in bytes(row.leaf) for row in LedgerOutbox.objects.all())
    assert entries("token.created")[0]["payload"]["scopes"] == ["read"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("role", "scopes", "life", "says"),
    [
        ("admin", ["root"], DAY, "there is no scope 'root'"),
        ("admin", [], DAY, "name at least one scope"),
        ("viewer", ["operate"], DAY, "viewer (viewer) may not do what the scope 'operate' allows"),
        ("operator", ["read", "approve"], DAY, "may not do what the scope 'approve' allows"),
        ("approver", ["admin"], DAY, "may not do what the scope 'admin' allows"),
        ("admin", ["read"], None, "only a token with the scope ingest alone may never expire"),
        ("admin", ["ingest", "read"], None, "only a token with the scope ingest alone may never expire"),
        ("admin", ["read"], 91 * DAY, "a token lives from a second to 90 days"),
        ("admin", ["read"], -DAY, "a token lives from a second to 90 days"),
    ],
)
def test_a_token_that_may_not_be_is_refused(
    at: datetime, role: str, scopes: list[str], life: timedelta | None, says: str
) -> None:
    with pytest.raises(Invalid) as caught:
        access.create_token(make(role, at), scopes, life, "", "test", at)
    assert says in str(caught.value)
    assert not Token.objects.exists()


def test_a_token_that_only_delivers_alerts_may_never_end(at: datetime) -> None:
    token, _ = access.create_token(make("viewer", at), ["ingest"], None, "alertmanager", "test", at)
    assert token.expiry is None


def test_a_user_who_was_switched_off_gets_no_token(at: datetime) -> None:
    user = make("admin", at)
    user.is_active = False
    with pytest.raises(Invalid, match="may not"):
        access.create_token(user, ["ingest"], DAY, "", "test", at)


def test_a_revoked_token_is_gone_and_the_log_says_so(at: datetime) -> None:
    token, _ = access.create_token(make("viewer", at), ["read"], DAY, "", "test", at)
    access.revoke_token(str(token.public_id), "test", at)
    assert not Token.objects.exists()
    assert entries("token.revoked")[0]["resource"] == f"token:{token.public_id}"
    with pytest.raises(Conflict, match="there is no token"):
        access.revoke_token(str(token.public_id), "test", at)
    with pytest.raises(Conflict, match="there is no token"):
        access.revoke_token("no-uuid", "test", at)


def test_a_token_that_asks_memory_names_its_domains(at: datetime) -> None:
    token, _ = access.create_token(make("viewer", at), ["memory"], DAY, "", "test", at, ["web", "host", "web"])
    assert token.domains == ["host", "web"]


@pytest.mark.parametrize(("scopes", "domain"), [(["read"], "web"), (["memory"], "Web!"), (["memory"], "")])
def test_a_domain_that_will_not_do_is_named(scopes: list[str], domain: str, at: datetime) -> None:
    with pytest.raises(Invalid, match="domain"):
        access.create_token(make("viewer", at), scopes, DAY, "", "test", at, [domain])
