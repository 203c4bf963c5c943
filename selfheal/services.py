"""services.yaml: the services, where each stands, what it needs, and the map from alerts to them.

Rules that this module keeps:
1. Names are unique; every name that `depends_on` or `map` uses is declared; dependencies do not go round in a circle.
2. A process is known by one of the labels `unit`, `program`, or `pidfile` with `start` (a JSON argument list). ${target.name}
   in them is the name of the target, where a service has several.
3. A service without `targets` is its own single target, here. With hosts, each host is a target and `url` a template for theirs.
4. A URL is absolute, http or https, ASCII, without a password in it: what stands here is what actions and checks may reach.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, ValidationInfo, field_validator, model_validator

from selfheal.bounds import MAX_PATTERN, Strict, matches
from selfheal.documents import Document, shaped
from selfheal.errors import Invalid, InvalidDocument
from selfheal.explain import explained
from selfheal.states import Mode

BY_TARGET = "by_target"
KNOWN_BY = ("unit", "program", "pidfile")
_HOST_SLOT = re.compile(r"\$\{target\.(?:host|name)\}")


def check_url(value: str) -> str:
    """An absolute http or https URL, or nothing. Raises ValueError with what is wrong."""
    if not value:
        return value
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError(f"must be an absolute http or https URL, not {value[:100]!r}")
    if "@" in parts.netloc:
        raise ValueError("must not hold a name or a password: actions and checks take `auth`")
    if not value.isascii() or any(ord(c) <= 32 or ord(c) == 127 for c in value):
        raise ValueError("must be ASCII without spaces: percent-encode the path, write the host as xn--…")
    return value


def _template(value: str) -> str:
    check_url(for_host(value, "host"))
    if "${" in _HOST_SLOT.sub("", value):
        raise ValueError("only ${target.host} may stand in the URL of targets")
    return value


def _alert_pattern(value: str) -> str:
    try:
        matches(value, "")
        re.compile(value)
    except (Invalid, re.error) as error:
        raise ValueError(f"{value[:100]!r} is no pattern: {error}") from None
    return value


def _json_if_list(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value


def _no_control(value: str) -> str:
    if any(ord(c) < 32 or ord(c) == 127 for c in value):
        raise ValueError("must not hold control characters")
    return value


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")]
Host = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9_.:-]{0,251}[A-Za-z0-9])?$")]
Diagnosis = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,59}$")]
Domain = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,29}$")]
Url = Annotated[str, Field(max_length=500), AfterValidator(check_url)]
Label = Annotated[str, BeforeValidator(_json_if_list), Field(max_length=4096), AfterValidator(_no_control)]
LabelName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_./-]{0,99}$")]
AlertPattern = Annotated[str, Field(max_length=MAX_PATTERN), AfterValidator(_alert_pattern)]
FromAlert = Annotated[str, Field(pattern=r"^(labels\.[A-Za-z_][A-Za-z0-9_]{0,99}|[A-Za-z0-9][A-Za-z0-9_.:-]{0,99})$")]


class Targets(Strict):
    """The hosts that a service stands on, and how they are reached."""

    hosts: list[Host] = Field(min_length=1, max_length=1000)
    url: Annotated[str, Field(max_length=500), AfterValidator(_template)] = ""
    via: Literal["local", "ssh"] = "local"
    user: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_-]{0,31}$|^$")] = ""
    port: Annotated[int, Field(ge=1, le=65535)] | None = None  # of sshd

    @model_validator(mode="after")
    def _once(self) -> Targets:
        twice = {host for host in self.hosts if self.hosts.count(host) > 1} if len(set(self.hosts)) < len(self.hosts) else ()
        if twice:
            raise ValueError(f"host {sorted(twice)[0]!r} stands here twice")
        return self

    @model_validator(mode="after")
    def _port_of_ssh(self) -> Targets:
        if self.port and self.via != "ssh":
            raise ValueError("port is that of sshd: it goes with `via: ssh`")
        return self


class ServiceSpec(Strict):
    """One service, as services.yaml and the API say it."""

    name: Name
    url: Url = ""
    mode: Annotated[Mode, Field(strict=False)] = Mode.OBSERVE
    tier: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,29}$")] = "standard"
    domain: Domain = "host"
    owner: Annotated[str, Field(max_length=100), AfterValidator(_no_control)] = ""
    labels: dict[LabelName, Label] = {}
    depends_on: list[Name] = Field(default=[], max_length=500)
    targets: Annotated[Targets | None, BeforeValidator(lambda value: value or None)] = None
    min_instances: Annotated[int, Field(ge=0, le=100_000)] = 1
    pool: Annotated[str, Field(pattern=r"^([a-z0-9][a-z0-9-]{0,29})?$")] = ""  # the workers that run its playbooks

    @field_validator("labels")
    @classmethod
    def _one_process(cls, labels: dict[str, str]) -> dict[str, str]:
        known_by = [label for label in KNOWN_BY if label in labels]
        if len(known_by) > 1:
            raise ValueError(f"{' and '.join(known_by)} both say what its process is: keep one")
        if ("pidfile" in labels) != ("start" in labels):
            raise ValueError("pidfile and start go together: the file with the process id, and what starts the process")
        if "pidfile" in labels and not labels["pidfile"].startswith("/"):
            raise ValueError("pidfile must be an absolute path")
        start_command(labels)
        return labels

    @field_validator("depends_on")
    @classmethod
    def _on_others(cls, depends_on: list[str], info: ValidationInfo) -> list[str]:
        if info.data.get("name") in depends_on:
            raise ValueError(f"{info.data['name']} depends on itself")
        return depends_on

    def plain(self) -> dict[str, Any]:
        """The contract's shape: {name, url, mode, tier, domain, owner, labels, depends_on, targets, min_instances}."""
        value = self.model_dump(mode="json")
        targets = self.targets.model_dump(mode="json", exclude_none=True) if self.targets else {}
        return {**value, "depends_on": sorted(set(self.depends_on)), "targets": targets}

    def places(self) -> list[tuple[str, str]]:
        """Each target's name and URL."""
        if self.targets is None:
            return [(self.name, self.url)]
        alone = self.url if len(self.targets.hosts) == 1 else ""
        return [(host, for_host(self.targets.url, host) or alone) for host in self.targets.hosts]


class MapEntry(Strict):
    """The first entry whose patterns all match an alert's labels says its service, target and diagnosis."""

    match: dict[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")], AlertPattern] = Field(min_length=1)
    service: FromAlert
    target: FromAlert | Literal[""] = ""
    diagnosis: Diagnosis | Literal[""] = ""


class ServicesFile(Strict):
    """The whole of services.yaml."""

    map: list[MapEntry] = Field(default=[], max_length=2000)
    services: list[ServiceSpec] = Field(default=[], max_length=10_000)


def parse(document: Document) -> ServicesFile:
    """The file, if it holds together. Raises InvalidDocument with every fault."""
    if document.value is None:
        return ServicesFile()
    read = shaped(document, ServicesFile)
    faults = [*_unique(document, read.services), *_declared(document, read)]
    circle = find_circle({service.name: service.depends_on for service in read.services})
    if circle and not faults:
        position = next(n for n, service in enumerate(read.services) if service.name == circle[0])
        faults.append(document.fault(circle_message(circle), ("services", position, "depends_on")))
    if faults:
        raise InvalidDocument(faults)
    return read


def parse_service(value: Any) -> ServiceSpec:
    """One service from a program. Raises Invalid with the path of the first wrong field."""
    try:
        return ServiceSpec.model_validate(value)
    except ValidationError as error:
        path, message, at_key = next(explained(ServiceSpec, error))
        first = error.errors(include_url=False)[0]
        if first["type"] == "missing":
            path, message, at_key = (*path, first["loc"][-1]), "is missing", True
        field = ".".join(map(str, path))
        raise Invalid(message if at_key or not path else message.removeprefix(f"{path[-1]}: "), field=field) from None


def for_host(template: str, host: str) -> str:
    """The URL of one target. An IPv6 address gets its brackets."""
    return _HOST_SLOT.sub(f"[{host}]" if ":" in host else host, template)


def process_labels(labels: Mapping[str, str], target: str) -> dict[str, str]:
    """The labels of one target: ${target.name} in those that say which process it is has its value."""
    known_by = (*KNOWN_BY, "start")
    return {name: _HOST_SLOT.sub(target, text) if name in known_by else text for name, text in labels.items()}


def start_command(labels: Mapping[str, str]) -> list[str]:
    """The argument list in the label `start`, or none. Raises ValueError."""
    if "start" not in labels:
        return []
    try:
        argv = json.loads(labels["start"])
    except (ValueError, RecursionError):
        argv = None
    if not isinstance(argv, list) or not argv or not all(isinstance(a, str) and "\0" not in a for a in argv):
        raise ValueError('label start must be a JSON argument list, like ["/usr/bin/web", "--port", "8080"]')
    if not argv[0].startswith("/"):
        raise ValueError(f"label start must begin with an absolute path; {argv[0][:100]!r} is not one")
    return list(argv)


def find_circle(needs: Mapping[str, Iterable[str]]) -> list[str]:
    """The names of one circle of dependencies, first and last the same; empty: there is none."""
    done: set[str] = set()
    for start in needs:
        trail: dict[str, None] = {}
        stack: list[tuple[str, bool]] = [(start, True)]
        while stack:
            name, entering = stack.pop()
            if not entering:
                done.add(trail.popitem()[0])
            elif name in trail:
                names = list(trail)
                return [*names[names.index(name) :], name]
            elif name not in done:
                trail[name] = None
                stack.append((name, False))
                stack += [(other, True) for other in needs.get(name, ())]
    return []


def circle_message(circle: Sequence[str]) -> str:
    return f"dependencies go round in a circle: {' → '.join(circle)}"


def _unique(document: Document, services: Sequence[ServiceSpec]) -> list[Invalid]:
    seen: set[str] = set()
    faults = []
    for position, service in enumerate(services):
        if service.name in seen:
            faults.append(document.fault(f"service {service.name!r} stands here twice", ("services", position, "name")))
        seen.add(service.name)
    return faults


def _declared(document: Document, read: ServicesFile) -> list[Invalid]:
    names = {service.name for service in read.services}
    faults = []
    for position, service in enumerate(read.services):
        for n, needed in enumerate(service.depends_on):
            if needed not in names:
                path = ("services", position, "depends_on", n)
                faults.append(document.fault(f"service {needed!r} is not declared in this file", path))
    for position, entry in enumerate(read.map):
        if entry.service not in names | {BY_TARGET} and not entry.service.startswith("labels."):
            faults.append(document.fault(f"service {entry.service!r} is not declared in this file", ("map", position, "service")))
    return faults
