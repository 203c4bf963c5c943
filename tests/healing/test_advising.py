"""Advice about the order of playbooks: followed only where that is set, and never needed."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from random import Random
from typing import Any

import pytest

from config.cli import run as selfheal
from healing import advising, scheduler
from healing.admin.base import address_of
from healing.advising import Adviser
from healing.ledger.replay import replay_run
from healing.models import Incident, LedgerOutbox, Playbook, Run
from healing.runs import starting
from selfheal.canonical import digest
from selfheal.choices import Candidate, drawn_again
from selfheal.ranking import Place, Question, Ranker
from tests.factories import make_incident, make_playbook, make_user

pytestmark = pytest.mark.django_db
HERE = "tests.healing.test_advising"
TWO = (Candidate("first", "low"), Candidate("second", "low"))


def second_first(question: Question) -> list[Place]:
    """Whatever comes last by its name, with a sample for each."""
    places = Ranker().rank(question.playbooks, question.diagnosis, question.service, question.at, Random(question.seed))
    return sorted(places, key=lambda place: place.playbook, reverse=True)


def fails(question: Question) -> list[Place]:
    raise RuntimeError("its table is gone")


def says_nonsense(question: Question) -> list[Place]:
    return second_first(question)[:1]


def healing_playbook(name: str, **more: Any) -> Playbook:
    document = {
        "playbook": name, "title": name, "domain": "host", "diagnoses": ["service_down"], "impact": "low", "reversible": False,
        "steps": [{"id": "only", "action": "noop", "timeout": "5s", "rollback": "none"}],
        "verify": [{"check": "http_health", "url": "https://web.internal/healthz", "expect": {"status": 200}}], **more,
    }  # fmt: skip
    return make_playbook(name, document=document, digest=digest(document))


@pytest.fixture
def incident(at: datetime, monkeypatch: pytest.MonkeyPatch) -> Incident:
    """It is due, and two playbooks fit."""
    monkeypatch.setattr(starting, "_send_now", lambda run_id: None)
    for name in ("first", "second"):
        healing_playbook(name)
    return make_incident(at=at, next_look_at=at)


def proposed(at: datetime) -> Run:
    assert scheduler.look(at) == 1
    return Run.objects.latest("created_at")


def logged_choice(run: Run) -> dict[str, Any]:
    leaves = [json.loads(bytes(leaf)) for leaf in LedgerOutbox.objects.order_by("id").values_list("leaf", flat=True)]
    return next(leaf["payload"]["choice"] for leaf in leaves if leaf["action"] == "run.proposed")


def test_until_it_is_set_the_fixed_order_stands_and_the_advice_is_shown(at: datetime, incident: Incident, settings: Any) -> None:
    settings.PLAYBOOK_ORDER = f"{HERE}.second_first"
    run = proposed(at)
    assert (run.playbook.name, run.decision["choice"]["ranker"]) == ("first", "fixed")
    assert "in shadow, would try second first" in run.decision["choice"]["why"]


def test_where_it_is_set_the_advice_is_followed_and_policy_decides(at: datetime, incident: Incident, settings: Any) -> None:
    settings.PLAYBOOK_ORDER, settings.SELF_HEAL_RANKER = f"{HERE}.second_first", "sampling"
    run = proposed(at)
    assert (run.playbook.name, run.decision["verdict"]) == ("second", "auto")


def test_what_is_advised_and_does_not_apply_is_passed_over(at: datetime, incident: Incident, settings: Any) -> None:
    Playbook.objects.filter(name="second").delete()
    healing_playbook("second", when="incident.severity == 'low'")
    settings.PLAYBOOK_ORDER, settings.SELF_HEAL_RANKER = f"{HERE}.second_first", "sampling"
    choice = proposed(at).decision["choice"]
    assert choice["chosen"] == "first"
    assert next(row["why"] for row in choice["candidates"] if row["playbook"] == "second").startswith("does not apply")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("", "nobody gives advice"),
        (f"{HERE}.fails", "RuntimeError: its table is gone"),
        (f"{HERE}.says_nonsense", "other playbooks than were asked about"),
        ("no.such.module.advise", "No module named"),
    ],
)
def test_without_good_advice_the_fixed_order_stands_and_says_why(
    at: datetime, incident: Incident, settings: Any, path: str, said: str
) -> None:
    settings.PLAYBOOK_ORDER, settings.SELF_HEAL_RANKER = path, "sampling"
    choice = proposed(at).decision["choice"]
    assert (choice["chosen"], choice["ranker"], choice["advised"]) == ("first", "fixed", "")
    assert said in choice["fallback"]


def test_a_slow_adviser_is_not_followed_and_not_asked_again(at: datetime, incident: Incident, settings: Any) -> None:
    settings.PLAYBOOK_ORDER, settings.SELF_HEAL_RANKER = f"{HERE}.second_first", "sampling"
    ticks = iter([0.0, advising.SECONDS + 0.5])
    adviser = Adviser(clock=lambda: next(ticks))  # a third look at the clock would raise
    for _ in range(2):
        order = adviser.order(incident, TWO, at)
        assert order.names == ["first", "second"]
        assert "took 1.5 s, more than 1 s" in order.fallback


def test_of_one_playbook_nobody_is_asked(at: datetime, incident: Incident, settings: Any) -> None:
    settings.PLAYBOOK_ORDER = f"{HERE}.fails"
    assert Adviser().order(incident, TWO[:1], at).fallback == ""


def test_an_auditor_draws_the_samples_again_from_the_log(at: datetime, incident: Incident) -> None:
    choice = logged_choice(proposed(at))
    assert choice["seed"] == f"{incident.pk}/0"
    drawn = drawn_again(choice)
    assert len(drawn) == 2
    assert drawn == {row["playbook"]: row["sample"] for row in choice["candidates"]}


def test_the_replay_of_a_run_draws_its_choice_again(at: datetime, incident: Incident) -> None:
    run = proposed(at)
    assert replay_run(run.pk).agrees
    run.decision["choice"]["candidates"][0]["sample"] = "0.999999"
    run.save()
    assert [each.field for each in replay_run(run.pk).differences] == ["choice"]


def test_the_same_incident_draws_anew_with_its_next_proposal(at: datetime, incident: Incident) -> None:
    first = proposed(at)
    Run.objects.filter(pk=first.pk).update(status="failed", created_at=at - timedelta(hours=3))
    assert advising.seed_of(incident) == f"{incident.pk}/1"


def test_what_a_person_chose_has_no_account(at: datetime, incident: Incident) -> None:
    run = scheduler.propose(incident.pk, "second", {}, make_user("olga", role="operator"), at)
    assert "choice" not in run.decision


def test_the_page_the_command_and_the_api_say_why(
    at: datetime, incident: Incident, client: Any, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = proposed(at)
    client.force_login(make_user("vera"))
    why = run.decision["choice"]["why"]
    page = " ".join(client.get(address_of(run)).content.decode().split())
    assert f"Why this playbook: {why}" in page
    assert "comes later by its name" in page
    monkeypatch.setenv("COLUMNS", "200")
    assert selfheal(["runs", "show", str(run.pk)]) == 0
    assert f"why this playbook: {why}" in capsys.readouterr().out
    assert selfheal(["runs", "show", str(run.pk), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["choice"] == run.decision["choice"]
