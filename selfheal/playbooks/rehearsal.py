"""A playbook's own tests, run: the same mapping, diagnosis, `resolve` and `decide` as in production, and nothing else.

rehearse(document, vocabulary) == [Rehearsed("a down target is restarted", ("expected decision auto, got approval: …",))]
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from selfheal import alerts, mapping, policy, trust
from selfheal.errors import Invalid, NotApplicable
from selfheal.places import places_of
from selfheal.proposals import proposal_of
from selfheal.states import Impact, Mode, Trigger, Verdict

from .cases import Case, Expect, Expected, Given
from .model import PlaybookDocument
from .resolve import Facts, refused, resolve
from .vocabulary import Vocabulary

BASE_URL = "http://localhost:8000"
OPENS_AFTER = timedelta(hours=12)
GRANT = timedelta(days=1)


@dataclass(frozen=True)
class Rehearsed:
    """How one case went: each mismatch is a line "expected …, got …"."""

    name: str
    mismatches: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return not self.mismatches


def rehearse(document: PlaybookDocument, vocabulary: Vocabulary) -> list[Rehearsed]:
    """Run every case. `vocabulary` needs its commands and queries: what they freeze into is part of the plan."""
    return [Rehearsed(case.name, tuple(_tried(document, case, vocabulary))) for case in document.tests]


def _tried(document: PlaybookDocument, case: Case, vocabulary: Vocabulary) -> list[str]:
    try:
        return list(_mismatches(document, case, vocabulary))
    except Exception as error:  # noqa: BLE001 — an action of somebody else's that breaks fails this test and no other
        return [f"expected an answer, got {type(error).__name__}: {error}"]


def _mismatches(document: PlaybookDocument, case: Case, vocabulary: Vocabulary) -> Iterator[str]:
    try:
        incident, target = _incident(case.given)
    except Invalid as error:
        yield f"given: {error}"
        return
    facts = _facts(case.given, incident, target, vocabulary)
    try:
        plan = _plan(document, case.given, facts, vocabulary)
    except NotApplicable as error:
        yield from _refused(case.expect, str(error))
        return
    except Invalid as error:
        yield from _out_of_bounds(document, case, facts, vocabulary, str(error))
        return
    if not case.expect.applicable:
        yield f"expected it not to apply, got a plan for {', '.join(plan['targets'])}"
        return
    yield from _differences(document, case.expect, plan)
    yield from _decided(case.expect, _decide(case.given, plan, incident))


def _out_of_bounds(document: PlaybookDocument, case: Case, facts: Facts, vocabulary: Vocabulary, problem: str) -> Iterator[str]:
    """What is out of its bounds has no plan, and policy denies it."""
    if case.expect.decision is not Verdict.DENY:
        yield f"expected {'it to apply' if case.expect.applicable else 'it not to apply'}, got it denied: {problem}"
        return
    asked = refused(document, facts, vocabulary)
    yield from _decided(case.expect, _decide(case.given, asked, facts.incident, (problem,)))


def _incident(given: Given) -> tuple[dict[str, Any], str]:
    """The incident that opens, and its target. Raises Invalid if the alert leads nowhere, or there is no such target."""
    service, at = given.service, given.at
    targets = [name for name, _ in service.places()]
    if given.incident:
        target = given.target or targets[0]
        if target not in targets:
            raise Invalid(f"{service.name} has no target {target!r}; it has {', '.join(targets[:5])}", field="target")
        return {"id": "test", **given.incident.model_dump(mode="json")}, target
    assert given.alert is not None
    alert = alerts.read_plain(json.dumps(given.alert.model_dump(mode="json")).encode(), at).alerts[0]
    facts = mapping.facts_of({service.name: service.targets.hosts if service.targets else ()})
    rules = [mapping.Rule(**entry.model_dump(mode="json")) for entry in given.map]
    found = mapping.place(alert.labels, rules, facts)
    if isinstance(found, mapping.Unmatched):
        raise Invalid(f"{found.reason}; this entry of `map` would match: {found.suggestion}", field="alert")
    said = {"diagnosis": found.diagnosis, "confidence": found.confidence, "severity": str(alert.severity)}
    return {"id": "test", "title": alert.title, "labels": alert.labels, **said}, found.target


def _plan(document: PlaybookDocument, given: Given, facts: Facts, vocabulary: Vocabulary) -> dict[str, Any]:
    diagnosis = facts.incident["diagnosis"]
    if given.trigger is not Trigger.OPERATOR and diagnosis not in document.diagnoses:
        raise NotApplicable(f"it is for {', '.join(document.diagnoses)}, not for {diagnosis}")
    return resolve(document, facts, vocabulary)


def _facts(given: Given, incident: Mapping[str, Any], target: str, vocabulary: Vocabulary) -> Facts:
    known = {
        "commands": vocabulary.commands or {},
        "queries": vocabulary.queries or {},
        "command_allow": tuple(given.command_allow),
        "base_url": BASE_URL,
    }
    places = places_of(given.service, **known)
    here = next(place for place in places if place.target == target)
    return Facts(incident, here, given.parameters, places=places, gathered=given.gathered)


def _decide(
    given: Given, plan: Mapping[str, Any], incident: Mapping[str, Any], problems: tuple[str, ...] = ()
) -> policy.Decision:
    at, record = given.at, given.record
    standing = trust.Standing(record.held, at - GRANT if record.lost else None, at + GRANT if record.granted else None)
    autonomous, why = trust.autonomy(standing, Impact(plan["impact"]), at)
    closed = given.window == "closed"
    facts = policy.Facts(
        global_mode=given.mode,
        service_mode=given.service.mode if "mode" in given.service.model_fields_set else Mode.AUTO,
        kill_switch=given.kill_switch,
        level=given.level,
        blast_radius=given.blast_radius,
        in_window=not closed,
        window=f"{given.window} in this test",
        autonomous=autonomous,
        autonomy=why,
        storm="there is one in this test" if given.storm else "",
        opens_at=at + OPENS_AFTER if closed else None,
    )
    proposal = proposal_of(
        plan, confidence=incident["confidence"], trigger=given.trigger, own_alert=given.firing, problems=problems
    )
    return policy.decide(proposal, facts, at)


def _refused(expect: Expect, reason: str) -> Iterator[str]:
    if expect.applicable:
        yield f"expected it to apply, got: {reason}"
    elif expect.reason not in reason:
        yield f"expected a reason with {expect.reason!r}, got: {reason}"


def _differences(document: PlaybookDocument, expect: Expect, plan: Mapping[str, Any]) -> Iterator[str]:
    yield from _differs("targets", expect.targets, plan["targets"])
    yield from _differs("impact", expect.impact, plan["impact"])
    for name, value in expect.parameters.items():
        yield from _differs(f"parameters.{name}", _typed(document, name, value), plan["parameters"].get(name))
    yield from _parts("steps", expect.steps, plan["steps"], plan["targets"], "id")
    yield from _parts("verify", expect.verify, plan["verify"], plan["targets"], "check")


def _typed(document: PlaybookDocument, name: str, value: Any) -> Any:
    """As the parameter has it, so that a duration may be written like one; as it stands if it is none of its values."""
    try:
        return document.parameters[name].accept(value, name)
    except (KeyError, Invalid):
        return value


def _parts(
    what: str, expected: Sequence[Expected] | None, planned: Sequence[Mapping[str, Any]], targets: Sequence[str], key: str
) -> Iterator[str]:
    """The steps (or checks) of one target: each by its name, and the arguments that are named."""
    if expected is None:
        return
    of = {target: [part for part in planned if part["target"] == target] for target in targets}
    names = [part[key] for part in of[targets[0]]]
    if names != [each.id for each in expected]:
        yield f"expected {what} {_shown([each.id for each in expected])}, got {_shown(names)}"
        return
    for position, each in enumerate(expected):
        target = each.target or targets[0]
        if target not in of:
            yield f"expected {what}.{each.id} on {target}, got {', '.join(targets)}"
            continue
        got = of[target][position]["with"]
        for name, value in each.arguments.items():
            yield from _differs(f"{what}.{each.id}.with.{name}", value, got.get(name))


def _decided(expect: Expect, decision: policy.Decision) -> Iterator[str]:
    if expect.decision and decision.verdict is not expect.decision:
        yield f"expected decision {expect.decision}, got {decision.verdict}: {decision.why}"
    if expect.reason not in decision.why:
        yield f"expected a reason with {expect.reason!r}, got: {decision.why}"
    said = {ruling.rule: ruling for ruling in decision.rulings}
    for rule, verdict in expect.rules.items():
        if said[rule].verdict is not verdict:
            yield f"expected rule {rule} {verdict}, got {said[rule].verdict}: {said[rule].reason}"


def _differs(what: str, expected: Any, got: Any) -> Iterator[str]:
    if expected is not None and expected != got:
        yield f"expected {what} {_shown(expected)}, got {_shown(got)}"


def _shown(value: Any) -> str:
    text = "nothing" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 500 else f"{text[:499]}…"
