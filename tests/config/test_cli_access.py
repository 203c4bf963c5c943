"""Users and tokens, made and taken away on the command line."""

from __future__ import annotations

import io

import pytest

from healing import access
from healing.models import Token, User
from tests.factories import make_user

from .conftest import Command, documents

pytestmark = pytest.mark.django_db


def test_a_user_gets_a_password_that_is_printed_once(selfheal: Command) -> None:
    status, out, _ = selfheal("user", "create", "ada", "--role", "approver")
    assert status == 0
    password = out.split("password: ")[1].split()[0]
    ada = User.objects.get(username="ada")
    assert ada.check_password(password)
    assert access.role_of(ada) == "approver"


def test_a_password_can_come_from_standard_input(selfheal: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("correct horse battery\n"))
    _, out, _ = selfheal("user", "create", "ada", "--role", "viewer", "--password-stdin")
    assert "password" not in out
    assert User.objects.get(username="ada").check_password("correct horse battery")


def test_a_user_that_cannot_be_made_is_a_line(selfheal: Command) -> None:
    make_user("ada")
    status, _, err = selfheal("user", "create", "ada", "--role", "viewer")
    assert (status, err.count("\n")) == (1, 1)
    assert "ada" in err


def test_a_role_that_there_is_not_is_status_2_and_the_others_are_named(selfheal: Command) -> None:
    status, _, err = selfheal("user", "create", "eve", "--role", "owner")
    assert status == 2
    assert "there are viewer, operator, approver, admin" in err
    assert not User.objects.exists()


def test_a_token_is_printed_as_json_for_programs(selfheal: Command) -> None:
    make_user("am")
    status, out, _ = selfheal("token", "create", "--user", "am", "--scope", "ingest", "--expires", "never", "--json")
    assert status == 0
    assert documents(out)["token"].startswith("sh_")
    assert documents(out)["expires"] == "never"


def test_tokens_are_listed_without_their_text_and_revoked(selfheal: Command) -> None:
    make_user("am")
    text = selfheal("token", "create", "--user", "am", "--scope", "read,ingest", "--name", "dashboard")[1].strip()
    listed = selfheal("token", "list", "--json")[1]
    assert text not in listed
    assert documents(listed)[0]["scopes"] == ["ingest", "read"]
    assert selfheal("token", "revoke", documents(listed)[0]["id"])[0] == 0
    assert not Token.objects.exists()


@pytest.mark.parametrize(
    ("scope", "expires", "status"),
    [("read", "never", 1), ("operate", "90d", 1), ("read", "91d", 1), ("read", "soon", 2), ("root", "90d", 2)],
)
def test_a_token_that_may_not_be_is_refused(selfheal: Command, scope: str, expires: str, status: int) -> None:
    make_user("am")
    assert selfheal("token", "create", "--user", "am", "--scope", scope, "--expires", expires)[0] == status
    assert not Token.objects.exists()
