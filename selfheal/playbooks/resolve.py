"""From a playbook, an incident and a place to the plan: every value in its place, nothing left to look up.

Rules that this module keeps:
1. The same input gives the same plan, byte for byte. Times are whole milliseconds.
2. What the plan does is in the plan: actions and checks freeze what they will do, secrets stand in it by name only.
3. A playbook that does not fit is NotApplicable with its reason; a parameter out of bounds is Invalid and named.
4. What is gathered is read by the caller, between `to_gather` and `resolve`: nothing is looked up here.
5. Over all targets of a service the steps stand target by target. No targets is an error, never all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from selfheal import canonical
from selfheal.errors import Invalid, NotApplicable
from selfheal.places import Place

from . import cel
from .model import Batch, Check, Gather, Parameter, PlaybookDocument, Step, Undo
from .references import filled, lookup
from .vocabulary import CheckSpec, Vocabulary, impact_of

DEFAULT_TIMEOUT = 600_000
OUTPUT = 1_024  # characters of a gathered output that are kept
GATHERED = 8_192  # bytes that a gathered value may have in its canonical form
MOST_STEPS = 5_000
EVERY = 2_000  # milliseconds between looks, where a check as a step says nothing
FLEETING = ("milliseconds",)  # facts that differ each time somebody looks


@dataclass(frozen=True)
class Facts:
    """`incident`: {id, diagnosis, severity, title, labels, confidence}; `parameters`: what a person gave.

    `places`: every target of the service, for a playbook over all of them. `gathered`: the value of each thing that the playbook
    gathers, by its id.
    """

    incident: Mapping[str, Any]
    place: Place
    parameters: Mapping[str, Any] = field(default_factory=dict)
    version: int = 0
    run_timeout_ms: int = DEFAULT_TIMEOUT  # where the playbook says none
    places: Sequence[Place] = ()
    gathered: Mapping[str, Any] = field(default_factory=dict)


def to_gather(document: PlaybookDocument, facts: Facts, vocabulary: Vocabulary) -> list[dict[str, Any]]:
    """What is to be read before the decision: [{id, action | check, target, with, timeout_ms}]. Raises as `resolve` does.

    A condition that needs nothing of it is looked at here already: what does not apply is not read.
    """
    if not document.gather:
        return []
    place = _at(document, facts.place)
    known = {name: bound for name, bound in document.parameters.items() if not (bound.source or "").startswith("gather.")}
    scope = _scope(facts, place, known)
    if "gather" not in document.when and len(known) == len(document.parameters):
        cel.require(document.when, scope)
    freezer = _Freezer(vocabulary, place, scope, document.domain)
    return [freezer.gather(name, gather) for name, gather in document.gather.items()]


def gathered(ok: bool, output: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of something gathered: {ok, output, …data}, without what differs each time. Raises NotApplicable: too much."""
    facts = {name: value for name, value in data.items() if name not in FLEETING}
    value = {**facts, "ok": ok, "output": output[:OUTPUT].strip()}
    try:
        size = len(canonical.dumps(value))
    except Invalid as error:
        raise NotApplicable(f"what it tells cannot stand in a plan: {error}") from None
    if size > GATHERED:
        raise NotApplicable(f"it tells {size:,} bytes, the limit is {GATHERED:,}")
    return value


def resolve(document: PlaybookDocument, facts: Facts, vocabulary: Vocabulary) -> dict[str, Any]:
    """The plan. Raises NotApplicable, or Invalid with the path of what is out of bounds ("parameters.unit")."""
    for name in facts.parameters:
        if name not in document.parameters:
            known = ", ".join(document.parameters) or "it takes none"
            raise Invalid(f"is no parameter of {document.playbook}; known: {known}", field=f"parameters.{name}")
    for name in document.gather:
        if name not in facts.gathered:
            raise NotApplicable(f"gather {name}: was not read")
    places = _places(document, facts)
    own = _at(document, facts.place)
    scope = _scope(facts, own, document.parameters)
    cel.require(document.when, scope)
    freezers = [
        _Freezer(vocabulary, each, scope if each == own else _scope(facts, each, document.parameters), document.domain)
        for each in places
    ]
    plan = {
        "playbook": document.playbook,
        "version": facts.version,
        "playbook_digest": document.digest,
        "title": document.title,
        "domain": document.domain,
        "impact": str(impact_of(document, vocabulary)),
        "reversible": document.reversible,
        "service": facts.place.service,
        "target": facts.place.target,
        "targets": [each.target for each in places],
        "batch": _batch(document.batch, len(places)),
        "diagnosis": str(facts.incident.get("diagnosis", "")),
        "parameters": scope["params"],
        "gather": to_gather(document, facts, vocabulary),
        "gathered": {name: facts.gathered[name] for name in document.gather},
        "timeout_ms": document.timeout or facts.run_timeout_ms,
        "outside_window": document.outside_window,
        "symptom": [freezer.check(check, f"symptom.{n}") for freezer in freezers for n, check in enumerate(document.symptom)],
        "steps": [freezer.step(step) for freezer in freezers for step in document.steps],
        "verify": [freezer.check(check, f"verify.{n}") for freezer in freezers for n, check in enumerate(document.verify)],
    }
    canonical.dumps(plan)
    return plan


def refused(document: PlaybookDocument, facts: Facts, vocabulary: Vocabulary) -> dict[str, Any]:
    """What policy is asked about where something is out of its bounds, so that there is no plan."""
    return {
        "playbook": document.playbook,
        "service": facts.place.service,
        "targets": [facts.place.target],
        "diagnosis": str(facts.incident.get("diagnosis", "")),
        "impact": str(impact_of(document, vocabulary)),
        "verify": document.verify,
        "outside_window": document.outside_window,
    }


def _places(document: PlaybookDocument, facts: Facts) -> Sequence[Place]:
    """Where the steps act, in order."""
    if document.targets != "service":
        return [_at(document, facts.place)]
    if not facts.places:
        raise Invalid(f"{facts.place.service} has no target; none never means all", field="targets")
    if len(facts.places) * len(document.steps) > MOST_STEPS:
        said = f"{len(document.steps)} steps on {len(facts.places)} targets are more than {MOST_STEPS:,}"
        raise NotApplicable(f"{said}: let one step do more, or declare the service in parts")
    return facts.places


def _at(document: PlaybookDocument, place: Place) -> Place:
    """The place, and for a playbook without targets the service itself: what it does is done from here."""
    if document.targets != "none":
        return place
    return replace(place, target=place.service, target_url="", via="local", user="")


def _batch(batch: Batch | None, targets: int) -> dict[str, Any] | None:
    """Raises NotApplicable if so many can never stay healthy."""
    if batch is None:
        return None
    left = targets - min(batch.size, targets)
    if left < batch.min_healthy:
        said = f"a batch of {batch.size} leaves {left} of {targets} targets alone, and min_healthy is {batch.min_healthy}"
        raise NotApplicable(f"batch: {said}: no step could ever start")
    return {
        "size": batch.size,
        "min_healthy": batch.min_healthy,
        "max_failures": batch.max_failures,
        "settle_ms": batch.settle,
    }


def _scope(facts: Facts, place: Place, parameters: Mapping[str, Parameter]) -> dict[str, Any]:
    """What `when`, `from` and references see at a place."""
    scope: dict[str, Any] = {
        "incident": dict(facts.incident),
        "service": {"name": place.service, "url": place.url, "labels": dict(place.labels)},
        "target": {"name": place.target, "host": place.target, "url": place.target_url},
        "params": {},
        "gather": dict(facts.gathered),
    }
    scope["params"] = {name: _parameter(name, bound, facts, scope) for name, bound in parameters.items()}
    return scope


def _parameter(name: str, bound: Parameter, facts: Facts, scope: Mapping[str, Any]) -> Any:
    """What was given, else what `from` names, else the default."""
    value = facts.parameters.get(name)
    if value is None and bound.source:
        value = lookup(bound.source, scope)
    if value is None:
        value = bound.default
    if value is None:
        where = f"{bound.source} is not set" if bound.source else "it was not given"
        raise NotApplicable(f"parameter {name}: {where}, and there is no default")
    return bound.accept(value, f"parameters.{name}")


@dataclass(frozen=True)
class _Freezer:
    """Fills in references and lets actions and checks freeze what they will do."""

    vocabulary: Vocabulary
    place: Place
    scope: Mapping[str, Any]
    domain: str

    def step(self, step: Step) -> dict[str, Any]:
        path = f"steps.{step.id}"
        plan = {
            "id": step.id,
            "target": self.place.target,
            **self._doer(step, path),
            "timeout_ms": step.bound,
            "retries": {"max": step.retries.max, "delay_ms": step.retries.delay},
            "on_fail": step.on_fail,
            "rollback": self._rollback(step, path),
            "confirm": step.confirm,
        }
        if step.check:
            plan |= {"for_ms": step.steady or 0, "within_ms": step.patience, "every_ms": step.every or EVERY}
        return plan

    def gather(self, name: str, gather: Gather) -> dict[str, Any]:
        plan = {"id": name, "target": self.place.target, **self._doer(gather, f"gather.{name}"), "timeout_ms": gather.timeout}
        if gather.action and not self.vocabulary.reads_only(gather.action):
            raise Invalid(f"{gather.action} may change something, and what is gathered is only looked at", field=f"gather.{name}")
        return plan

    def _doer(self, step: Gather, path: str) -> dict[str, Any]:
        if step.action:
            return {"action": step.action, "with": self._freeze("action", step.action, step.given, f"{path}.with")}
        return {"check": step.check, "with": self._freeze("check", str(step.check), step.arguments, path)}

    def _rollback(self, step: Step, path: str) -> dict[str, Any] | None:
        undo = step.rollback
        if undo is None:
            return None
        if not isinstance(undo, Undo):
            return {"own": True, "action": step.action, "timeout_ms": step.timeout}
        return {
            "action": undo.action,
            "with": self._freeze("action", undo.action, undo.arguments, f"{path}.rollback.with"),
            "timeout_ms": undo.timeout,
        }

    def check(self, check: Check, path: str) -> dict[str, Any]:
        return {
            "check": check.check,
            "target": self.place.target,
            "with": self._freeze("check", check.check, check.arguments, path),
            "within_ms": check.within,
            "every_ms": check.every,
        }

    def _freeze(self, kind: str, name: str, arguments: dict[str, Any], path: str) -> dict[str, Any]:
        spec = self.vocabulary.spec(kind, name)
        if spec is None:
            raise Invalid(f"unknown {kind} {name!r}", field=path)
        return _frozen(spec, self._absolute(filled(arguments, self.scope), kind), self.place, path)

    def _absolute(self, arguments: dict[str, Any], kind: str) -> dict[str, Any]:
        """A relative URL in a check of domain platform is one of selfheal's own."""
        url = arguments.get("url")
        if kind == "check" and self.domain == "platform" and isinstance(url, str) and url.startswith("/"):
            return {**arguments, "url": self.place.base_url + url}
        return arguments


def _frozen(spec: CheckSpec, arguments: dict[str, Any], place: Place, path: str) -> dict[str, Any]:
    try:
        return spec.freeze(arguments, place)
    except Invalid as error:
        raise Invalid(error.message, field=f"{path}.{error.field}" if error.field else path) from error
