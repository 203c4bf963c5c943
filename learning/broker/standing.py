"""Memory in numbers: how much of what a domain has, how much of its quota is used, what was refused. And what a domain sets."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Count, Max, Q

from healing import ledger
from learning.broker.models import Asked, Domain, Memory, Question
from selfheal.errors import Invalid
from selfheal.memory.policies import QUOTA, QUOTA_SECONDS
from selfheal.memory.ranking import WEIGHTS, weights_of
from selfheal.memory.rights import AccessLevel, MemoryType

DAY = timedelta(days=1)
MOST_QUOTA = 10_000


def stats(domains: Collection[str] | None, at: datetime) -> dict[str, Any]:
    """Of these domains, None: of all: {domains: [{domain, total, by_type, …}], total, by_type}, the largest first."""
    names = Domain.objects.values_list("pk", flat=True) if domains is None else domains
    rows: dict[str, dict[str, Any]] = {name: _empty(name) for name in names}
    counted = _of(Memory.objects, domains).values("domain", "memory_type", "sensitive").annotate(count=Count("pk")).order_by()
    for each in counted:
        row = rows.setdefault(each["domain"], _empty(each["domain"]))
        row["total"] += each["count"]
        row["by_type"][each["memory_type"]] += each["count"]
        row["sensitive"] += each["count"] if each["sensitive"] else 0
    for own in _of(Domain.objects, domains, "pk"):
        rows[own.pk]["quota"]["limit"], rows[own.pk]["weights"] = own.quota, own.weights.as_dict()
    minute = Q(at__gt=at - timedelta(seconds=QUOTA_SECONDS)) & ~Q(level=AccessLevel.DENIED)
    asked = _of(Asked.objects.filter(at__gt=at - DAY), domains).values("domain").order_by()
    day = {
        "day": Count("pk"),
        "refused": Count("pk", filter=~Q(violation="")),
        "minute": Count("pk", filter=minute),
        "last": Max("at"),
    }
    for each in asked.annotate(**day):
        row = rows.setdefault(each["domain"], _empty(each["domain"]))
        row |= {"asked_24h": each["day"], "violations_24h": each["refused"], "last_asked_at": each["last"]}
        row["quota"]["used"] = each["minute"]
    found = sorted(rows.values(), key=lambda row: (-row["total"], row["domain"]))
    by_type = {kind.value: sum(row["by_type"][kind] for row in found) for kind in MemoryType}
    return {"domains": found, "total": sum(by_type.values()), "by_type": by_type, "metadata": {"timestamp": at}}


def violations(most: int, domain: str = "") -> list[Asked]:
    """The newest questions that offended a policy."""
    rows = Asked.objects.exclude(violation="")
    return list((rows.filter(domain=domain) if domain else rows)[:most])


def asked_often(domain: str, most: int) -> list[Question]:
    return list(Question.objects.filter(domain=domain).order_by("-asked")[:most])


def domain_named(name: str) -> Domain:
    """What it has set; the defaults where it has set nothing."""
    return Domain.objects.filter(pk=name).first() or Domain(name=name)


def configure(name: str, weights: Mapping[str, float], quota: int, *, actor: str, reason: str, at: datetime) -> Domain:
    """Set the weights and the quota of a domain. Raises Invalid for weights that are not 1 together, or a quota out of range."""
    wanted = weights_of(weights)
    if not 0 <= quota <= MOST_QUOTA:
        raise Invalid(f"is from 0 to {MOST_QUOTA:,}", field="quota")
    with transaction.atomic():
        Domain.objects.get_or_create(pk=name)
        row = Domain.objects.select_for_update().get(pk=name)
        before = _told(row)
        row.recency, row.frequency, row.tags, row.context, row.quota = *wanted.as_dict().values(), quota
        row.save()
        payload = {"before": before, "after": _told(row), "reason": reason}
        ledger.append(
            actor=actor, action="memory.domain_set", resource=f"memory:{name}", payload=payload, at=at, subsystem="learning"
        )
    return row


def _told(row: Domain) -> dict[str, Any]:
    return {**{name: f"{value:.3f}" for name, value in row.weights.as_dict().items()}, "quota": row.quota}


def _of(rows: Any, domains: Collection[str] | None, name: str = "domain") -> Any:
    return rows.all() if domains is None else rows.filter(**{f"{name}__in": domains})


def _empty(name: str) -> dict[str, Any]:
    return {
        "domain": name,
        "total": 0,
        "by_type": {kind.value: 0 for kind in MemoryType},
        "sensitive": 0,
        "quota": {"limit": QUOTA, "used": 0, "window_seconds": QUOTA_SECONDS},
        "weights": WEIGHTS.as_dict(),
        "asked_24h": 0,
        "violations_24h": 0,
        "last_asked_at": None,
    }
