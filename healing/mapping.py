"""Making a mapping: which unmatched alerts a rule would match, the rule stored, and what still fires taken in again.

Rules that this module keeps:
1. Where services.yaml has a `map:`, that file is where rules are made: nothing is stored here, the next sync would undo it.
2. A rule is stored before the first one that matches the alert it was made for, else at the end: it takes the place of what leads
   nowhere, and of nothing else.
3. What still fires comes in again the usual way, from what is stored of it: what is known already changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from pydantic import ValidationError

from healing import intake, ledger
from healing.catalog.places import map_file
from healing.catalog.services import lock, told
from healing.intake.facts import Places
from healing.models import MapRule, Service, UnmatchedAlert
from healing.transitions import in_batches
from selfheal import mapping
from selfheal.errors import Conflict, Invalid
from selfheal.explain import explained
from selfheal.services import MapEntry
from selfheal.states import EpisodeStatus

MOST = 5_000  # unmatched alerts that a rule is tried on, those that fire first, then the newest
MOST_RULES = 2_000
MAX_REASON = 2_000


@dataclass(frozen=True)
class Tried:
    """An unmatched alert that the rule is for, and where it leads."""

    row: UnmatchedAlert
    found: mapping.Matched | mapping.Unmatched

    @property
    def leads(self) -> bool:
        return isinstance(self.found, mapping.Matched)


def rule_of(said: Mapping[str, Any]) -> mapping.Rule:
    """{match, service, target, diagnosis} as a rule. Raises Invalid with the field, also for a service that is not declared."""
    try:
        entry = MapEntry.model_validate(dict(said))
    except ValidationError as error:
        path, message, _ = next(explained(MapEntry, error))
        raise Invalid(message, field=str(path[0]) if path else "match") from None
    rule = mapping.Rule(**entry.model_dump(mode="json"))
    named = rule.service != mapping.BY_TARGET and not rule.service.startswith("labels.")
    if named and not Service.objects.filter(name=rule.service, active=True).exists():
        raise Invalid(f"there is no service {rule.service!r}", field="service")
    return rule


def tried(rule: mapping.Rule) -> list[Tried]:
    """The unmatched alerts of the list that the rule is for."""
    rows = list(UnmatchedAlert.objects.order_by("status", "-last_seen_at")[:MOST])
    rows = [row for row in rows if mapping.matches(rule, row.labels)]
    places = Places([row.labels for row in rows], mapped=False, first=[rule])
    return [Tried(row, places.find(row.labels)) for row in rows]


def add_rule(rule: mapping.Rule, labels: Mapping[str, str], reason: str, actor: str, at: datetime) -> int:
    """Store the rule, made for an alert with these labels, and take in what fires and matches it now; how many those are.

    Raises Conflict where a file declares the map, Invalid.
    """
    if not 0 < len(reason.strip()) <= MAX_REASON:
        raise Invalid(f"says why, in 1 to {MAX_REASON:,} characters", field="reason")
    file = map_file()
    if file:
        raise Conflict(f"the map is declared in {file}: put the line there")
    with transaction.atomic():
        lock()
        rules = [mapping.Rule(*row) for row in MapRule.objects.values_list("match", "service", "target", "diagnosis")]
        if len(rules) >= MOST_RULES:
            raise Invalid(f"the map has {MOST_RULES:,} rules already, and takes no more", field="match")
        position = next((n for n, each in enumerate(rules) if mapping.matches(each, labels)), len(rules))
        after = [*rules[:position], rule, *rules[position:]]
        MapRule.objects.all().delete()
        MapRule.objects.bulk_create(MapRule(position=n, **asdict(each)) for n, each in enumerate(after))
        payload = {
            "reason": reason,
            "position": position,
            "rule": asdict(rule),
            "before": told([asdict(each) for each in rules]),
            "after": told([asdict(each) for each in after]),
        }
        ledger.append(actor=actor, action="map.changed", resource="map", payload=payload, at=at)
    return take_again([each.row for each in tried(rule) if each.leads], actor, at)


def take_again(rows: Iterable[UnmatchedAlert], actor: str, at: datetime) -> int:
    """The alerts of the list that still fire, once more through the front door; how many became part of an incident."""
    taken = 0
    for some in in_batches([row for row in rows if row.status == EpisodeStatus.FIRING]):
        body = json.dumps([_plain(row) for row in some]).encode()
        taken += intake.receive_plain(body, actor=actor, at=at)["accepted"]
    return taken


def _plain(row: UnmatchedAlert) -> dict[str, Any]:
    return {
        "labels": row.labels,
        "annotations": row.annotations,
        "status": row.status,
        "starts_at": row.starts_at.isoformat(),
        "fingerprint": row.fingerprint,
    }
