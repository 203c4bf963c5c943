"""The code beside the password: set up, asked for, refused, taken away; through the pages, with a moved clock."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_otp.oath import totp
from django_otp.plugins.otp_static.models import StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

from config.cli import run
from healing import second_factor
from healing.admin.base import address_of
from healing.models import LedgerOutbox, User
from selfheal.errors import Invalid
from tests.factories import make_incident, make_request, make_run, make_user

pytestmark = pytest.mark.django_db
PAGE, HOME, ACCOUNT = "/admin/second-factor/", "/admin/", "/admin/account/"


@pytest.fixture(autouse=True)
def clock() -> Iterator[Any]:
    with time_machine.travel("2026-11-25 12:00:10+00:00", tick=False) as moved:
        yield moved


def browser(user: User) -> Client:
    """Signed in with the password alone."""
    client = Client()
    client.force_login(user)
    return client


def code_of(user: User) -> str:
    """What the phone shows now."""
    device = TOTPDevice.objects.get(user_id=user.pk)
    return f"{totp(device.bin_key, t0=0, step=30):06d}"


def set_up(client: Client, user: User) -> list[str]:
    """The recovery codes."""
    client.get(PAGE)
    page = client.post(PAGE, {"code": code_of(user)}).content.decode()
    return re.findall(r"[a-z2-7]{4}(?:-[a-z2-7]{4}){3}", page)


def logged() -> list[str]:
    leaves = [json.loads(bytes(row.leaf)) for row in LedgerOutbox.objects.order_by("pk")]
    return [leaf["action"] for leaf in leaves if leaf["action"].startswith("second_factor.")]


def test_it_is_set_up_with_a_picture_drawn_here_and_the_first_code() -> None:
    ann = make_user()
    client = browser(ann)
    page = client.get(PAGE).content.decode()
    assert "<svg" in page
    assert second_factor.secret_of(TOTPDevice.objects.get()) in page
    assert client.get(PAGE).content.decode().count(second_factor.secret_of(TOTPDevice.objects.get())) == 1, "it stays the same"
    assert len(set(set_up(client, ann))) == 10
    assert client.get(HOME).status_code == 200
    assert logged() == ["second_factor.set_up"]


def test_a_wrong_code_sets_nothing_up() -> None:
    ann = make_user()
    client = browser(ann)
    client.get(PAGE)
    wrong = f"{(int(code_of(ann)) + 1) % 1_000_000:06d}"
    assert "The code is wrong" in client.post(PAGE, {"code": wrong}).content.decode()
    assert not second_factor.is_set_up(ann)
    assert client.get(HOME).status_code == 200, "it is not demanded of this person"


def test_whoever_has_it_is_asked_everywhere_and_let_in_by_the_code(clock: Any) -> None:
    ann = make_user()
    set_up(browser(ann), ann)
    client = browser(ann)
    key = client.session.session_key
    asked = client.get("/admin/healing/incident/?status=all")
    assert asked.status_code == 302
    assert asked["Location"] == f"{PAGE}?next=%2Fadmin%2Fhealing%2Fincident%2F%3Fstatus%3Dall"
    clock.shift(timedelta(seconds=30))
    let_in = client.post(asked["Location"], {"code": code_of(ann)})
    assert let_in["Location"] == "/admin/healing/incident/?status=all"
    assert client.get(let_in["Location"]).status_code == 200
    assert client.session.session_key != key


@pytest.mark.parametrize("path", [HOME, ACCOUNT, "/admin/password_change/", "/admin/healing/user/", "/admin/healing/token/add/"])
@pytest.mark.parametrize("method", ["get", "post"])
def test_without_the_code_nothing_else_is_open(method: str, path: str) -> None:
    root = make_user("root", role="admin")
    set_up(browser(root), root)
    answer = getattr(browser(root), method)(path)
    assert answer.status_code == 302
    assert answer["Location"].startswith(PAGE)


def test_without_the_code_the_api_reads_nothing() -> None:
    ann = make_user()
    set_up(browser(ann), ann)
    answer = browser(ann).get("/api/self_heal/incidents")
    assert answer.status_code == 403
    assert "second factor" in answer.json()["detail"]
    assert browser(ann).get("/api/docs").status_code == 200


def test_without_the_code_nobody_approves(settings: Any) -> None:
    settings.SELF_HEAL_SECOND_FACTOR_ROLES = ["approver"]
    ann = make_user(role="approver")
    request = make_request(make_run(make_incident()))
    act = address_of(request).replace("/change/", "/act/approve/")
    client = browser(ann)
    assert client.post(act, {"comment": ""})["Location"].startswith(PAGE)
    assert request.votes.count() == 0
    set_up(client, ann)
    client.post(act, {"comment": ""})
    assert request.votes.count() == 1


def test_whose_role_demands_it_is_led_to_set_it_up(settings: Any) -> None:
    settings.SELF_HEAL_SECOND_FACTOR_ROLES = ["approver", "admin"]
    ann, vera = make_user(role="approver"), make_user("vera")
    client = browser(ann)
    page = client.get(HOME, follow=True).content.decode()
    assert "Your role signs in with a second factor" in page
    assert "Not now" not in page
    assert client.post("/admin/logout/").status_code == 200
    assert browser(vera).get(HOME).status_code == 200
    assert second_factor.is_demanded(User.objects.create_superuser("super"))


def test_a_code_is_taken_once(clock: Any) -> None:
    ann = make_user()
    set_up(browser(ann), ann)
    with pytest.raises(Invalid, match="used already"):
        second_factor.verify(ann, code_of(ann), timezone.now())
    clock.shift(timedelta(seconds=60))
    code = code_of(ann)
    assert second_factor.verify(ann, code, timezone.now())
    with pytest.raises(Invalid, match="used already"):
        second_factor.verify(ann, code, timezone.now())


def test_wrong_codes_make_the_next_wait_longer_and_stand_in_the_log(clock: Any) -> None:
    ann = make_user()
    set_up(browser(ann), ann)
    clock.shift(timedelta(seconds=60))
    for wait in ("1 s", "2 s", "4 s"):
        with pytest.raises(Invalid, match=f"in {wait}"):
            second_factor.verify(ann, "000000", timezone.now())
        with pytest.raises(Invalid):  # the right one, too soon
            second_factor.verify(ann, code_of(ann), timezone.now())
        clock.shift(timedelta(seconds=int(wait[0])))
    assert second_factor.verify(ann, code_of(ann), timezone.now())
    assert logged() == ["second_factor.set_up", *["second_factor.refused"] * 3]


def test_a_recovery_code_signs_in_once_and_is_kept_as_a_hash() -> None:
    ann = make_user()
    codes = set_up(browser(ann), ann)
    client = browser(ann)
    assert client.post(PAGE, {"code": codes[0].upper()})["Location"] == HOME
    assert client.get(HOME).status_code == 200
    assert "used already" in browser(ann).post(PAGE, {"code": codes[0]}).content.decode()
    kept = set(StaticToken.objects.values_list("token", flat=True))
    assert len(kept) == 9
    assert not kept & {code.replace("-", "") for code in codes}
    assert "second_factor.recovery_code_used" in logged()


def test_new_recovery_codes_take_a_fresh_code_and_end_the_old_ones(clock: Any) -> None:
    ann = make_user()
    client = browser(ann)
    old = set_up(client, ann)
    assert "wrong, or was used" in client.post(f"{ACCOUNT}codes/", {"code": "1"}, follow=True).content.decode()
    clock.shift(timedelta(seconds=60))
    page = client.post(f"{ACCOUNT}codes/", {"code": code_of(ann)})
    assert "no-store" in page["Cache-Control"]
    assert "not shown again" in page.content.decode()
    with pytest.raises(Invalid):
        second_factor.verify(ann, old[3], timezone.now())


def test_one_takes_it_away_with_a_code_unless_the_role_demands_it(clock: Any, settings: Any) -> None:
    ann = make_user()
    client = browser(ann)
    set_up(client, ann)
    clock.shift(timedelta(seconds=60))
    settings.SELF_HEAL_SECOND_FACTOR_ROLES = ["viewer"]
    refused = client.post(f"{ACCOUNT}remove-factor/", {"code": code_of(ann)}, follow=True).content.decode()
    assert "Your role must have a second factor." in refused
    settings.SELF_HEAL_SECOND_FACTOR_ROLES = []
    client.post(f"{ACCOUNT}remove-factor/", {"code": code_of(ann)})
    assert not second_factor.is_set_up(ann)
    assert client.get(HOME).status_code == 200


def test_an_administrator_resets_it_and_that_ends_the_sessions(capsys: Any) -> None:
    ann, root = make_user(), make_user("root", role="admin")
    client, page = browser(ann), reverse("admin:healing_user_change", args=[ann.pk])
    set_up(client, ann)
    admin = browser(root)
    assert "Reset second factor" in admin.get(page).content.decode()
    admin.post(page.replace("/change/", "/act/reset-second-factor/"))
    assert client.get(HOME)["Location"].startswith("/admin/login/")
    set_up(browser(ann), ann)
    assert run(["user", "reset-second-factor", "ann"]) == 0
    assert run(["user", "reset-second-factor", "ann"]) == 1
    assert "no second factor" in capsys.readouterr().err
    assert logged().count("second_factor.removed") == 2


def test_it_leads_nowhere_else_afterwards(clock: Any) -> None:
    ann = make_user()
    set_up(browser(ann), ann)
    clock.shift(timedelta(seconds=60))
    assert browser(ann).post(f"{PAGE}?next=https://evil.example/", {"code": code_of(ann)})["Location"] == HOME


def test_no_page_shows_the_secrets_of_others() -> None:
    super_ = User.objects.create_superuser("super")
    assert browser(super_).get("/admin/otp_totp/totpdevice/").status_code == 404
    assert browser(super_).get("/admin/otp_static/staticdevice/").status_code == 404
