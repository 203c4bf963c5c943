"""What is wrong with a playbook of the right form: unknown names, dangerous undo, relative addresses, times that do not fit.

Errors keep a playbook from being read; warnings are told and allowed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from selfheal.commands import Command
from selfheal.documents import Document, faults
from selfheal.errors import Invalid
from selfheal.explain import unknown_key
from selfheal.queries import Query

from . import cel
from .model import GATHERS, Gather, PlaybookDocument, Step, Undo
from .references import Path, source_is_known, strings, wrong
from .vocabulary import Vocabulary

_STARTS = ("process.restart", "process.start")
_COMMAND, _QUERY = ("command", "commands.yaml"), ("query", "queries.yaml")
_LISTED = {"command.run": _COMMAND, "command": _COMMAND, "metrics_threshold": _QUERY, "metrics_trend": _QUERY}


def errors(document: Document, playbook: PlaybookDocument, vocabulary: Vocabulary) -> list[Invalid]:
    found: list[Invalid] = []
    for path, kind, name, arguments in _uses(playbook):
        found += _use(document, playbook, vocabulary, path, kind, name, arguments)
    found += [*_steps(document, playbook, vocabulary), *_gathers(document, playbook, vocabulary)]
    found += [*_parameters(document, playbook), *_whole(document, playbook)]
    return sorted(found, key=lambda fault: (fault.line, fault.column))


def warnings(document: Document, playbook: PlaybookDocument) -> list[Invalid]:
    found = []
    if not playbook.verify:
        found.append(document.fault("there is no `verify`: without one, policy never starts it by itself", ("steps",), key=True))
    needed = longest(playbook)
    if playbook.timeout is not None and needed > playbook.timeout:
        each = " of one target" if playbook.targets == "service" else ""
        said = f"steps and verification{each} may take {needed / 1000:g} s"
        found.append(document.fault(f"{said}, longer than its timeout of {playbook.timeout / 1000:g} s", ("timeout",)))
    return found


def longest(playbook: PlaybookDocument) -> int:
    """The longest that steps (with retries) and verification of one target may take, in milliseconds."""
    steps = sum((s.bound + s.retries.delay) * (1 + s.retries.max) - s.retries.delay for s in playbook.steps)
    return steps + sum(check.within for check in playbook.verify)


def _uses(playbook: PlaybookDocument) -> Iterator[tuple[Path, str, str, dict[str, Any]]]:
    """Each use of an action or check: where its arguments stand, which kind, its name, its arguments."""
    for name, gather in playbook.gather.items():
        yield from _doer(("gather", name), gather)
    for position, step in enumerate(playbook.steps):
        yield from _doer(("steps", position), step)
        if isinstance(step.rollback, Undo):
            yield ("steps", position, "rollback", "with"), "action", step.rollback.action, step.rollback.arguments
    for part, checks in (("symptom", playbook.symptom), ("verify", playbook.verify)):
        for position, check in enumerate(checks):
            yield (part, position), "check", check.check, check.arguments


def _doer(path: Path, step: Gather) -> Iterator[tuple[Path, str, str, dict[str, Any]]]:
    if step.action:
        yield (*path, "with"), "action", step.action, step.given
    elif step.check:
        yield path, "check", step.check, step.arguments


def _use(
    document: Document,
    playbook: PlaybookDocument,
    vocabulary: Vocabulary,
    path: Path,
    kind: str,
    name: str,
    arguments: dict[str, Any],
) -> Iterator[Invalid]:
    spec = vocabulary.spec(kind, name)
    named = (*path, kind) if kind == "check" else (*path[:-1], kind)
    if spec is None:
        yield document.fault(f"unknown {kind} {name!r}; known are {', '.join(vocabulary.known(kind))}", named)
        return
    if playbook.targets == "none" and name.startswith("process"):
        yield document.fault(f"{name} is about a target, and a playbook with `targets: none` has none", named)
    parameters, gathers = _known_at(playbook, path)
    for at, text in strings(arguments):
        said = wrong(text, at, parameters, gathers, playbook.targets != "none")
        if said:
            yield document.fault(said, (*path, *at))
    relative = list(_address(document, playbook, path, kind, arguments))
    yield from relative or _shape(document, spec.Parameters, path, arguments, ("within", "every") if kind == "check" else ())
    if name in _LISTED:
        yield from _listed(document, vocabulary, path, *_LISTED[name], arguments)


def _known_at(playbook: PlaybookDocument, path: Path) -> tuple[list[str], list[str]]:
    """The parameters and gathered values that have a value there: what is gathered cannot need what is gathered."""
    if path[0] != "gather":
        return list(playbook.parameters), list(playbook.gather)
    return [name for name, each in playbook.parameters.items() if not (each.source or "").startswith("gather.")], []


def _shape(
    document: Document, model: type[BaseModel], path: Path, arguments: dict[str, Any], beside: Sequence[str]
) -> Iterator[Invalid]:
    """What the action itself refuses, as far as it can be known before the references have their values."""
    if str(arguments.get("url", "")).startswith("/"):
        arguments = {**arguments, "url": "${selfheal}"}  # relative and allowed: known when it is resolved
    try:
        model.model_validate(arguments)
    except ValidationError as error:
        yield from faults(document, model, error, path, _unresolved, beside)


def _unresolved(value: Any) -> bool:
    return any("${" in text for _, text in strings(value))


def _address(
    document: Document, playbook: PlaybookDocument, path: Path, kind: str, arguments: Mapping[str, Any]
) -> Iterator[Invalid]:
    url = arguments.get("url")
    if not isinstance(url, str) or url.startswith(("http://", "https://", "${")):
        return
    if kind == "check" and playbook.domain == "platform" and url.startswith("/"):
        return
    reason = "it would ask selfheal itself" if kind == "check" else "it leads nowhere"
    yield document.fault(
        f"url: {url[:100]!r} is relative, {reason}; write ${{target.url}}/… or ${{service.url}}/…", (*path, "url")
    )


def _listed(
    document: Document, vocabulary: Vocabulary, path: Path, what: str, file: str, arguments: Mapping[str, Any]
) -> Iterator[Invalid]:
    """Whether the command or query that is named stands in its file, and takes these arguments."""
    name, given = arguments.get(what), arguments.get("args") or {}
    listed: Mapping[str, Command | Query] | None = vocabulary.commands if what == "command" else vocabulary.queries
    if listed is None or not isinstance(name, str) or "${" in name or not isinstance(given, dict):
        return
    if name not in listed:
        yield document.fault(f"{what} {name!r} is not in {file}", (*path, what))
        return
    known = listed[name].args
    for argument in given:
        if argument not in known:
            yield document.fault(unknown_key(argument, list(known)), (*path, "args", argument), key=True)
    for argument in known:
        if argument not in given:
            yield document.fault(f"argument {argument!r} of {what} {name!r} is missing", (*path, "args"))


def _steps(document: Document, playbook: PlaybookDocument, vocabulary: Vocabulary) -> Iterator[Invalid]:
    seen: set[str] = set()
    for position, step in enumerate(playbook.steps):
        path: Path = ("steps", position)
        if step.id in seen:
            yield document.fault(f"id {step.id!r} stands here twice", (*path, "id"))
        seen.add(step.id)
        if step.rollback:
            yield from _rollback(document, path, step, vocabulary)
        yield from _strangers(document, path, step)


def _rollback(document: Document, path: Path, step: Step, vocabulary: Vocabulary) -> Iterator[Invalid]:
    if isinstance(step.rollback, Undo):
        if step.action in _STARTS and step.rollback.action == "process.stop":
            said = f"a stop does not undo {step.action}: it would leave the service down; write `rollback: none`"
            yield document.fault(said, (*path, "rollback"))
    elif step.action and step.action in vocabulary.actions and not vocabulary.undoes(step.action):
        said = f"{step.action} has no undo of its own; write `rollback: none`, or the action that undoes it"
        yield document.fault(said, (*path, "rollback"))


def _gathers(document: Document, playbook: PlaybookDocument, vocabulary: Vocabulary) -> Iterator[Invalid]:
    for name, gather in playbook.gather.items():
        path: Path = ("gather", name)
        if gather.action and gather.action in vocabulary.actions and not vocabulary.reads_only(gather.action):
            said = f"{gather.action} may change something: what is gathered is only looked at, by a check like `command`"
            yield document.fault(said, (*path, "action"))
        yield from _strangers(document, path, gather)
    together = sum(gather.timeout for gather in playbook.gather.values())
    if together > GATHERS:
        said = f"gathering may take {together / 1000:g} s, the limit is {GATHERS / 1000:g} s together: give each a `timeout`"
        yield document.fault(said, ("gather",), key=True)


def _strangers(document: Document, path: Path, step: Gather | Step) -> Iterator[Invalid]:
    """Keys beside an action that are not a step's: only a check takes its arguments there."""
    if step.action:
        known = [field.alias or name for name, field in type(step).model_fields.items()]
        for key in step.model_extra or {}:
            yield document.fault(unknown_key(key, known), (*path, key), key=True)


def _parameters(document: Document, playbook: PlaybookDocument) -> Iterator[Invalid]:
    for name, parameter in playbook.parameters.items():
        if parameter.source is not None and not source_is_known(parameter.source, playbook.gather):
            known = "incident.labels.NAME, service.labels.NAME, target.name, gather.ID.output"
            yield document.fault(f"from: {parameter.source!r} is no source; write {known}", ("parameters", name, "from"))
        elif (parameter.source or "").startswith("incident.labels.") and not _holds(parameter):
            said = "what an alert says needs bounds: give it a `pattern` or an `enum`"
            yield document.fault(said, ("parameters", name, "from"))


def _holds(parameter: Any) -> bool:
    """Whether the bounds of a parameter hold text that a stranger may have written."""
    return parameter.type != "string" or parameter.pattern is not None or parameter.enum is not None


def _whole(document: Document, playbook: PlaybookDocument) -> Iterator[Invalid]:
    if (playbook.targets == "service") != (playbook.batch is not None):
        yield document.fault("`targets: service` and `batch` go together", ("targets",))
    if playbook.targets == "service" and not (playbook.verify or playbook.symptom):
        said = "a playbook over all targets needs `verify` or `symptom`: how else would it see which of them are healthy?"
        yield document.fault(said, ("targets",))
    if playbook.when:
        try:
            cel.check(playbook.when, playbook.parameters, playbook.gather)
        except Invalid as error:
            yield document.fault(f"when: {error}", ("when",))
