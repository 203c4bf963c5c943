"""`decide(proposal, facts, at) -> Decision`: what may be done, and why.

Rules that this module keeps:
1. Every rule of `RULES` is looked at and reported, those that pass too; the strictest verdict wins, in whatever order.
2. An error in a rule is `deny`: a guard that fails denies.
3. Nothing is fetched: facts and the clock are handed in, so the same values always give the same decision.
4. More impact, more blast radius, a storm or a stricter level never let more start alone. Where medium impact is deferred to
   the opening of the window, high impact is asked about: it is never deferred into silence.

    >>> decide(proposal, facts, at).verdict
    <Verdict.APPROVAL: 'approval'>
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from selfheal.guardrails import LIMITS, SHOWN
from selfheal.scores import FLOOR
from selfheal.states import GlobalMode, Impact, KillState, Level, Mode, Trigger, Verdict

POLICY_VERSION = "2026-11-25"


@dataclass(frozen=True)
class Proposal:
    """What somebody wants to run."""

    playbook: str
    service: str
    targets: tuple[str, ...]
    diagnosis: str
    impact: Impact
    confidence: float
    trigger: Trigger
    own_alert: bool  # an alert of its own is firing
    verified: bool  # the plan ends in at least one check
    outside_window: str = "ask"  # ask | wait
    problems: tuple[str, ...] = ()  # parameters out of bounds, undeclared ones, unknown actions


@dataclass(frozen=True)
class Facts:
    """What is true now, as healing has stored it."""

    global_mode: GlobalMode
    service_mode: Mode
    kill_switch: KillState
    level: Level
    blast_radius: int
    in_window: bool
    window: str  # which window or freeze, in words
    autonomous: bool
    autonomy: str  # why, in words
    storm: str = ""  # why it is a storm; empty: it is none
    failing: str = ""  # why the playbook is stopped across the fleet; empty: it is not
    debt: str = ""  # the open problem: healed again and again, and nobody has its cause; empty: there is none
    distrust: str = ""  # who behind it is not trusted, and why; empty: nobody
    alertmanager: str = ""  # why it could not be asked; empty: it says that the alert is active, or is not to be asked
    autoapprove_low_risk: bool = True
    opens_at: datetime | None = None


class Ruling(NamedTuple):
    """What one rule said."""

    rule: str
    verdict: Verdict
    reason: str


@dataclass(frozen=True)
class Decision:
    verdict: Verdict
    rulings: tuple[Ruling, ...]
    needed: int = 1  # different approvers
    opens_at: datetime | None = None
    version: str = field(default=POLICY_VERSION)

    @property
    def why(self) -> str:
        """The reasons of the strictest rules, in a line."""
        if self.verdict is Verdict.AUTO:
            return "every rule allows it"
        strictest = {r.rule: r.reason for r in self.rulings if r.verdict is self.verdict}
        if "impact" in strictest:  # says it for the rules that only follow from it
            strictest = {rule: reason for rule, reason in strictest.items() if rule not in ("level_impact", "earned_autonomy")}
        return "; ".join(strictest.values())

    @property
    def but_for_mode(self) -> Verdict:
        """What it would have been with everything switched on: shown while a service is only observed."""
        return _strictest(r for r in self.rulings if r.rule not in ("global_mode", "service_mode"))


Rule = Callable[[Proposal, Facts, datetime], tuple[Verdict, str]]


def decide(proposal: Proposal, facts: Facts, at: datetime) -> Decision:
    """Look at every rule. Never raises: an error while deciding is a denial that says so."""
    rulings = tuple([_look(name, rule, proposal, facts, at) for name, rule in RULES.items()])
    return Decision(
        verdict=_strictest(rulings),
        rulings=rulings,
        needed=2 if proposal.impact is Impact.CRITICAL else 1,
        opens_at=facts.opens_at,
    )


def _look(name: str, rule: Rule, proposal: Proposal, facts: Facts, at: datetime) -> Ruling:
    try:
        verdict, reason = rule(proposal, facts, at)
        return Ruling(name, verdict if type(verdict) is Verdict else Verdict(verdict), reason)
    except Exception as error:  # noqa: BLE001 — whatever breaks in a guard, the guard denies
        return Ruling(name, Verdict.DENY, f"the rule failed: {type(error).__name__}: {error}")


def _strictest(rulings: Iterable[Ruling]) -> Verdict:
    """The strictest verdict; where nothing was looked at, nothing is allowed."""
    return max((r.verdict for r in rulings), key=_RANK.__getitem__, default=Verdict.DENY)


_RANK = {verdict: verdict.rank for verdict in Verdict}


def kill_switch(proposal: Proposal, facts: Facts, at: datetime) -> tuple[Verdict, str]:
    """On `pause` or `kill` nothing starts."""
    if facts.kill_switch is KillState.OFF:
        return Verdict.AUTO, "the kill switch is off"
    return Verdict.DENY, f"the kill switch is on {facts.kill_switch}"


def global_mode(proposal: Proposal, facts: Facts, at: datetime) -> tuple[Verdict, str]:
    """The mode of the installation is the ceiling over every service."""
    if facts.global_mode is GlobalMode.EXECUTE:
        return Verdict.AUTO, "the installation executes"
    return Verdict.DENY, f"the installation is on {facts.global_mode}: nothing runs"


def service_mode(proposal: Proposal, facts: Facts, at: datetime) -> tuple[Verdict, str]:
    """A service is only observed, asks a person about everything, or lets policy decide."""
    if facts.service_mode is Mode.AUTO:
        return Verdict.AUTO, f"{proposal.service} is on auto: policy decides"
    if facts.service_mode is Mode.ASK:
        return Verdict.APPROVAL, f"{proposal.service} is on ask: a person decides everything"
    return Verdict.DENY, f"{proposal.service} is only observed: nothing runs"


def bounds(proposal: Proposal, facts: Facts, at: datetime) -> tuple[Verdict, str]:
    """Parameters, actions and targets are declared and within their bounds; an empty set of targets is never "all"."""
    if proposal.problems:
        return Verdict.DENY, "; ".join(proposal.problems)
    if not proposal.targets:
        return Verdict.DENY, "the set of targets is empty"
    return Verdict.AUTO, "parameters and targets are within bounds"


def verification(proposal: Proposal, facts: Facts, at: datetime) -> tuple[Verdict, str]:
    """What nobody checks afterwards does not start alone."""
    if proposal.verified:
        return Verdict.AUTO, "the playbook checks that it helped"
    return Verdict.APPROVAL, "the playbook has no verification"


def own_alert(proposal: Proposal, facts: Facts, at: datetime) -> tuple[Verdict, str]:
    """A correlated root, a forecast or a pattern in the log does not start anything alone."""
    if proposal.own_alert:
        return Verdict.AUTO, "an alert of its own is firing"
    return Verdict.APPROVAL, "no alert of its own is firing"


def alertmanager(proposal: Proposal, facts: Facts, at: datetime) -> tuple[Verdict, str]:
    """Where SELF_HEAL_ALERTMANAGER_URL is set, it is asked whether the alert is active and not silenced."""
    if facts.alertmanager:
        return Verdict.APPROVAL, f"Alertmanager could not be asked: {facts.alertmanager}"
    return Verdict.AUTO, "no answer of Alertmanager is missing"


def change_window(proposal: Proposal, facts: Facts, at: datetime) -> tuple[Verdict, str]:
    """Outside a window, or inside a freeze: high and critical impact are asked about, medium is asked about or waits."""
    if facts.in_window:
        return Verdict.AUTO, f"inside the change window ({facts.window})"
    outside = f"outside the change window ({facts.window})"
    if proposal.impact is Impact.LOW:
        return Verdict.AUTO, f"{outside}, which low impact does not need"
    waits = proposal.outside_window == "wait" or proposal.trigger is Trigger.SCHEDULE
    if proposal.impact is Impact.MEDIUM and waits and facts.opens_at and facts.opens_at > at:
        return Verdict.DEFER, f"{outside}: it waits for the opening"
    return Verdict.APPROVAL, outside


def impact(proposal: Proposal, facts: Facts, at: datetime) -> tuple[Verdict, str]:
    """High and critical impact always need a person, critical two."""
    if proposal.impact is Impact.CRITICAL:
        return Verdict.APPROVAL, "critical impact needs two different approvers"
    if proposal.impact is Impact.HIGH:
        return Verdict.APPROVAL, "high impact always needs approval"
    return Verdict.AUTO, f"{proposal.impact} impact needs no approval of its own"


def confidence(proposal: Proposal, facts: Facts, at: datetime) -> tuple[Verdict, str]:
    """How sure the diagnosis is, against what the guardrail level wants."""
    least = LIMITS[facts.level].confidence
    if proposal.confidence >= least:
        return Verdict.AUTO, f"confidence {proposal.confidence:.2f} reaches {least:.2f}"
    return Verdict.APPROVAL, f"confidence {proposal.confidence:.2f} is below {least:.2f}"


def blast_radius(proposal: Proposal, facts: Facts, at: datetime) -> tuple[Verdict, str]:
    """How many services depend on it, directly or not, against what the guardrail level allows."""
    most = LIMITS[facts.level].blast_radius
    said = f"{facts.blast_radius} services depend on {proposal.service}"
    if facts.blast_radius <= most:
        return Verdict.AUTO, f"{said}, at most {most} may"
    return Verdict.APPROVAL, f"{said}, more than {most}"


def level_impact(proposal: Proposal, facts: Facts, at: datetime) -> tuple[Verdict, str]:
    """The impact, against what the guardrail level allows."""
    most = LIMITS[facts.level].impact
    if proposal.impact.rank <= most.rank:
        return Verdict.AUTO, f"{proposal.impact} impact is within the {SHOWN[facts.level]} guardrail"
    return Verdict.APPROVAL, f"{proposal.impact} impact is over the {SHOWN[facts.level]} guardrail's {most}"


def earned_autonomy(proposal: Proposal, facts: Facts, at: datetime) -> tuple[Verdict, str]:
    """A playbook acts alone for a diagnosis by its record, or by a grant."""
    return (Verdict.AUTO if facts.autonomous else Verdict.APPROVAL), f"autonomy: {facts.autonomy}"


def failing_playbook(proposal: Proposal, facts: Facts, at: datetime) -> tuple[Verdict, str]:
    """A playbook that has just failed several times, wherever it was, is stopped: healing must not spread a fault."""
    if facts.failing:
        return Verdict.APPROVAL, f"stopped across the fleet: {facts.failing}"
    return Verdict.AUTO, f"{proposal.playbook} did not fail several times lately"


def root_cause(proposal: Proposal, facts: Facts, at: datetime) -> tuple[Verdict, str]:
    """What is healed again and again has a cause: until somebody acknowledges the problem, a person is asked."""
    if facts.debt:
        return Verdict.APPROVAL, f"a problem that nobody has acknowledged: {facts.debt}"
    return Verdict.AUTO, f"{proposal.diagnosis} of {proposal.service} is no open problem"


def trust(proposal: Proposal, facts: Facts, at: datetime) -> tuple[Verdict, str]:
    """What set it off, the playbook, its domain, who asked and by which token: whoever lost trust starts nothing alone."""
    if facts.distrust:
        return Verdict.APPROVAL, f"trust below {FLOOR:.2f}: {facts.distrust}"
    return Verdict.AUTO, "nobody behind it has lost trust"


def storm(proposal: Proposal, facts: Facts, at: datetime) -> tuple[Verdict, str]:
    """While many services are unwell at once, nothing is automatic."""
    return (Verdict.APPROVAL, f"storm: {facts.storm}") if facts.storm else (Verdict.AUTO, "no storm")


def low_risk(proposal: Proposal, facts: Facts, at: datetime) -> tuple[Verdict, str]:
    """With SELF_HEAL_AUTOAPPROVE_LOW_RISK=false a person decides everything."""
    if facts.autoapprove_low_risk:
        return Verdict.AUTO, "low risk may start alone"
    return Verdict.APPROVAL, "SELF_HEAL_AUTOAPPROVE_LOW_RISK is false: a person decides everything"


RULES: dict[str, Rule] = {
    "kill_switch": kill_switch,
    "global_mode": global_mode,
    "service_mode": service_mode,
    "bounds": bounds,
    "verification": verification,
    "own_alert": own_alert,
    "alertmanager": alertmanager,
    "change_window": change_window,
    "impact": impact,
    "confidence": confidence,
    "blast_radius": blast_radius,
    "level_impact": level_impact,
    "earned_autonomy": earned_autonomy,
    "failing_playbook": failing_playbook,
    "root_cause": root_cause,
    "trust": trust,
    "storm": storm,
    "low_risk": low_risk,
}
