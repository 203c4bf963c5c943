"""Signing in with wrong passwords, and how long a session lives: through the pages, with a moved clock."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from config.cli import run
from healing import access, lockout, sessions, throttle
from healing.models import LedgerOutbox, User
from selfheal.errors import Conflict
from tests.factories import PASSWORD, make_roles, make_user

pytestmark = pytest.mark.django_db
LOGIN, HOME = "/admin/login/", "/admin/"


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    yield
    throttle.FAILED_SIGN_INS.limit.forget()


def enter(name: str = "ann", password: str = PASSWORD, client: Client | None = None, **extra: Any) -> Any:
    return (client or Client()).post(LOGIN, {"username": name, "password": password, "next": HOME}, **extra)


def logged(action: str) -> list[dict[str, Any]]:
    leaves = [json.loads(bytes(row.leaf)) for row in LedgerOutbox.objects.order_by("pk")]
    return [leaf for leaf in leaves if leaf["action"] == action]


def lock(name: str = "ann", **extra: Any) -> Any:
    return [enter(name, "wrong", **extra) for _ in range(5)][-1]


def test_five_wrong_passwords_close_the_name_and_say_what_to_do() -> None:
    ann = make_user()
    answer = lock()
    assert answer.status_code == 429
    assert 0 < int(answer["Retry-After"]) <= 900
    page = answer.content.decode()
    assert "15 minutes" in page
    assert "selfheal user unlock" in page
    assert enter().status_code == 429, "the right password does not help"
    (entry,) = logged("user.locked")
    assert entry["resource"] == f"user:{ann.pk}"
    assert entry["payload"]["address"] == "127.0.0.1"
    assert entry["payload"]["failures"] == 5
    assert PASSWORD not in json.dumps(entry)


def test_the_lock_ends_by_itself_and_attempts_do_not_lengthen_it() -> None:
    make_user()
    with time_machine.travel("2026-11-25 12:00+00:00", tick=False) as clock:
        lock()
        clock.shift(timedelta(minutes=14))
        assert enter().status_code == 429
        clock.shift(timedelta(minutes=1, seconds=1))
        assert enter().status_code == 302
    assert len(logged("user.locked")) == 1


def test_other_names_and_other_addresses_are_not_concerned() -> None:
    make_user()
    make_user("bob")
    lock()
    assert enter("bob").status_code == 302
    assert enter(REMOTE_ADDR="192.0.2.7").status_code == 302


def test_a_header_opens_nothing_where_there_is_no_proxy() -> None:
    make_user()
    lock()
    assert enter(HTTP_X_FORWARDED_FOR="192.0.2.7").status_code == 429


def test_behind_a_proxy_people_are_told_apart(settings: Any) -> None:
    settings.SELF_HEAL_PROXIES = 1
    make_user()
    lock(HTTP_X_FORWARDED_FOR="198.51.100.1")
    assert enter(HTTP_X_FORWARDED_FOR="198.51.100.1").status_code == 429
    assert enter(HTTP_X_FORWARDED_FOR="192.0.2.7").status_code == 302


def test_a_name_that_nobody_has_is_closed_too_and_not_logged() -> None:
    assert lock("my password by mistake").status_code == 429
    assert logged("user.locked") == []


def test_an_address_that_fails_with_many_names_is_closed_and_then_costs_no_row(django_assert_num_queries: Any) -> None:
    make_user("zoe")
    for n in range(30):
        enter(f"user-{n}", "wrong")
    with django_assert_num_queries(0):
        answer = enter("zoe")
    assert answer.status_code == 429
    assert enter("zoe", REMOTE_ADDR="192.0.2.7").status_code == 302


def test_an_administrator_unlocks_on_the_page_and_on_the_machine(capsys: Any) -> None:
    ann, root = make_user(), make_user("root", role="admin")
    client = Client()
    client.force_login(root)
    page = reverse("admin:healing_user_change", args=[ann.pk])
    act = page.replace("/change/", "/act/unlock/")
    assert "Unlock" not in client.get(page).content.decode()
    lock()
    assert "Unlock" in client.get(page).content.decode()
    client.post(act)
    assert enter().status_code == 302
    lock()
    assert run(["user", "unlock", "ann"]) == 0
    assert enter().status_code == 302
    assert logged("user.unlocked")[0]["actor"] == "root"
    assert len(logged("user.unlocked")) == 2
    assert run(["user", "unlock", "ann"]) == 1
    assert "not locked out" in capsys.readouterr().err


def test_a_viewer_unlocks_nobody() -> None:
    ann = make_user()
    client = Client()
    client.force_login(make_user("vera"))
    lock()
    assert client.post(reverse("admin:healing_user_change", args=[ann.pk]).replace("/change/", "/act/unlock/")).status_code == 403
    with pytest.raises(Conflict, match="not locked out"):
        lockout.unlock(User.objects.get(username="vera"), "test", timezone.now())


def test_the_session_has_a_new_key_after_signing_in() -> None:
    make_user()
    client = Client()
    session = client.session
    session["before"] = 1
    session.save()
    enter(client=client)
    assert client.session.session_key != session.session_key


def signed_in(name: str = "ann", role: str = "viewer") -> Client:
    client = Client()
    client.force_login(User.objects.filter(username=name).first() or make_user(name, role=role))
    return client


def is_in(client: Client) -> bool:
    return client.get(HOME).status_code == 200


def test_a_session_that_is_not_used_ends() -> None:
    with time_machine.travel("2026-11-25 08:00+00:00", tick=False) as clock:
        client = signed_in()
        clock.shift(sessions.IDLE - timedelta(seconds=1))
        assert is_in(client)
        clock.shift(sessions.IDLE + timedelta(seconds=1))
        assert not is_in(client)


def test_what_a_page_fetches_by_itself_is_no_use() -> None:
    with time_machine.travel("2026-11-25 08:00+00:00", tick=False) as clock:
        client = signed_in()
        for _ in range(13):
            clock.shift(timedelta(minutes=10))
            client.get(HOME, headers={"Sec-Fetch-Mode": "cors"})
        assert not is_in(client)


def test_a_session_ends_after_its_longest_life_however_much_it_is_used() -> None:
    with time_machine.travel("2026-11-25 08:00+00:00", tick=False) as clock:
        client = signed_in()
        for _ in range(12):
            assert is_in(client)
            clock.shift(timedelta(hours=1))
        clock.shift(timedelta(seconds=1))
        assert not is_in(client)


def test_its_use_is_written_at_most_once_a_minute(django_assert_num_queries: Any) -> None:
    with time_machine.travel("2026-11-25 08:00+00:00", tick=False) as clock:
        client = signed_in()
        clock.shift(timedelta(seconds=30))
        before = client.session["seen_at"]
        client.get(HOME)
        assert client.session["seen_at"] == before
        clock.shift(timedelta(seconds=31))
        client.get(HOME)
        assert client.session["seen_at"] == before + 61


def test_a_new_password_ends_the_other_sessions_and_keeps_the_own() -> None:
    ann = make_user()
    here, there = signed_in(), signed_in()
    new = {"old_password": PASSWORD, "new_password1": "a whole new word", "new_password2": "a whole new word"}
    assert here.post("/admin/password_change/", new).status_code == 302
    assert is_in(here)
    assert not is_in(there)
    assert ann.username == "ann"


def test_a_change_of_role_ends_sessions_and_a_change_of_name_does_not() -> None:
    make_roles()
    ann, client, root = make_user(), signed_in(), signed_in("root", "admin")
    page = reverse("admin:healing_user_change", args=[ann.pk])
    said = {"username": "ann", "is_active": "on", "is_staff": "on", "groups": [ann.groups.get().pk]}
    assert root.post(page, said | {"first_name": "Ann"}).status_code == 302
    assert is_in(client)
    other = access.Group.objects.get(name="operator").pk
    assert root.post(page, said | {"groups": [other]}).status_code == 302
    assert not is_in(client)
    assert is_in(root)
    assert logged("user.signed_out")[0]["payload"]["sessions"] == 1


def test_one_signs_out_everywhere_else() -> None:
    make_user()
    here, there, other = signed_in(), signed_in(), signed_in("bob")
    page = here.get("/admin/account/").content.decode()
    assert "in 2 browsers" in page
    assert here.get("/admin/account/sign-out/").status_code == 405
    assert "1 other browser." in here.post("/admin/account/sign-out/", follow=True).content.decode()
    assert (is_in(here), is_in(there), is_in(other)) == (True, False, True)


def test_an_administrator_signs_somebody_out_on_the_page_and_on_the_machine(capsys: Any) -> None:
    ann, client, root = make_user(), signed_in(), signed_in("root", "admin")
    root.post(reverse("admin:healing_user_change", args=[ann.pk]).replace("/change/", "/act/sign-out/"))
    assert not is_in(client)
    client = signed_in()
    assert run(["user", "sign-out", "ann"]) == 0
    assert "signed out of 1 browser" in capsys.readouterr().out
    assert not is_in(client)
