"""What is healed again and again becomes a problem, asks people, and is acknowledged by one of them."""

from __future__ import annotations

import json
import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from config.cli import run as selfheal
from healing import debt, metrics, why
from healing.admin.base import address_of
from healing.governance import world
from healing.models import Channel, LedgerOutbox, Notification, Problem, Run, Service
from healing.proposals import decide
from healing.runs.ending import finish
from selfheal.errors import Conflict, Invalid, NotAllowed
from selfheal.states import RunStatus, Trigger
from tests.factories import make_decision, make_incident, make_plan, make_playbook, make_roles, make_run, make_service, make_user
from tests.healing.api.conftest import Api, problem

pytestmark = pytest.mark.django_db
HEALS, HOUR = 3, timedelta(hours=1)
DOING = "the leak is mended in 2.4"


@pytest.fixture(autouse=True)
def _limits(settings: Any) -> None:
    settings.SELF_HEAL_PROBLEM_HEALS, settings.SELF_HEAL_PROBLEM_DAYS = HEALS, 7


@pytest.fixture
def shop() -> Service:
    make_playbook()
    return make_service("shop", hosts=3, owner="team-shop")


def heal(service: Service, at: datetime, target: str = "shop-01", to: RunStatus = RunStatus.SUCCEEDED) -> Run:
    """An incident of four minutes that a run ends."""
    run = make_run(make_incident(service, at, target=target), status="verifying", at=at, target=target)
    assert finish(run, to, actor="worker", reason="verified", at=at)
    return run


def healed_often(service: Service, at: datetime, times: int = HEALS) -> None:
    for n in range(times):
        heal(service, at - (times - 1 - n) * HOUR, f"shop-0{n % 3 + 1}")


def entries(action: str) -> list[dict[str, Any]]:
    leaves = [json.loads(bytes(leaf)) for leaf in LedgerOutbox.objects.order_by("id").values_list("leaf", flat=True)]
    return [leaf for leaf in leaves if leaf["action"] == action]


def ruling(service: Service) -> tuple[str, str]:
    at, name = timezone.now(), uuid.uuid4().hex
    incident = make_incident(service, at, target=name)
    decision = decide(incident, make_plan(incident, make_playbook(name)), Trigger.ALERT, world(at), at)
    return next((rule.verdict, rule.reason) for rule in decision.rulings if rule.rule == "root_cause")


def test_the_last_of_so_many_successes_opens_a_problem_with_its_cost_and_owner(shop: Service, at: datetime) -> None:
    healed_often(shop, at, HEALS - 1)
    assert not Problem.objects.exists()
    heal(shop, at + HOUR, "shop-03")
    found = Problem.objects.get()
    assert (found.diagnosis, found.owner, found.heals, found.minutes) == ("service_down", "team-shop", HEALS, 4 * HEALS)
    assert found.parts.count() == HEALS


def test_the_log_says_that_it_was_opened(shop: Service, at: datetime) -> None:
    healed_often(shop, at)
    (entry,) = entries("problem.opened")
    assert entry["resource"] == f"problem:{Problem.objects.get().pk}"
    assert entry["payload"]["minutes"] == 4 * HEALS
    assert len(entry["payload"]["incidents"]) == HEALS


def test_what_is_healed_while_it_is_open_is_added_to_it(shop: Service, at: datetime) -> None:
    healed_often(shop, at)
    heal(shop, at + HOUR)
    found = Problem.objects.get()
    assert (found.heals, found.minutes, found.last_at) == (HEALS + 1, 4 * (HEALS + 1), at + HOUR)


def test_an_incident_that_is_healed_twice_costs_once(shop: Service, at: datetime) -> None:
    healed_often(shop, at)
    run = Run.objects.order_by("finished_at").last()
    again = make_run(run.incident, status="verifying", at=at + HOUR, target=run.target)
    run.incident.resolved_at = None
    run.incident.status = "open"
    run.incident.save()
    finish(again, RunStatus.SUCCEEDED, actor="worker", reason="verified", at=at + HOUR)
    assert Problem.objects.get().minutes == 4 * HEALS + 60


@pytest.mark.parametrize("to", [RunStatus.FAILED, RunStatus.ROLLING_BACK])
def test_what_did_not_help_heals_nothing(shop: Service, at: datetime, to: RunStatus) -> None:
    healed_often(shop, at, HEALS - 1)
    if to == RunStatus.FAILED:
        heal(shop, at + HOUR, to=to)
    assert not Problem.objects.exists()


def test_another_service_or_diagnosis_is_another_thing(shop: Service, at: datetime) -> None:
    healed_often(shop, at, HEALS - 1)
    heal(make_service("web"), at, "web")
    assert not Problem.objects.exists()


def test_while_nobody_has_it_a_person_is_asked_and_afterwards_policy_decides(shop: Service) -> None:
    assert ruling(shop)[0] == "auto"
    healed_often(shop, timezone.now())
    verdict, reason = ruling(shop)
    assert (verdict, "healed 3 times since" in reason) == ("approval", True)
    debt.acknowledge(Problem.objects.get().pk, make_user("olga", role="operator"), DOING, timezone.now())
    assert ruling(shop)[0] == "auto"


def test_an_acknowledgement_stands_in_the_log_and_what_follows_counts_anew(shop: Service, at: datetime) -> None:
    healed_often(shop, at)
    debt.acknowledge(Problem.objects.get().pk, make_user("olga", role="operator"), DOING, at + HOUR)
    (entry,) = entries("problem.ack")
    assert (entry["actor"], entry["payload"]["reason"]) == ("olga", DOING)
    healed_often(shop, at + 5 * HOUR, HEALS - 1)
    assert Problem.objects.count() == 1
    heal(shop, at + 6 * HOUR)
    assert Problem.objects.filter(status="open").get().heals == HEALS


def test_it_is_acknowledged_once(shop: Service, at: datetime) -> None:
    healed_often(shop, at)
    olga, found = make_user("olga", role="operator"), Problem.objects.get()
    debt.acknowledge(found.pk, olga, DOING, at)
    with pytest.raises(Conflict, match="olga has acknowledged it already"):
        debt.acknowledge(found.pk, olga, DOING, at)


def test_a_viewer_acknowledges_nothing(shop: Service, at: datetime) -> None:
    healed_often(shop, at)
    with pytest.raises(NotAllowed):
        debt.acknowledge(Problem.objects.get().pk, make_user("vera"), DOING, at)


@pytest.mark.parametrize("note", ["", "  ", "x" * 2_001, "a\0b"])
def test_who_acknowledges_says_what_is_done_about_it(shop: Service, at: datetime, note: str) -> None:
    healed_often(shop, at)
    with pytest.raises(Invalid) as refused:
        debt.acknowledge(Problem.objects.get().pk, make_user("olga", role="operator"), note, at)
    assert refused.value.field == "reason"


def test_where_it_is_switched_off_there_is_none(shop: Service, at: datetime, settings: Any) -> None:
    settings.SELF_HEAL_PROBLEM_HEALS = 0
    healed_often(shop, at, 10)
    assert not Problem.objects.exists()


def test_a_success_costs_the_same_however_often_it_was_healed(
    shop: Service, at: datetime, settings: Any, django_assert_max_num_queries: Any
) -> None:
    run = heal(shop, at)
    for n in range(60):
        values = {"target": f"t{n}", "finished_at": at - timedelta(minutes=n), "at": at, "status": "succeeded"}
        make_run(run.incident, **values)
    settings.SELF_HEAL_PROBLEM_HEALS = 5
    with django_assert_max_num_queries(12):
        debt.healed(run, at + HOUR)
    assert Problem.objects.get().heals == 5


def test_whoever_is_told_hears_of_it(shop: Service, at: datetime) -> None:
    Channel.objects.create(name="hook", kind="webhook", url="https://hook.example")
    healed_often(shop, at)
    told = Notification.objects.get(event="problem.opened")
    assert told.title == "Healed again and again: service_down: shop"
    assert "team-shop" in told.body


def test_the_list_opens_with_what_nobody_has_and_is_searched(shop: Service, at: datetime, client: Any) -> None:
    healed_often(shop, at)
    client.force_login(make_user("vera"))
    address = reverse("admin:healing_problem_changelist")
    assert "service down of shop" in client.get(address).content.decode()
    assert "service down of shop" not in client.get(address, {"status": "ack"}).content.decode()
    assert "service down of shop" not in client.get(address, {"q": "team-web"}).content.decode()


def test_an_operator_acknowledges_it_on_its_page(shop: Service, at: datetime, client: Any) -> None:
    healed_often(shop, at)
    found = Problem.objects.get()
    act = address_of(found).replace("/change/", "/act/acknowledge/")
    client.force_login(make_user("vera"))
    assert 'id="dialog-acknowledge"' not in client.get(address_of(found)).content.decode()
    assert client.post(act, {"comment": DOING}).status_code == 403
    client.force_login(make_user("olga", role="operator"))
    assert 'id="dialog-acknowledge"' in client.get(address_of(found)).content.decode()
    page = client.post(act, {"comment": DOING}, follow=True).content.decode()
    assert "Acknowledged: policy decides again" in page
    assert DOING in page


def test_programs_list_show_and_acknowledge_it(shop: Service, at: datetime) -> None:
    make_roles()
    healed_often(shop, at)
    api = Api(make_user("olga", role="operator"), "read", "operate")
    (row,) = api.get("problems", status="open", owner="team-shop").json()["results"]
    assert (row["service"], row["heals"], row["minutes"]) == ("shop", HEALS, 4 * HEALS)
    page = api.get(f"problems/{row['id']}").json()
    assert {each["target"] for each in page["incidents"]} == {"shop-01", "shop-02", "shop-03"}
    assert problem(api.post(f"problems/{row['id']}/ack"), 400)["field"] == "reason"
    assert api.post(f"problems/{row['id']}/ack", {"reason": DOING}).json()["acknowledged_by"] == "olga"
    problem(api.post(f"problems/{row['id']}/ack", {"reason": DOING}), 409)
    problem(api.get(f"problems/{uuid.uuid4()}"), 404)


def test_a_token_that_only_reads_acknowledges_nothing(shop: Service, at: datetime) -> None:
    make_roles()
    healed_often(shop, at)
    api = Api(make_user("vera"), "read")
    problem(api.post(f"problems/{Problem.objects.get().pk}/ack", {"reason": DOING}), 403)


def test_the_command_line_lists_and_acknowledges(shop: Service, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "220")
    healed_often(shop, timezone.now())
    pk = str(Problem.objects.get().pk)
    make_user("olga", role="operator")
    assert selfheal(["problems", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["id"] == pk
    assert selfheal(["problems", "show", pk]) == 0
    assert "shop-03" in capsys.readouterr().out
    assert selfheal(["problems", "ack", pk, "--reason", DOING]) == 1
    assert "--user NAME" in capsys.readouterr().err
    assert selfheal(["problems", "ack", pk, "--reason", DOING, "--user", "olga"]) == 0
    assert "service_down of shop is acknowledged by olga" in capsys.readouterr().out
    assert selfheal(["problems", "list"]) == 0
    assert "nothing is healed again and again" in capsys.readouterr().out


def test_the_first_page_and_the_metrics_tell_of_it(shop: Service, at: datetime, client: Any) -> None:
    healed_often(shop, at)
    client.force_login(make_user("vera"))
    page = " ".join(client.get("/admin/").content.decode().split())
    assert "Service down of shop" in page
    assert "selfheal_problems_open 1.0" in metrics.text(at).decode()


def test_who_asks_why_a_person_is_asked_hears_what_to_do(shop: Service) -> None:
    healed_often(shop, timezone.now())
    incident = make_incident(shop, target="shop-03")
    rules = [{"rule": "root_cause", "verdict": "approval", "reason": "a problem"}]
    make_run(incident, decision=make_decision(rules=rules))
    assert "selfheal problems" in why.of_incident(incident, timezone.now()).todo
