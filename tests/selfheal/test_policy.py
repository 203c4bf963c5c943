from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import prod
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfheal import policy
from selfheal.guardrails import LIMITS
from selfheal.policy import RULES, Facts, Proposal, decide
from selfheal.states import GlobalMode, Impact, KillState, Level, Mode, Trigger, Verdict

AT = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
LATER = AT + timedelta(hours=20)

QUIET = Proposal(
    playbook="restart-process",
    service="web",
    targets=("web-01",),
    diagnosis="service_down",
    impact=Impact.LOW,
    confidence=0.95,
    trigger=Trigger.ALERT,
    own_alert=True,
    verified=True,
)
CALM = Facts(
    global_mode=GlobalMode.EXECUTE,
    service_mode=Mode.AUTO,
    kill_switch=KillState.OFF,
    level=Level.MAINTAIN,
    blast_radius=0,
    in_window=True,
    window="Mon-Fri 09:00-18:00, UTC",
    autonomous=True,
    autonomy="low impact with a clean record",
)


def verdict(proposal: dict | None = None, facts: dict | None = None) -> Verdict:
    return decide(replace(QUIET, **proposal or {}), replace(CALM, **facts or {}), AT).verdict


@pytest.mark.parametrize(
    ("proposal", "facts", "expected"),
    [
        ({}, {}, "auto"),
        ({}, {"kill_switch": KillState.PAUSE}, "deny"),
        ({}, {"kill_switch": KillState.KILL}, "deny"),
        ({}, {"global_mode": GlobalMode.OBSERVE}, "deny"),
        ({}, {"global_mode": GlobalMode.OFF}, "deny"),
        ({}, {"service_mode": Mode.OBSERVE}, "deny"),
        ({}, {"service_mode": Mode.ASK}, "approval"),
        ({"problems": ("parameters.unit is not declared",)}, {}, "deny"),
        ({"targets": ()}, {}, "deny"),
        ({"verified": False}, {}, "approval"),
        ({"own_alert": False}, {}, "approval"),
        ({}, {"in_window": False}, "auto"),
        ({"impact": Impact.MEDIUM}, {"in_window": False}, "approval"),
        ({"impact": Impact.MEDIUM, "outside_window": "wait"}, {"in_window": False, "opens_at": LATER}, "defer"),
        ({"impact": Impact.MEDIUM, "trigger": Trigger.SCHEDULE}, {"in_window": False, "opens_at": LATER}, "defer"),
        ({"impact": Impact.MEDIUM, "outside_window": "wait"}, {"in_window": False}, "approval"),
        ({"impact": Impact.HIGH, "outside_window": "wait"}, {"in_window": False}, "approval"),
        ({"impact": Impact.CRITICAL, "trigger": Trigger.SCHEDULE}, {"in_window": False}, "approval"),
        ({"impact": Impact.MEDIUM}, {}, "auto"),
        ({"impact": Impact.HIGH}, {}, "approval"),
        ({"impact": Impact.CRITICAL}, {}, "approval"),
        ({"confidence": 0.79}, {}, "approval"),
        ({"confidence": 0.80}, {}, "auto"),
        ({"confidence": 0.94}, {"level": Level.TIGHTEN}, "approval"),
        ({"confidence": 0.65}, {"level": Level.LOOSEN}, "auto"),
        ({}, {"blast_radius": 2}, "auto"),
        ({}, {"blast_radius": 3}, "approval"),
        ({}, {"blast_radius": 2, "level": Level.TIGHTEN}, "approval"),
        ({"impact": Impact.MEDIUM}, {"level": Level.TIGHTEN}, "approval"),
        ({}, {"autonomous": False}, "approval"),
        ({}, {"storm": "6 of 10 services are unhealthy"}, "approval"),
        ({}, {"autoapprove_low_risk": False}, "approval"),
        ({}, {"alertmanager": "no answer within 2 s"}, "approval"),
        ({}, {"failing": "3 runs failed within 60 min"}, "approval"),
        ({}, {"debt": "healed 7 times"}, "approval"),
        ({"confidence": float("nan")}, {}, "approval"),
        ({"impact": Impact.MEDIUM, "outside_window": "wait"}, {"in_window": False, "opens_at": AT}, "approval"),
    ],
)
def test_each_rule_has_its_verdict(proposal: dict, facts: dict, expected: str) -> None:
    assert verdict(proposal, facts) == expected


def test_every_rule_is_reported_whether_it_passes_or_not() -> None:
    assert [r.rule for r in decide(QUIET, CALM, AT).rulings] == list(RULES)


def test_critical_needs_two_approvers() -> None:
    assert decide(replace(QUIET, impact=Impact.CRITICAL), CALM, AT).needed == 2


def test_a_rule_that_breaks_denies_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(proposal: Proposal, facts: Facts, at: datetime) -> tuple[Verdict, str]:
        raise ZeroDivisionError("oops")

    monkeypatch.setitem(policy.RULES, "storm", broken)
    decision = decide(QUIET, CALM, AT)
    assert decision.verdict is Verdict.DENY
    assert "ZeroDivisionError: oops" in decision.why


def test_what_an_observed_service_would_have_got_is_told() -> None:
    decision = decide(replace(QUIET, impact=Impact.HIGH), replace(CALM, service_mode=Mode.OBSERVE), AT)
    assert (decision.verdict, decision.but_for_mode) == (Verdict.DENY, Verdict.APPROVAL)


@pytest.mark.parametrize(
    ("proposal", "facts"),
    [
        ({"confidence": None}, {}),
        ({"impact": "none"}, {}),
        ({}, {"level": "open"}),
        ({}, {"blast_radius": None}),
        ({"impact": Impact.MEDIUM, "outside_window": "wait"}, {"in_window": False, "opens_at": datetime(2026, 11, 26)}),  # noqa: DTZ001
    ],
)
def test_a_fact_that_makes_no_sense_denies(proposal: dict, facts: dict) -> None:
    assert verdict(proposal, facts) == "deny"


def mostly(usual: object, *rare: object) -> tuple[object, ...]:
    """What most proposals should be stands more than once, or `auto` would hardly ever be seen."""
    return (usual,) * 5 + rare


PROPOSALS: dict[str, tuple] = {
    "targets": mostly(("a",), (), ("a", "b")),
    "impact": tuple(Impact),
    "confidence": (1.0, 1.0, 1.0, 0.95, 0.94, 0.8, 0.79, 0.65, 0.64, 0.5, 0.0, float("nan")),
    "trigger": tuple(Trigger),
    "own_alert": mostly(True, False),
    "verified": mostly(True, False),
    "outside_window": ("ask", "wait"),
    "problems": mostly((), ("out of bounds",)),
}
FACTS: dict[str, tuple] = {
    "global_mode": mostly(GlobalMode.EXECUTE, GlobalMode.OBSERVE, GlobalMode.OFF),
    "service_mode": mostly(Mode.AUTO, Mode.ASK, Mode.OBSERVE),
    "kill_switch": mostly(*KillState),
    "level": tuple(Level),
    "blast_radius": tuple(range(6)),
    "in_window": (True, False),
    "autonomous": mostly(True, False),
    "storm": mostly("", "6 of 10 services are unhealthy"),
    "failing": mostly("", "3 runs failed"),
    "alertmanager": mostly("", "no answer"),
    "opens_at": (None, AT, LATER),
    "autoapprove_low_risk": mostly(True, False),
}


def case(number: int) -> tuple[Proposal, Facts]:
    """The digits of one drawn number choose: twenty draws an example would take ten times as long."""
    chosen = []
    for axes in (PROPOSALS, FACTS):
        fields = {}
        for name, values in axes.items():
            number, digit = divmod(number, len(values))
            fields[name] = values[digit]
        chosen.append(fields)
    return replace(QUIET, **chosen[0]), replace(CALM, **chosen[1])


cases = st.integers(0, prod(len(values) for axes in (PROPOSALS, FACTS) for values in axes.values()) - 1).map(case)
PROPERTY = settings(max_examples=1_000)  # ten properties: 10,000 proposals


def ranks(proposal: Proposal, *facts: Facts) -> list[int]:
    return [decide(proposal, each, AT).verdict.rank for each in facts]


@PROPERTY
@given(cases)
def test_nothing_starts_alone_that_must_not(case: tuple[Proposal, Facts]) -> None:
    proposal, facts = case
    if decide(proposal, facts, AT).verdict is not Verdict.AUTO:
        return
    limits = LIMITS[facts.level]
    assert facts.kill_switch is KillState.OFF
    assert facts.global_mode is GlobalMode.EXECUTE
    assert facts.service_mode is Mode.AUTO
    assert facts.autoapprove_low_risk
    assert proposal.verified
    assert proposal.own_alert
    assert proposal.targets
    assert not proposal.problems
    assert proposal.impact.rank <= min(limits.impact.rank, Impact.MEDIUM.rank)
    assert proposal.confidence >= limits.confidence
    assert facts.blast_radius <= limits.blast_radius
    assert facts.in_window or proposal.impact is Impact.LOW
    assert facts.autonomous
    assert [facts.storm, facts.failing, facts.alertmanager] == ["", "", ""]


@PROPERTY
@given(cases)
def test_kill_switch_mode_and_bounds_deny_whatever_else_holds(case: tuple[Proposal, Facts]) -> None:
    proposal, facts = case
    off = facts.kill_switch is not KillState.OFF or facts.global_mode is not GlobalMode.EXECUTE
    denied = off or facts.service_mode is Mode.OBSERVE or bool(proposal.problems) or not proposal.targets
    assert (decide(proposal, facts, AT).verdict is Verdict.DENY) is denied


@PROPERTY
@given(cases, st.sampled_from(list(RULES)))
def test_an_error_in_any_rule_denies(case: tuple[Proposal, Facts], name: str) -> None:
    proposal, facts = case

    def broken(*_: object) -> tuple[Verdict, str]:
        raise RuntimeError(name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(policy.RULES, name, broken)
        assert decide(proposal, facts, AT).verdict is Verdict.DENY


@PROPERTY
@given(cases)
def test_tightening_a_level_never_loosens_a_decision(case: tuple[Proposal, Facts]) -> None:
    proposal, facts = case
    found = ranks(proposal, *(replace(facts, level=level) for level in (Level.LOOSEN, Level.MAINTAIN, Level.TIGHTEN)))
    assert found == sorted(found)


@PROPERTY
@given(cases, st.integers(0, 9))
def test_a_greater_blast_radius_never_loosens_a_decision(case: tuple[Proposal, Facts], more: int) -> None:
    proposal, facts = case
    less, greater = ranks(proposal, facts, replace(facts, blast_radius=facts.blast_radius + more))
    assert greater >= less


@PROPERTY
@given(cases)
def test_more_impact_never_loosens_a_decision(case: tuple[Proposal, Facts]) -> None:
    """But for rule 4 of the contract: what would be deferred at medium is asked about at high, and not deferred into silence."""
    proposal, facts = case
    found = [decide(replace(proposal, impact=impact), facts, AT).verdict for impact in Impact]
    asked = [Verdict.APPROVAL if verdict is Verdict.DEFER else verdict for verdict in found]
    assert [verdict.rank for verdict in asked] == sorted(verdict.rank for verdict in asked)
    assert Verdict.DEFER not in (found[0], *found[2:])


@PROPERTY
@given(cases, st.sampled_from(["storm", "failing", "alertmanager", "debt"]))
def test_distress_never_loosens_a_decision(case: tuple[Proposal, Facts], what: str) -> None:
    proposal, facts = case
    calm, distressed = ranks(proposal, replace(facts, **{what: ""}), replace(facts, **{what: "it is"}))
    assert distressed >= calm


@PROPERTY
@given(cases, st.randoms(use_true_random=False))
def test_the_order_of_the_rules_does_not_matter(case: tuple[Proposal, Facts], random: Random) -> None:
    proposal, facts = case
    before, shuffled = decide(proposal, facts, AT), list(RULES.items())
    random.shuffle(shuffled)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(policy, "RULES", dict(shuffled))
        after = decide(proposal, facts, AT)
    assert (after.verdict, after.but_for_mode, set(after.rulings)) == (before.verdict, before.but_for_mode, set(before.rulings))


@PROPERTY
@given(cases)
def test_every_rule_is_reported_with_a_reason(case: tuple[Proposal, Facts]) -> None:
    proposal, facts = case
    decision = decide(proposal, facts, AT)
    assert [r.rule for r in decision.rulings] == list(RULES)
    assert all(r.reason for r in decision.rulings)
    assert decision.verdict.rank == max(r.verdict.rank for r in decision.rulings)


@PROPERTY
@given(cases)
def test_what_the_mode_hides_is_never_stricter_than_the_decision(case: tuple[Proposal, Facts]) -> None:
    proposal, facts = case
    decision = decide(proposal, facts, AT)
    assert decision.but_for_mode.rank <= decision.verdict.rank
