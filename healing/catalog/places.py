"""Where a step acts, and what actions may reach: read from what is declared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from django.conf import settings

from healing.models import Service, Target
from selfheal.commands import Command
from selfheal.documents import read
from selfheal.errors import Invalid
from selfheal.places import Place, place_at
from selfheal.queries import Query
from selfheal.signals import SignalsFile

from .reading import commands_in, queries_in, shown, signals_in, text_of

_read: dict[str, tuple[tuple[str, int, int], Any]] = {}


def place_of(service: Service, target_name: str) -> Place:
    """The target with what is declared of it. Raises Invalid if the service has no such target."""
    target = Target.objects.filter(service=service, name=target_name).first()
    if target is None:
        raise Invalid(f"{service.name} has no target {target_name!r}", field="target")
    return _place(service, target, commands(), queries())


def places_of(service: Service) -> list[Place]:
    """Every target of the service, in the order in which its hosts are declared."""
    declared = {host: position for position, host in enumerate(service.targets_spec.get("hosts", ()))}
    targets = sorted(Target.objects.filter(service=service), key=lambda each: declared.get(each.name, len(declared)))
    known = commands(), queries()
    return [_place(service, target, *known) for target in targets]


def places_in(domain: str) -> list[tuple[Service, Place]]:
    """Every target of the active services of a domain. Two queries, whatever their number."""
    known = commands(), queries()
    services = Service.objects.filter(active=True, domain=domain).prefetch_related("targets")
    return [(service, _place(service, target, *known)) for service in services for target in service.targets.all()]


def places_by_ssh() -> list[Place]:
    """One place for each host that is reached by ssh, user and port."""
    services = Service.objects.filter(active=True, targets_spec__via="ssh").order_by("name")
    places = [place for service in services for place in places_of(service)]
    return list({(place.target, place.user, place.port): place for place in places}.values())


def _place(service: Service, target: Target, known: Mapping[str, Command], asked: Mapping[str, Query]) -> Place:
    declared = {
        "name": service.name,
        "url": service.url,
        "labels": service.labels,
        "targets": service.targets_spec,
        "min_instances": service.min_instances,
    }
    return place_at(
        declared,
        target.name,
        target.url,
        commands=known,
        queries=asked,
        command_allow=tuple(settings.SELF_HEAL_COMMAND_ALLOW),
        base_url=settings.SELF_HEAL_BASE_URL,
    )


def commands() -> Mapping[str, Command]:
    """commands.yaml, read again when the file changed. Raises InvalidDocument."""
    found: dict[str, Command] = _fresh("commands.yaml", commands_in)
    return found


def queries() -> Mapping[str, Query]:
    """queries.yaml, in the same way."""
    found: dict[str, Query] = _fresh("queries.yaml", queries_in)
    return found


def signals() -> SignalsFile:
    """signals.yaml, in the same way. Whether its queries are declared is asked again when they are filled."""
    return _fresh("signals.yaml", lambda path: signals_in(path, queries())) or SignalsFile()


def map_file() -> str:
    """The services.yaml that declares the map; empty: none does, and rules are made on pages."""
    path = Path(settings.SELF_HEAL_CONFIG_DIR) / "services.yaml"
    return shown(path) if _fresh("services.yaml", _has_map) else ""


def _has_map(path: Path) -> bool:
    """A file that cannot be read may have one."""
    try:
        value = read(text_of(path), shown(path)).value
    except Invalid:
        return True
    return value is not None and "map" in value


def _fresh(name: str, reader: Callable[[Path], Any]) -> Any:
    """What `reader` finds in a file of the config directory; nothing where there is no such file."""
    path = Path(settings.SELF_HEAL_CONFIG_DIR) / name
    try:
        status = path.stat()
    except FileNotFoundError:
        return {}
    key = (str(path), status.st_mtime_ns, status.st_size)
    known, found = _read.get(name, (None, {}))
    if known != key:
        found = reader(path)
        _read[name] = key, found
    return found


def allowed_origins() -> list[str]:
    """The declared addresses of active services and their targets: what HTTP actions and checks may reach."""
    of_services = Service.objects.filter(active=True).exclude(url="").values_list("url", flat=True)
    of_targets = Target.objects.filter(service__active=True).exclude(url="").values_list("url", flat=True)
    return sorted({*of_services, *of_targets})
