"""Where an alert belongs: (labels, rules, facts) → service, target and diagnosis, or why not.

Rules that this module keeps:
1. The first rule of `map:` that matches decides, alone: if it leads nowhere, the alert is unmatched.
2. A pattern matches the whole value; a label that is not there is the empty string.
3. Without a rule the label `service` names the service, and `instance` its target if it is one of the service's.
4. Nothing is guessed: no service, two services, a host that is not listed → `Unmatched`, with the reason and the mapping line
   that would match, ready to paste.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from selfheal.diagnosis import diagnose, is_name

BY_TARGET = "by_target"
_LABEL = "labels."


@dataclass(frozen=True)
class Rule:
    """One entry of `map:`. `service` is a name, `labels.NAME` or `by_target`; `target` is a name or `labels.NAME`."""

    match: Mapping[str, str]
    service: str
    target: str = ""
    diagnosis: str = ""


@dataclass(frozen=True)
class Facts:
    """`hosts`: each known service with its hosts, none if it is its own target. `on_host`: the services that list a host."""

    hosts: Mapping[str, frozenset[str]]
    on_host: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Matched:
    service: str
    target: str
    diagnosis: str
    confidence: float


@dataclass(frozen=True)
class Unmatched:
    reason: str
    suggestion: str


class _NoPlace(Exception):
    """Carries the reason, and how the suggested line names service and target."""

    def __init__(self, reason: str, service: str = "", target: str = "labels.instance") -> None:
        super().__init__(reason)
        self.reason, self.service, self.target = reason, service, target


def facts_of(hosts: Mapping[str, Iterable[str]]) -> Facts:
    """From each service and its hosts, none if it is its own target."""
    on_host: dict[str, tuple[str, ...]] = {}
    for service in sorted(hosts):
        for host in hosts[service]:
            on_host[host] = (*on_host.get(host, ()), service)
    return Facts({service: frozenset(names) for service, names in hosts.items()}, on_host)


def questions(alerts: Iterable[Mapping[str, str]], rules: Sequence[Rule]) -> tuple[set[str], set[str]]:
    """The names of services and of hosts that `place` may ask `Facts` about, for alerts with these labels."""
    services = {rule.service for rule in rules if rule.service != BY_TARGET and not rule.service.startswith(_LABEL)}
    named = {"service"} | {rule.service.removeprefix(_LABEL) for rule in rules if rule.service.startswith(_LABEL)}
    targets = {"labels.instance"} | {rule.target for rule in rules if rule.target}
    hosts: set[str] = set()
    for labels in alerts:
        services |= {labels[name] for name in named if name in labels}
        hosts.update(*(_names(target, labels) for target in targets))
    return services, hosts


def place(labels: Mapping[str, str], rules: Sequence[Rule], facts: Facts) -> Matched | Unmatched:
    """Where an alert with these labels belongs."""
    rule = next((rule for rule in rules if matches(rule, labels)), Rule({}, "labels.service"))
    try:
        if not (rule.diagnosis or is_name(labels.get("diagnosis", "x"))):
            raise _NoPlace("label diagnosis is no name: use at most 60 letters, digits, _ . -, a letter first")
        service = _service(rule, labels, facts)
        target = _target(rule, service, labels, facts)
    except _NoPlace as no:
        return Unmatched(no.reason, _suggestion(no, labels, facts))
    found = diagnose(_named(labels), rule.diagnosis)
    return Matched(service, target, found.name, found.confidence)


def matches(rule: Rule, labels: Mapping[str, str]) -> bool:
    """Whether the rule is for an alert with these labels, wherever it leads."""
    return all(_pattern(pattern).fullmatch(labels.get(name, "")) for name, pattern in rule.match.items())


def line_of(rule: Rule) -> str:
    """The rule as a line for `map:` in services.yaml."""
    pairs = ", ".join(f"{name}: {_quoted(pattern)}" for name, pattern in rule.match.items())
    rest = "".join(f", {name}: {_scalar(value)}" for name in ("target", "diagnosis") if (value := getattr(rule, name)))
    return f"- {{match: {{{pairs}}}, service: {_scalar(rule.service)}{rest}}}"


def strip_port(instance: str) -> str:
    """`web-01:9100` → `web-01`, `[::1]:9100` → `::1`; anything else as it is."""
    bracketed = re.fullmatch(r"\[([^\]]*)\](?::\d+)?", instance)
    if bracketed:
        return bracketed[1]
    host, colon, port = instance.partition(":")
    return host if colon and port.isdigit() else instance


@functools.lru_cache(4096)
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.DOTALL)


def _names(target: str, labels: Mapping[str, str]) -> tuple[str, ...]:
    """What the target may be called: as it stands, and without a port."""
    text = labels.get(target.removeprefix(_LABEL), "") if target.startswith(_LABEL) else target
    return (text, strip_port(text)) if text else ()


def _service(rule: Rule, labels: Mapping[str, str], facts: Facts) -> str:
    if rule.service == BY_TARGET:
        return _owner(rule.target or "labels.instance", labels, facts)
    named = labels.get(rule.service.removeprefix(_LABEL), "") if rule.service.startswith(_LABEL) else rule.service
    if not named:
        raise _NoPlace(f"no map entry matches, and there is no label {rule.service.removeprefix(_LABEL)}")
    if named not in facts.hosts:
        raise _NoPlace(f"service {_short(named)} is not declared", named)
    return named


def _owner(target: str, labels: Mapping[str, str], facts: Facts) -> str:
    names = _names(target, labels)
    if not names:
        raise _NoPlace(f"by_target needs {_LABEL}{target.removeprefix(_LABEL)}, and the alert has none")
    owners = next((facts.on_host[name] for name in names if facts.on_host.get(name)), ())
    if not owners:
        raise _NoPlace(f"no service lists host {_short(names[-1])}")
    if len(owners) > 1:
        raise _NoPlace(f"host {_short(names[-1])} is listed by {len(owners)} services: {', '.join(owners[:5])}", owners[0])
    return owners[0]


def _target(rule: Rule, service: str, labels: Mapping[str, str], facts: Facts) -> str:
    hosts = facts.hosts[service]
    if not hosts:
        return service
    names = _names(rule.target or "labels.instance", labels)
    found = next((name for name in names if name in hosts), "")
    if found:
        return found
    if not names and len(hosts) == 1:
        return next(iter(hosts))
    said = f"host {_short(names[-1])} is none of its" if names else "the alert names no instance, and it has"
    one_of = " or ".join(sorted(hosts)[:3]) + (" or …" if len(hosts) > 3 else "")
    raise _NoPlace(
        f"service {service} is known, but {said} {len(hosts)} hosts", service, f"<{one_of}>" if len(hosts) > 1 else one_of
    )


def _suggestion(no: _NoPlace, labels: Mapping[str, str], facts: Facts) -> str:
    """A line for `map:` in services.yaml. A name in angle brackets is for a person to choose."""
    owners = next((facts.on_host[name] for name in _names("labels.instance", labels) if facts.on_host.get(name)), ())
    service, target = no.service or labels.get("service") or labels.get("job") or "<name of the service>", no.target
    if len(owners) == 1:
        service, target = BY_TARGET, "labels.instance"
    match = {name: labels[name] for name in ("alertname", "service", "job", "instance") if labels.get(name)}
    if "alertname" in match and len(match) > 1:
        match.pop("instance", None)
    match = {name: _escaped(value) for name, value in (match or dict(sorted(labels.items())[:3])).items()}
    return line_of(Rule(match, service, target, diagnose(_named(labels)).name))


def _named(labels: Mapping[str, str]) -> Mapping[str, str]:
    """The labels, without a label `diagnosis` that is no name."""
    return labels if is_name(labels.get("diagnosis", "x")) else {k: v for k, v in labels.items() if k != "diagnosis"}


def _escaped(value: str) -> str:
    """`value` as a pattern that matches it alone."""
    return re.sub(r"[\\.^$*+?{}\[\]|()]", r"\\\g<0>", value)


def _scalar(text: str) -> str:
    """A YAML scalar, bare where it is plainly a string."""
    plain = re.fullmatch(r"[a-z][a-z0-9_.-]*", text) and text not in ("true", "false", "null", "yes", "no", "on", "off", "y", "n")
    return text if plain else _quoted(text)


def _quoted(text: str) -> str:
    """A YAML double-quoted scalar in one line."""
    plain = json.dumps(text, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in plain)


def _short(text: str) -> str:
    """`text` for a reason: quoted, control characters escaped, at most 80 characters."""
    return repr(text) if len(text) <= 80 else repr(text[:80]) + "…"
