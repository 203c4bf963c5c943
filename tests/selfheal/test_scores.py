from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfheal.scores import FLOOR, LONGEST, Actor, Evidence, Kind, Standing, behind, blamed, distrust, trust, verdict_on

AT = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
RESTART = Actor(Kind.PLAYBOOK, "restart")
FRESH = Standing()


def after(results: str, standing: Standing = FRESH, at: datetime = AT) -> Standing:
    for index, each in enumerate(results):
        standing = standing.seeing(Evidence(RESTART, index, at, each == "+", ""))
    return standing


def score(results: str, at: datetime = AT) -> float:
    return trust(RESTART, after(results), at).score


def test_an_actor_of_which_nothing_is_known_stands_in_the_middle() -> None:
    found = trust(RESTART, Standing(), AT)
    assert (found.score, found.lower_bound, found.reasons) == (0.5, 0.0, ("nothing is known of it",))


def test_three_bad_things_in_a_row_take_trust_away() -> None:
    assert score("--") >= FLOOR > score("---")


def test_six_good_things_in_a_row_reach_what_the_memory_of_another_domain_needs() -> None:
    assert score("+++++") < 0.8 <= score("++++++")


def test_evidence_halves_in_thirty_days() -> None:
    assert score("----", AT + timedelta(days=30)) == pytest.approx(score("--"))


@given(st.text("+-", max_size=40), st.floats(0, 5_000))
def test_a_score_stays_within_its_range_and_over_its_lower_bound_is_no_promise(results: str, days: float) -> None:
    found = trust(RESTART, after(results), AT + timedelta(days=days))
    assert 0 <= found.lower_bound <= 1
    assert 0 < found.score < 1


@given(st.text("+-", max_size=40))
def test_good_evidence_never_lowers_a_score_nor_bad_raises_it(results: str) -> None:
    assert score(results + "+") > score(results) > score(results + "-")


@given(st.text("+-", max_size=40), st.floats(0, 5_000))
def test_what_is_forgotten_never_crosses_the_middle(results: str, days: float) -> None:
    now, later = score(results) - 0.5, score(results, AT + timedelta(days=days)) - 0.5
    assert now * later >= 0
    assert abs(later) <= abs(now) + 1e-12


def test_what_a_person_set_holds_until_its_end() -> None:
    standing = Standing(good=6, as_of=AT, set_to=0.1, set_until=AT + LONGEST, set_by="ann", set_reason="it deletes things")
    assert trust(RESTART, standing, AT).score == 0.1
    assert trust(RESTART, standing, AT + LONGEST).score > 0.5


def test_the_reasons_say_who_set_it_and_why() -> None:
    standing = Standing(set_to=0.1, set_by="ann", set_reason="it deletes things")
    assert "set by ann: it deletes things" in distrust([trust(RESTART, standing, AT)])


def leaf(action: str, **payload: Any) -> dict[str, Any]:
    return {"action": f"run.{action}", "payload": payload}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (leaf("held"), True),
        (leaf("not_held"), False),
        (leaf("failed", **{"from": "running"}), False),
        (leaf("rolled_back", **{"from": "rolling_back"}), False),
        (leaf("aborted", abort_reason="timeout", **{"from": "running"}), False),
        (leaf("aborted", abort_reason="operator", **{"from": "running"}), None),
        (leaf("aborted", abort_reason="policy", **{"from": "proposed"}), None),
        (leaf("succeeded", **{"from": "verifying"}), None),
        (leaf("rejected", **{"from": "pending"}), False),
        (leaf("running", **{"from": "queued"}), None),
        (leaf("abort_asked"), None),
    ],
)
def test_a_run_speaks_for_or_against_those_behind_it(said: dict[str, Any], expected: bool | None) -> None:
    assert verdict_on(said) is expected


def test_a_rejection_is_about_who_asked_and_not_about_the_playbook() -> None:
    everyone = behind({"playbook": "restart", "domain": "host", "trigger": "operator", "requested_by": "ann", "token": "t1"})
    assert [actor.kind for actor in everyone] == ["trigger", "playbook", "domain", "agent", "token"]
    assert [actor.name for actor in blamed(everyone, leaf("rejected"))] == ["operator", "ann", "t1"]


def test_a_run_that_did_not_help_is_not_about_the_alert_and_the_domain() -> None:
    everyone = behind({"playbook": "restart", "domain": "host", "trigger": "alert", "requested_by": "ann", "token": "t1"})
    assert [actor.name for actor in blamed(everyone, leaf("not_held"))] == ["restart", "ann", "t1"]
    assert blamed(everyone, leaf("held")) == everyone


def test_our_own_scheduler_is_nobody_who_asks() -> None:
    assert behind({"playbook": "restart", "requested_by": "scheduler"}) == [RESTART]
