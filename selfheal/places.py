"""Where a step acts: one target of one service, with what is declared of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from selfheal.commands import Command
from selfheal.queries import Query
from selfheal.services import ServiceSpec, process_labels


@dataclass(frozen=True)
class Place:
    """A target and what an action may know of it. All of it is declared by people, none of it comes from an alert."""

    service: str
    target: str  # its name; for a service without hosts, the service's own
    url: str = ""  # of the service
    target_url: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    via: str = "local"  # how the target is reached: local | ssh
    user: str = ""
    port: int | None = None  # of its sshd, if it is not 22
    commands: Mapping[str, Command] = field(default_factory=dict)
    queries: Mapping[str, Query] = field(default_factory=dict)
    command_allow: tuple[str, ...] = ()  # executables that command.run {argv} may start
    min_instances: int = 1  # of the service, under which nothing scales it
    base_url: str = ""  # of selfheal itself, for relative URLs in domain platform


def place_at(service: Mapping[str, Any], target: str, url: str, **known: Any) -> Place:
    """A target of a service that is declared as {name, url, labels, targets, min_instances}; `known`: the rest of a Place."""
    reached = service["targets"]
    return Place(
        service=service["name"],
        target=target,
        url=service["url"],
        target_url=url,
        labels=process_labels(service["labels"], target),
        via=reached.get("via", "local"),
        user=reached.get("user", ""),
        port=reached.get("port"),
        min_instances=service["min_instances"],
        **known,
    )


def places_of(service: ServiceSpec, **known: Any) -> list[Place]:
    """Every target of a service, in the order in which they are declared."""
    declared = service.plain()
    return [place_at(declared, name, url, **known) for name, url in service.places()]
