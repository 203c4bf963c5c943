from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.db import connection

from selfheal.canonical import dumps
from selfheal.errors import LedgerError

MAX_LEAF_BYTES = 65_535


def append(
    *,
    actor: str,
    action: str,
    resource: str,
    at: datetime,
    payload: dict[str, Any] | None = None,
    subsystem: str = "healing",
    result: str = "ok",
) -> int:
    """Write a leaf into the outbox of the current transaction and return its outbox id.

    Raises LedgerError outside a transaction (the change and its entry must stand or fall together) and for a leaf over
    65,535 bytes, Invalid for a value that RFC 8785 cannot write.
    """
    if not connection.in_atomic_block:
        raise LedgerError(f"{action}: an entry is written in the transaction of its change, and there is none")
    leaf = dumps(
        {
            "actor": actor,
            "action": action,
            "resource": resource,
            "subsystem": subsystem,
            "result": result,
            "payload": payload or {},
            "at": instant(at),
        }
    )
    if len(leaf) > MAX_LEAF_BYTES:
        raise LedgerError(f"{action} of {resource}: the leaf has {len(leaf):,} bytes, the limit is {MAX_LEAF_BYTES:,}")
    return _insert(leaf)


def _insert(leaf: bytes) -> int:
    """Every change writes a leaf, so this does without the ORM, which takes five times as long."""
    sql = "INSERT INTO healing_ledgeroutbox (leaf) VALUES (%s)"
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"{sql} RETURNING id", [leaf])
            return int(cursor.fetchone()[0])
        cursor.execute(sql, [leaf])
        return int(cursor.lastrowid)


def instant(at: datetime) -> str:
    """RFC 3339 in UTC with microseconds and Z, as every leaf writes a time."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
