"""Services as rows: one way to write one, whoever declares it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction

from healing import ledger
from healing.models import Control, Service, Target
from selfheal import canonical
from selfheal.errors import Invalid
from selfheal.services import ServiceSpec, circle_message, find_circle, parse_service

LOG_LIMIT = 20_000  # bytes of a document that an entry holds; beyond that its digest


def upsert_service(document: Mapping[str, Any], at: datetime, actor: str) -> tuple[Service, bool]:
    """Create the service, or change what `document` names of it; the service, and whether it is new.

    Keys that are not given keep their value. Raises Invalid with the path of the field.
    """
    with transaction.atomic():
        lock()
        service = _named(document)
        before = service_document(service) if service and service.active else {}
        spec = parse_service({**before, **document} if isinstance(document, Mapping) else document)
        _check_needs(spec)
        service, changed = write(spec, service, before)
        if changed:
            connect(service, spec)
            log_change(service, before, at, actor)
        return service, not before


def remove_service(service: Service, at: datetime, actor: str) -> None:
    """It is not declared any more. What happened to it stays."""
    payload = {"before": told(service_document(service)), "after": None}
    with transaction.atomic():
        Service.objects.filter(pk=service.pk).update(active=False, from_file=False)
        ledger.append(actor=actor, action="service.removed", resource=f"service:{service.name}", payload=payload, at=at)


def service_document(service: Service) -> dict[str, Any]:
    """The contract's shape: {name, url, mode, tier, domain, owner, labels, depends_on, targets, min_instances, pool}."""
    return {
        "name": service.name,
        "url": service.url,
        "mode": str(service.mode),
        "tier": service.tier,
        "domain": service.domain,
        "owner": service.owner,
        "labels": dict(service.labels),
        "depends_on": sorted(other.name for other in service.depends_on.all()),
        "targets": dict(service.targets_spec),
        "min_instances": service.min_instances,
        "pool": service.pool,
    }


def lock() -> None:
    """Whoever changes the catalog holds the one row of control until the transaction ends."""
    Control.objects.get_or_create(pk=1)
    Control.objects.select_for_update().get(pk=1)


def write(
    spec: ServiceSpec, service: Service | None, before: Mapping[str, Any], *, from_file: bool = False
) -> tuple[Service, bool]:
    """The row as `spec` says it, and whether that changed anything. `connect` follows when every row stands."""
    plain = spec.plain()
    if service is not None and before == plain and (service.from_file or not from_file):
        return service, False
    service = service or Service(name=spec.name)
    for name in ("url", "mode", "tier", "domain", "owner", "labels", "min_instances", "pool"):
        setattr(service, name, plain[name])
    service.targets_spec, service.active = plain["targets"], True
    service.from_file = service.from_file or from_file
    service.save()
    _write_targets(service, spec)
    return service, True


def connect(service: Service, spec: ServiceSpec) -> None:
    """Its dependencies, when the services that it names are there."""
    service.depends_on.set(Service.objects.filter(name__in=spec.depends_on, active=True))


def log_change(service: Service, before: Mapping[str, Any], at: datetime, actor: str) -> None:
    service = Service.objects.prefetch_related("depends_on").get(pk=service.pk)
    ledger.append(
        actor=actor,
        action="service.changed" if before else "service.created",
        resource=f"service:{service.name}",
        payload={"before": told(before or None), "after": told(service_document(service))},
        at=at,
    )


def told(value: Any) -> Any:
    """`value` as an entry can hold it: what is too long stands as its digest."""
    text = canonical.dumps(value)
    return value if len(text) <= LOG_LIMIT else {"sha256": canonical.digest(value), "bytes": len(text)}


def _named(document: Any) -> Service | None:
    name = document.get("name") if isinstance(document, Mapping) else None
    if not isinstance(name, str) or "\0" in name:
        return None
    return Service.objects.prefetch_related("depends_on").filter(name=name).first()


def _write_targets(service: Service, spec: ServiceSpec) -> None:
    wanted, standing = dict(spec.places()), {target.name: target for target in service.targets.all()}
    service.targets.exclude(name__in=wanted).delete()
    moved = [target for name, target in standing.items() if name in wanted and target.url != wanted[name]]
    for target in moved:
        target.url = wanted[target.name]
    Target.objects.bulk_update(moved, ["url"])
    Target.objects.bulk_create(Target(service=service, name=n, url=u) for n, u in wanted.items() if n not in standing)


def _check_needs(spec: ServiceSpec) -> None:
    """Every service that it needs is there, and none of them needs it."""
    active = Service.objects.filter(active=True).prefetch_related("depends_on")
    needs = {service.name: [other.name for other in service.depends_on.all()] for service in active}
    for position, name in enumerate(spec.depends_on):
        if name not in needs:
            raise Invalid(f"there is no service {name!r}", field=f"depends_on.{position}")
    circle = find_circle({**needs, spec.name: spec.depends_on})
    if spec.name in circle:
        raise Invalid(circle_message(circle), field="depends_on")
