"""Why this playbook and no other: the account holds no floats, says why of each, and its samples can be drawn again."""

from __future__ import annotations

from datetime import UTC, datetime
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfheal.canonical import dumps
from selfheal.choices import FIXED, MOST, SAMPLING, Candidate, Order, advised, drawn_again, fixed_order
from selfheal.ranking import Place, Ranker, Trial

AT = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
SEED = "0b0c2c4e-6f0e-4a43-8f0b-0f6f0f1c9a11/2"
CANDIDATES = fixed_order(
    [Candidate("scale", "medium"), Candidate("restart", "low", 8, 10), Candidate("flush", "low", 1, 10)],
)


def places(seed: str = SEED, names: tuple[str, ...] = ("restart", "flush", "scale")) -> list[Place]:
    ranker = Ranker()
    for playbook, results in {"restart": "--+-", "flush": "++++++", "scale": "+-"}.items():
        for each in results:
            ranker.see(Trial(AT, playbook, "latency_spike", "web", each == "+"))
    return ranker.rank(names, "latency_spike", "web", AT, Random(seed))


def test_the_fixed_order_is_by_impact_then_record_then_name() -> None:
    assert [each.playbook for each in CANDIDATES] == ["restart", "flush", "scale"]


@pytest.mark.parametrize(
    ("playbook", "why"),
    [
        ("restart", "chosen"),
        ("flush", "its record, at least 0.03, comes after 0.60"),
        ("scale", "medium impact comes after low"),
    ],
)
def test_in_the_fixed_order_each_says_why_not(playbook: str, why: str) -> None:
    told = Order(CANDIDATES).told("restart", {})
    assert {row["playbook"]: row["why"] for row in told["candidates"]}[playbook] == why


def test_in_shadow_the_fixed_order_stands_and_says_what_sampling_would_do() -> None:
    order = advised(CANDIDATES, places(), FIXED, SEED)
    assert order.names == ["restart", "flush", "scale"]
    assert order.told("restart", {})["why"] == "first in the fixed order; sampling, in shadow, would try flush first"


def test_sampling_is_followed_where_it_may_be() -> None:
    order = advised(CANDIDATES, places(), SAMPLING, SEED)
    told = order.told("flush", {})
    assert order.names[0] == told["advised"] == "flush"
    assert told["why"].startswith("the greatest sample: drew 0.9")
    assert all("less than" in row["why"] for row in told["candidates"][1:])


def test_what_did_not_apply_says_so_and_is_not_compared() -> None:
    told = advised(CANDIDATES, places(), SAMPLING, SEED).told("restart", {"flush": "when: incident.severity is low"})
    whys = {row["playbook"]: row["why"] for row in told["candidates"]}
    assert whys["flush"] == "does not apply: when: incident.severity is low"
    assert "of those that apply (1 did not)" in told["why"]


def test_the_only_candidate_says_that_it_is_the_only_one() -> None:
    assert Order((Candidate("restart", "low"),)).told("restart", {})["why"] == "the only playbook for it"


def test_an_account_can_stand_in_the_log() -> None:
    assert dumps(advised(CANDIDATES, places(), SAMPLING, SEED).told("flush", {}))


@given(st.text(max_size=60), st.sets(st.sampled_from(["restart", "flush", "scale"]), min_size=2))
def test_the_samples_are_drawn_again_from_the_account_alone(seed: str, names: set[str]) -> None:
    some = fixed_order(each for each in CANDIDATES if each.playbook in names)
    order = advised(some, places(seed, tuple(names)), SAMPLING, seed)
    told = order.told(order.names[0], {})
    assert drawn_again(told) == {row["playbook"]: row["sample"] for row in told["candidates"]}


def test_a_choice_among_hundreds_names_some_and_the_chosen() -> None:
    many = fixed_order(Candidate(f"p{n:03d}", "low") for n in range(300))
    told = Order(many).told("p299", {})
    assert (len(told["candidates"]), told["of"]) == (MOST + 1, 300)
    assert told["candidates"][-1]["playbook"] == "p299"


@pytest.mark.parametrize(
    "answer",
    [
        [],
        places()[:2],
        [*places(), places()[0]],
        ["restart", "flush", "scale"],
        [*places()[:2], Place("rm-rf", places()[0].belief, 0.9)],
        [Place(each.playbook, each.belief, float("nan")) for each in places()],
    ],
    ids=["nothing", "one is missing", "one twice", "names alone", "one that nobody asked about", "no numbers"],
)
def test_an_answer_that_is_no_order_of_the_candidates_is_refused(answer: list) -> None:
    with pytest.raises(ValueError, match="answer"):
        advised(CANDIDATES, answer, SAMPLING, SEED)
