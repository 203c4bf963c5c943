"""A cycle from its entry in the log alone, held against its row, and decided again.

A row is kept for some thousands of cycles; the entry for ever. What the sequencer has not seen yet is found by the row.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import DEFAULT_DB_ALIAS

from healing.models import LedgerEntry, LedgerOutbox
from metafocus.models import Cycle
from selfheal import cycles
from selfheal.errors import Invalid
from selfheal.replay import Difference


@dataclass(frozen=True)
class Replayed:
    """`index` None: the entry waits for its place in the log; `kept`: there is a row to hold it against."""

    index: int | None
    leaf: Mapping[str, Any]
    faults: list[str]
    differences: list[Difference]
    kept: bool

    @property
    def agrees(self) -> bool:
        return not self.faults and not self.differences

    def document(self) -> dict[str, Any]:
        """As JSON can hold it."""
        different = [{"field": d.field, "log": d.log, "table": d.table} for d in self.differences]
        entry = {"index": self.index, **self.leaf}
        return {"agrees": self.agrees, "entries": [entry], "faults": self.faults, "differences": different, "kept": self.kept}


def replay_cycle(cycle: uuid.UUID, using: str = DEFAULT_DB_ALIAS) -> Replayed:
    """Raises Invalid where the log has no entry of it."""
    row = Cycle.objects.using(using).filter(pk=cycle).first()
    found = entry_of(cycle, row, using)
    if found is None:
        raise Invalid(f"the log has no entry about a cycle {cycle}")
    index, leaf = found
    # Through JSON as the leaf went, so that a tuple is not told from a list.
    table = json.loads(json.dumps(row.document())) if row else leaf["payload"]
    return Replayed(index, leaf, cycles.replay(leaf), cycles.differences(leaf["payload"], table), row is not None)


def entry_of(cycle: uuid.UUID, row: Cycle | None, using: str = DEFAULT_DB_ALIAS) -> tuple[int | None, dict[str, Any]] | None:
    """(index, leaf), by the index on resources, or from the outbox."""
    # The outbox first: what the sequencer moves between the two reads is then found twice, never missed.
    waiting = LedgerOutbox.objects.using(using).filter(pk=row.outbox_id).values_list("leaf", flat=True).first() if row else None
    said = (
        LedgerEntry.objects.using(using).filter(resource=f"cycle:{cycle}").order_by("index").values_list("index", "leaf").first()
    )
    if said:
        return said[0], json.loads(bytes(said[1]))
    return (None, json.loads(bytes(waiting))) if waiting else None
