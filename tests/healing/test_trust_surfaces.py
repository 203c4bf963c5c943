"""Trust as people and programs see it, and change it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from config.cli import run as selfheal
from healing import trust
from healing.admin.base import address_of
from healing.models import TrustScore
from selfheal.scores import Actor, Evidence, Kind
from tests.factories import make_roles, make_user
from tests.healing.api.conftest import Api, problem
from tests.learning.conftest import store_rest

pytestmark = pytest.mark.django_db
RESTART, ANN = Actor(Kind.PLAYBOOK, "restart-unit"), Actor(Kind.AGENT, "ann")
WHY = "it deletes things"


@pytest.fixture
def row() -> TrustScore:
    """A playbook that lost trust by three runs; of ann one good thing is known."""
    at = timezone.now()
    seen = [Evidence(RESTART, index, at, False, f"run {index} failed") for index in range(3)]
    trust.learn([*seen, Evidence(ANN, 3, at, True, "it held")], at)
    store_rest()
    return TrustScore.objects.get(kind="playbook")


def act(row: TrustScore, name: str) -> str:
    return address_of(row).replace("/change/", f"/act/{name}/")


def text_of(response: Any) -> str:
    return " ".join(response.content.decode().split())


def test_the_list_is_filtered_by_kind_and_searched(row: TrustScore, client: Any) -> None:
    client.force_login(make_user("vera"))
    address = reverse("admin:healing_trustscore_changelist")
    page = text_of(client.get(address, {"kind__exact": "playbook"}))
    assert "restart-unit" in page
    assert "0.29" in page
    assert "restart-unit" not in text_of(client.get(address, {"q": "ann"})).partition('id="result_list"')[2]


def test_the_page_says_why_what_spoke_and_when_it_changed(row: TrustScore, client: Any) -> None:
    client.force_login(make_user("vera"))
    page = text_of(client.get(address_of(row)))
    assert "restart-unit is trusted 0.29" in page
    assert "starts nothing alone" in page
    assert "run 2 failed" in page
    assert "trust.lost" in page
    assert "<svg" in page
    assert 'id="dialog-set"' not in page


def test_an_admin_sets_it_and_takes_that_back_on_the_page(row: TrustScore, client: Any) -> None:
    client.force_login(make_user("root", role="admin"))
    page = text_of(client.post(act(row, "set"), {"score": "0.9", "days": "30", "comment": WHY}, follow=True))
    assert "is trusted 0.90" in page
    assert "set by root until" in page
    assert "is trusted 0.29" in text_of(client.post(act(row, "take_back"), {"comment": "no need"}, follow=True))


@pytest.mark.parametrize("name", ["set", "take_back"])
def test_an_approver_changes_nothing_on_the_page(row: TrustScore, client: Any, name: str) -> None:
    client.force_login(make_user("anna", role="approver"))
    assert client.post(act(row, name), {"score": "0.9", "days": "30", "comment": WHY}).status_code == 403


def test_more_than_was_earned_without_an_end_is_refused_on_the_page(row: TrustScore, client: Any) -> None:
    client.force_login(make_user("root", role="admin"))
    page = text_of(client.post(act(row, "set"), {"score": "0.9", "days": "", "comment": WHY}, follow=True))
    assert "more trust than was earned ends" in page.lower()


def test_programs_read_the_scores_with_reasons_and_history(row: TrustScore) -> None:
    make_roles()
    api = Api(make_user("vera"), "read")
    rows = {each["name"]: each for each in api.get("trust").json()["results"]}
    assert rows["restart-unit"]["low"] is True
    assert rows["ann"]["low"] is False
    assert [each["name"] for each in api.get("trust", kind="agent").json()["results"]] == ["ann"]
    page = api.get("trust/playbook/restart-unit").json()
    assert [each["index"] for each in page["history"]] == [2, 1, 0]
    assert [each["action"] for each in page["changes"]] == ["trust.lost"]
    assert 0 <= page["lower_bound"] <= page["score"] <= 1


@pytest.mark.parametrize(("path", "status"), [("trust?kind=weather", 400), ("trust/weather/rain", 404), ("trust/agent/bob", 404)])
def test_what_is_not_there_is_said(row: TrustScore, path: str, status: int) -> None:
    make_roles()
    problem(Api(make_user("vera"), "read").get(path), status)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"score": None}, "score"),
        ({"score": 2}, "score"),
        ({"days": 91}, "days"),
        ({"days": None}, "days"),
        ({"reason": ""}, "reason"),
        ({"kind": "weather"}, "kind"),
        ({"name": ""}, "name"),
        ({"level": 1}, "level"),
    ],
)
def test_what_cannot_be_set_is_refused_and_names_the_field(row: TrustScore, changes: dict[str, Any], field: str) -> None:
    make_roles()
    api = Api(make_user("root", role="admin"), "read", "admin")
    wanted = {"kind": "playbook", "name": "restart-unit", "score": 0.9, "days": 30, "reason": WHY}
    assert problem(api.post("trust", {**wanted, **changes}), 400)["field"] == field


def test_an_admin_sets_and_takes_back_by_the_api(row: TrustScore) -> None:
    make_roles()
    api = Api(make_user("root", role="admin"), "read", "admin")
    wanted = {"kind": "playbook", "name": "restart-unit", "reason": WHY}
    said = api.post("trust", {**wanted, "score": 0.9, "days": 30}).json()
    assert (said["score"], said["set_by"]) == (0.9, "root")
    assert api.post("trust", {**wanted, "action": "take_back"}).json()["set_by"] is None
    problem(api.post("trust", {**wanted, "action": "take_back"}), 409)


def test_a_token_without_the_scope_admin_sets_nothing(row: TrustScore) -> None:
    make_roles()
    api = Api(make_user("root", role="admin"), "read", "operate")
    problem(api.post("trust", {"kind": "agent", "name": "ann", "score": 0, "reason": WHY}), 403)


def test_the_command_line_lists_shows_sets_and_takes_back(row: TrustScore, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    make_user("root", role="admin")
    actor = ["playbook", "restart-unit"]
    assert selfheal(["trust", "list", "--json"]) == 0
    assert {each["name"] for each in json.loads(capsys.readouterr().out)} == {"restart-unit", "ann"}
    assert selfheal(["trust", "show", *actor]) == 0
    assert "run 2 failed" in capsys.readouterr().out
    assert selfheal(["trust", "set", *actor, "0.1", "--reason", WHY]) == 1
    assert "--user NAME" in capsys.readouterr().err
    assert selfheal(["trust", "set", *actor, "0.1", "--reason", WHY, "--user", "root"]) == 0
    assert "is trusted 0.10: set by root: it deletes things" in capsys.readouterr().out
    assert selfheal(["trust", "take-back", *actor, "--reason", "no need", "--user", "root"]) == 0
    assert "is trusted 0.29" in capsys.readouterr().out


NEW = "/admin/healing/trustscore/new/"
FORM = {"kind": "agent", "name": "bot", "score": "0.2", "days": "", "reason": WHY}


def test_an_admin_sets_trust_in_somebody_of_whom_nothing_is_known(client: Any) -> None:
    client.force_login(make_user("root", role="admin"))
    assert client.get(NEW).status_code == 200
    assert "bot is trusted 0.20" in text_of(client.post(NEW, FORM, follow=True))


@pytest.mark.parametrize(
    ("changes", "said"), [({"score": "3"}, "Is from 0 to 1."), ({"score": "0.9"}, "More trust than was earned")]
)
def test_what_is_refused_stands_at_its_field(client: Any, changes: dict[str, str], said: str) -> None:
    client.force_login(make_user("root", role="admin"))
    assert said in text_of(client.post(NEW, {**FORM, **changes}))
    assert not TrustScore.objects.exclude(set_to=None).exists()


def test_an_approver_has_no_such_form(client: Any) -> None:
    client.force_login(make_user("anna", role="approver"))
    assert client.get(NEW).status_code == 403


def test_the_page_of_a_token_says_whose_it_is(client: Any) -> None:
    make_roles()
    api = Api(make_user("vera"), "read")
    at = timezone.now()
    trust.learn([Evidence(Actor(Kind.TOKEN, str(api.token.public_id)), 1, at, True, "it held")], at)
    client.force_login(api.user)
    assert "test of vera" in text_of(client.get(address_of(TrustScore.objects.get())))
