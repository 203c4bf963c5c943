"""The shadow score: read from the log, shown on the page of the playbook, and told by people."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from config.cli import run as selfheal
from healing import ledger
from healing import shadow as healing_shadow
from healing.admin.base import address_of
from healing.ledger import instant
from healing.models import Run
from learning.follow import again, follow
from learning.models import Shadow
from learning.shadow import SHOWN, score
from selfheal.errors import Conflict, Invalid, NotAllowed
from tests.factories import make_decision, make_incident, make_playbook, make_roles, make_run, make_service, make_user
from tests.healing.api.conftest import Api, problem

from .conftest import BEGIN, leaf, store_rest

pytestmark = pytest.mark.django_db
INCIDENT = uuid.UUID(int=7)
DENIED = [
    {"rule": "service_mode", "verdict": "deny", "reason": "web is only observed: nothing runs"},
    {"rule": "impact", "verdict": "auto", "reason": "low impact"},
]
WHY = "it was migrating"


def proposed(at: datetime, incident: uuid.UUID = INCIDENT, playbook: str = "restart", actor: str = "scheduler") -> dict[str, Any]:
    about = {"playbook": playbook, "service": "web", "diagnosis": "service_down", "target": "web-01", "impact": "low"}
    run = uuid.uuid4()
    return leaf(run, "proposed", at, actor, incident=str(incident), rules=DENIED, verdict="deny", **about)


def entry(action: str, resource: str, at: datetime, actor: str, **payload: Any) -> dict[str, Any]:
    about = {"actor": actor, "action": action, "resource": resource, "subsystem": "healing", "result": "ok"}
    return {**about, "payload": payload, "at": instant(at)}


def ended(at: datetime, incident: uuid.UUID = INCIDENT) -> dict[str, Any]:
    return entry("alerts.received", "alerts:alertmanager", at, "am", resolved=[{"incident": str(incident)}])


def minutes(count: float) -> datetime:
    return BEGIN + timedelta(minutes=count)


def judged(playbook: str = "restart") -> list[str]:
    return [each.judgement for each in score(playbook).courses]


@pytest.mark.parametrize(
    ("leaves", "found"),
    [
        ([proposed(minutes(0))], ""),
        ([proposed(minutes(0)), ended(minutes(1))], "would_have_harmed"),
        ([proposed(minutes(0)), ended(minutes(30))], "unknown"),
        ([proposed(minutes(0)), entry("incident.resolved", f"incident:{INCIDENT}", minutes(1), "olga")], "unknown"),
        ([proposed(minutes(0)), proposed(minutes(2), actor="olga"), ended(minutes(30))], "agreed"),
        ([proposed(minutes(0)), proposed(minutes(2), playbook="scale", actor="olga"), ended(minutes(3))], "unknown"),
        ([ended(minutes(-5)), proposed(minutes(0))], ""),
        ([proposed(minutes(0)), ended(minutes(30)), proposed(minutes(31)), ended(minutes(32))], "unknown"),
    ],
    ids=["goes on", "over by itself", "lasted", "resolved by olga", "did the same", "did another", "ended before", "once"],
)
def test_what_became_of_it_is_read_from_the_log(learnt: Callable[..., Any], leaves: list[dict[str, Any]], found: str) -> None:
    learnt(leaves)
    assert judged() == [found]


def test_what_helped_elsewhere_would_have_helped_here(learnt: Callable[..., Any]) -> None:
    about = {"playbook": "restart", "service": "shop", "diagnosis": "service_down", "target": "shop", "impact": "low"}
    leaves = []
    for _ in range(6):
        run = uuid.uuid4()
        leaves += [leaf(run, "proposed", minutes(0), **about), leaf(run, "held", minutes(1))]
    learnt([*leaves, proposed(minutes(2)), ended(minutes(30))])
    assert judged() == ["would_have_helped"]


def test_what_is_denied_whatever_the_mode_is_no_shadow(learnt: Callable[..., Any]) -> None:
    one = proposed(minutes(0))
    one["payload"]["rules"] = [*DENIED, {"rule": "kill_switch", "verdict": "deny", "reason": "it is on"}]
    learnt([one])
    assert not Shadow.objects.exists()


def test_reading_again_makes_the_same_scores(learnt: Callable[..., Any]) -> None:
    first = proposed(minutes(0))
    word = entry("run.shadow_judged", first["resource"], minutes(9), "olga", judgement="agreed", reason="the same")
    learnt([first, ended(minutes(5)), word, proposed(minutes(10), uuid.UUID(int=8))])
    before = list(Shadow.objects.order_by("run").values())
    again()
    assert list(Shadow.objects.order_by("run").values()) == before


def test_a_score_is_of_the_newest_and_costs_no_more_than_they(django_assert_num_queries: Any) -> None:
    Shadow.objects.bulk_create(
        Shadow(run=uuid.uuid4(), incident=uuid.uuid4(), playbook="restart", proposed_at=minutes(n), diagnosis="d", service="s")
        for n in range(SHOWN + 50)
    )
    with django_assert_num_queries(3):
        assert len(score("restart").courses) == SHOWN


@pytest.fixture
def shadow_run() -> Run:
    """A run that only the mode of its service kept from starting."""
    playbook, incident = make_playbook(), make_incident(make_service(mode="observe", hosts=1))
    decision = make_decision("deny", "only observed", rules=DENIED)
    run = make_run(incident, playbook, status="aborted", abort_reason="policy", started_at=None, decision=decision)
    said = proposed(timezone.now(), incident.pk, playbook.name)
    with transaction.atomic():
        ledger.append(
            actor="scheduler", action="run.proposed", resource=f"run:{run.pk}", at=run.created_at, payload=said["payload"]
        )
    store_rest()
    follow()
    return run


def test_a_person_says_on_the_page_of_the_run_and_the_playbook_shows_it(shadow_run: Run, client: Any) -> None:
    client.force_login(make_user("olga", role="operator"))
    act = address_of(shadow_run).replace("/change/", "/act/judge/")
    assert 'id="dialog-judge"' in client.get(address_of(shadow_run)).content.decode()
    client.post(act, {"judgement": "would_have_harmed", "comment": WHY})
    store_rest()
    while follow():
        continue
    page = " ".join(client.get(address_of(shadow_run.playbook)).content.decode().split())
    assert f"olga says so: {WHY}" in page
    assert "Would have harmed: <strong>1</strong>" in page


def test_a_playbook_that_was_never_in_shadow_says_so(client: Any) -> None:
    client.force_login(make_user("vera"))
    assert "It would not have run yet" in client.get(address_of(make_playbook())).content.decode()


@pytest.mark.parametrize("path", ["", "no.such.module"])
def test_without_anybody_who_keeps_scores_the_page_has_none(client: Any, settings: Any, path: str) -> None:
    settings.SHADOW_SCORE = path
    client.force_login(make_user("vera"))
    assert "only observed" not in client.get(address_of(make_playbook())).content.decode()


def test_a_viewer_says_nothing(shadow_run: Run) -> None:
    with pytest.raises(NotAllowed):
        healing_shadow.say(shadow_run.pk, "agreed", WHY, make_user("vera"), timezone.now())


@pytest.mark.parametrize(("judgement", "note", "field"), [("good", WHY, "judgement"), ("agreed", " ", "reason")])
def test_what_is_no_word_is_refused(shadow_run: Run, judgement: str, note: str, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        healing_shadow.say(shadow_run.pk, judgement, note, make_user("olga", role="operator"), timezone.now())
    assert refused.value.field == field


def test_a_run_that_was_more_than_a_shadow_is_not_judged(shadow_run: Run) -> None:
    Run.objects.filter(pk=shadow_run.pk).update(started_at=timezone.now())
    with pytest.raises(Conflict):
        healing_shadow.say(shadow_run.pk, "agreed", WHY, make_user("olga", role="operator"), timezone.now())


def test_programs_read_the_score_and_judge(shadow_run: Run) -> None:
    make_roles()
    api = Api(make_user("olga", role="operator"), "read", "operate")
    said = api.get("playbooks/restart-unit/shadow").json()
    assert (said["going_on"], said["courses"][0]["course"]["run"]) == (1, str(shadow_run.pk))
    problem(api.get("playbooks/nobody/shadow"), 404)
    assert problem(api.post(f"runs/{shadow_run.pk}/judge", {"judgement": "good", "reason": WHY}), 400)["field"] == "judgement"
    assert api.post(f"runs/{shadow_run.pk}/judge", {"judgement": "agreed", "reason": WHY}).status_code == 200
    problem(
        api.post(f"runs/{make_run(shadow_run.incident, shadow_run.playbook).pk}/judge", {"judgement": "agreed", "reason": WHY}),
        409,
    )


def test_the_command_line_says_it(shadow_run: Run, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert selfheal(["learning", "shadow", "restart-unit"]) == 0
    assert "would have helped  0" in capsys.readouterr().out
    assert selfheal(["learning", "shadow", "restart-unit", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["counts"]["agreed"] == 0
