"""Trust as it is stored: evidence counts once, people change it by a logged action, decisions read it."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from healing import trust
from healing.governance import world
from healing.models import LedgerOutbox, TrustEvidence
from healing.proposals import decide
from selfheal.errors import Conflict, Invalid, NotAllowed
from selfheal.scores import Actor, Evidence, Kind
from selfheal.states import Trigger
from tests.factories import make_incident, make_plan, make_playbook, make_user

pytestmark = pytest.mark.django_db
RESTART = Actor(Kind.PLAYBOOK, "restart-unit")


def seen(results: str, at: datetime, first: int = 0) -> list[Evidence]:
    return [Evidence(RESTART, first + index, at, each == "+", "it came back") for index, each in enumerate(results)]


def logged() -> list[dict]:
    return [json.loads(bytes(leaf)) for leaf in LedgerOutbox.objects.order_by("id").values_list("leaf", flat=True)]


def test_evidence_counts_once_however_often_it_is_read(at: datetime) -> None:
    trust.learn(seen("++-", at), at)
    once = trust.trust_of(*RESTART, at)
    trust.learn(seen("++-", at), at)
    assert trust.trust_of(*RESTART, at) == once
    assert TrustEvidence.objects.count() == 3


def test_of_whom_nothing_is_known_the_trust_is_in_the_middle(at: datetime) -> None:
    assert trust.trust_of("domain", "host", at).score == 0.5


def test_a_kind_that_nobody_is_of_is_refused() -> None:
    with pytest.raises(Invalid, match="trigger"):
        trust.trust_of("weather", "rain")


def test_losing_trust_and_winning_it_back_stand_in_the_log(at: datetime) -> None:
    trust.learn(seen("---", at), at)
    trust.learn(seen("+++", at, first=3), at)
    assert [(each["action"], each["resource"]) for each in logged()] == [
        ("trust.lost", "trust:playbook:restart-unit"),
        ("trust.regained", "trust:playbook:restart-unit"),
    ]


def test_a_person_sets_trust_by_an_entry_that_names_them(at: datetime) -> None:
    trust.set_by_hand(*RESTART, 0.1, None, "it deletes things", make_user("ann", role="admin"), at)
    assert trust.trust_of(*RESTART, at).score == 0.1
    (entry,) = logged()
    assert (entry["actor"], entry["action"]) == ("ann", "trust.set")
    assert entry["payload"]["before"] == "0.5000"
    assert entry["payload"]["after"] == "0.1000"


def test_taking_it_back_lets_what_was_earned_stand_again(at: datetime) -> None:
    ann = make_user("ann", role="admin")
    trust.set_by_hand(*RESTART, 0.9, 30, "we watched it", ann, at)
    assert trust.take_back(*RESTART, "no need", ann, at).score == 0.5
    with pytest.raises(Conflict):
        trust.take_back(*RESTART, "no need", ann, at)


def test_more_trust_than_was_earned_has_an_end(at: datetime) -> None:
    ann = make_user("ann", role="admin")
    with pytest.raises(Invalid, match="1 to 90"):
        trust.set_by_hand(*RESTART, 0.9, None, "we watched it", ann, at)
    trust.set_by_hand(*RESTART, 0.9, 90, "we watched it", ann, at)
    assert trust.trust_of(*RESTART, at + timedelta(days=90)).score == 0.5


def test_who_is_no_administrator_sets_nothing(at: datetime) -> None:
    with pytest.raises(NotAllowed):
        trust.set_by_hand(*RESTART, 0.1, None, "it deletes things", make_user("bob", role="approver"), at)


@pytest.mark.parametrize(("score", "days", "reason"), [(1.1, 1, "so"), (float("nan"), 1, "so"), (0.2, 91, "so"), (0.2, 1, " ")])
def test_what_is_out_of_range_is_refused(score: float, days: int, reason: str, at: datetime) -> None:
    with pytest.raises(Invalid):
        trust.set_by_hand(*RESTART, score, days, reason, make_user("ann", role="admin"), at)


def test_a_playbook_that_lost_trust_does_not_start_alone() -> None:
    now = timezone.now()
    incident, playbook = make_incident(), make_playbook()
    plan = make_plan(incident, playbook)
    before = decide(incident, plan, Trigger.ALERT, world(now), now)
    trust.learn(seen("---", now), now)
    after = decide(incident, plan, Trigger.ALERT, world(now), now)
    said = [next(rule for rule in decision.rulings if rule.rule == "trust") for decision in (before, after)]
    assert [rule.verdict for rule in said] == ["auto", "approval"]
    assert "playbook restart-unit is trusted 0.29" in said[1].reason
