"""What the ranker is asked for costs its playbooks, and says what the recorded history says."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from healing.models import TrustEvidence
from healing.trust import trust_of
from learning import ranker
from learning.follow import again, follow
from learning.models import Weight
from selfheal.ranking import Question, Ranker, Trial

from .conftest import BEGIN, PLAYBOOKS, history, leaf, store

LATER = BEGIN + timedelta(days=30)
ENDS = {"from": "running", "to": "failed", "abort_reason": None}


def asked(seed: str = "seed") -> Question:
    return Question("web", "service_down", PLAYBOOKS, seed, LATER)


def lived(*names: str, **about: Any) -> list[dict[str, Any]]:
    """The leaves of one run: proposed, started, and what is named."""
    run, said = uuid.uuid4(), {"playbook": "restart", "service": "web", "diagnosis": "service_down", "target": "web-01"}
    head = leaf(run, "proposed", BEGIN, about.pop("actor", "scheduler"), impact="low", domain="host", **said, **about)
    return [head, leaf(run, "running", BEGIN, **{"from": "queued"}), *(leaf(run, name, BEGIN, **ENDS) for name in names)]


def test_what_is_known_of_a_playbook_is_the_sum_of_what_is_known_of_it_on_services(learnt: Callable[..., Any]) -> None:
    learnt(history(seed=21, runs=150))
    weights = {(row.playbook, row.diagnosis, row.service): row for row in Weight.objects.all()}
    everywhere = weights["restart", "", ""]
    parts = [row for (name, _, service), row in weights.items() if name == "restart" and service]
    total = sum(row.succeeded * 0.5 ** ((everywhere.at - row.at) / timedelta(days=14)) for row in parts)
    assert everywhere.succeeded == pytest.approx(total)


@pytest.mark.parametrize(
    ("names", "counts"),
    [
        (["succeeded"], (0, 0)),
        (["succeeded", "held"], (1, 0)),
        (["succeeded", "not_held"], (0, 1)),
        (["failed"], (0, 1)),
        (["rolled_back"], (0, 1)),
    ],
)
def test_a_success_counts_when_it_held(learnt: Callable[..., Any], names: list[str], counts: tuple[int, int]) -> None:
    learnt(lived(*names))
    rows = Weight.objects.filter(playbook="restart")
    assert {(row.succeeded, row.failed) for row in rows} == ({counts} if any(counts) else set())


def test_what_is_rejected_says_nothing_of_the_playbook(learnt: Callable[..., Any]) -> None:
    run = uuid.uuid4()
    about = {"playbook": "restart", "service": "web", "diagnosis": "service_down", "target": "w", "impact": "low"}
    learnt([leaf(run, "proposed", BEGIN, "scheduler", **about), leaf(run, "rejected", BEGIN, "ann", **{"from": "pending"})])
    assert not Weight.objects.exists()


def test_the_same_seed_gives_the_same_advice(learnt: Callable[..., Any]) -> None:
    learnt(history(seed=22, runs=60))
    assert ranker.advise(asked()) == ranker.advise(asked())
    assert ranker.advise(asked()) != ranker.advise(asked("another"))


def test_what_helped_here_is_advised_before_what_did_not(learnt: Callable[..., Any]) -> None:
    learnt([each for _ in range(40) for each in lived("succeeded", "held")])
    bad = [each for _ in range(40) for each in lived("failed")]
    for each in bad:
        if each["action"] == "run.proposed":
            each["payload"]["playbook"] = "scale"
    store(bad, first=160)
    follow()
    question = Question("web", "service_down", ("scale", "restart"), "seed", BEGIN)
    assert [place.playbook for place in ranker.advise(question)] == ["restart", "scale"]


@pytest.mark.django_db
def test_advice_costs_one_query_however_much_was_recorded(django_assert_num_queries: Any) -> None:
    Weight.objects.bulk_create(Weight(playbook=f"p{n}", diagnosis="d", service="s", at=BEGIN) for n in range(500))
    with django_assert_num_queries(1):
        ranker.advise(asked())


@pytest.mark.django_db
def test_weights_that_are_read_in_parts_are_those_of_the_whole() -> None:
    chance = random.Random(3)
    trials = [Trial(BEGIN + timedelta(hours=n), chance.choice(PLAYBOOKS), "d", "s", chance.random() < 0.5) for n in range(60)]
    whole = Ranker()
    for trial in trials:
        whole.see(trial)
    for start in range(0, 60, 7):
        ranker.remember(trials[start : start + 7])
    kept = {tuple(filter(None, (row.playbook, row.diagnosis, row.service))): row for row in Weight.objects.all()}
    assert {key: (w.succeeded, w.failed, w.at) for key, w in whole.weights.items()} == {
        key: (row.succeeded, row.failed, row.at) for key, row in kept.items()
    }


def test_outcomes_are_evidence_for_and_against_those_behind_a_run(learnt: Callable[..., Any]) -> None:
    learnt([*lived("failed", trigger="alert"), *lived("failed", trigger="operator", actor="olga", token="t1")])
    for kind, name, seen in [("trigger", "alert", 0), ("agent", "olga", 1), ("token", "t1", 1), ("playbook", "restart", 2)]:
        assert trust_of(kind, name, BEGIN).seen == seen


def test_reading_the_log_again_changes_nobodys_trust(learnt: Callable[..., Any]) -> None:
    learnt(history(seed=23, runs=60))
    before = list(TrustEvidence.objects.order_by("pk").values())
    again()
    assert list(TrustEvidence.objects.order_by("pk").values()) == before
