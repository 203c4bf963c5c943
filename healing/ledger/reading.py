"""Entries read from a database and checked, a range at a time: here, or by processes that do nothing else.

Rules that this module keeps:
1. A process reads its ranges itself, over a connection of its own: handing it entries would take longer than checking them.
2. No model and no app is loaded, so a process starts quickly and stays small.
3. Ranges are read without a lock. What is verified is the log as it was: rows are only ever added.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Iterator, Set
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections

from selfheal.leaves import Columns
from selfheal.parallel import in_order
from selfheal.verify import Checked, Entry, Ring, check

AHEAD = 8  # ranges under way for each process

Range = tuple[int | None, int]  # indexes, half-open; None: from whatever comes first

_ENTRIES = """SELECT "index", leaf, signature, key_id, leaf_hash, actor, action, resource, subsystem, CAST("at" AS text)
FROM healing_ledgerentry WHERE "index" < %s {since} ORDER BY "index\""""


@dataclass(frozen=True)
class Reader:
    """Reads and checks ranges of the log in the database of that alias."""

    using: str
    ring: Ring
    signatures: bool = True
    known: Set[bytes] = frozenset()

    def __call__(self, range_: Range) -> Checked:
        return check(self.read(range_), self.ring, self.signatures, self.known)

    def read(self, range_: Range) -> list[Entry]:
        start, end = range_
        since, arguments = ("", [end]) if start is None else ('AND "index" >= %s', [end, start])
        with connections[self.using].cursor() as cursor:
            cursor.execute(_ENTRIES.format(since=since), arguments)
            return [_entry(row) for row in cursor.fetchall()]


def spread(reader: Reader, ranges: Iterable[Range], processes: int) -> Iterator[Checked]:
    """`reader` over the ranges, in order. With processes it never holds more than a few ranges' answers."""
    if processes < 2:
        yield from map(reader, ranges)
        return
    # Spawned, not forked: the children share no connection.
    context, database = multiprocessing.get_context("spawn"), connections[reader.using].settings_dict
    with ProcessPoolExecutor(processes, context, _begin, (database, reader)) as pool:
        yield from in_order(pool, _work, ranges, AHEAD * processes)


_reader: Reader


def _begin(database: dict[str, Any], reader: Reader) -> None:
    global _reader  # noqa: PLW0603 — one for each process of the pool
    settings.configure(DATABASES={DEFAULT_DB_ALIAS: database}, USE_TZ=True)
    apps.populate(())
    _reader = Reader(DEFAULT_DB_ALIAS, reader.ring, reader.signatures, reader.known)


def _work(range_: Range) -> Checked:
    return _reader(range_)


def _entry(row: tuple[Any, ...]) -> Entry:
    index, leaf, signature, key_id, hash_, actor, action, resource, subsystem, at = row
    beside = Columns(actor=actor, action=action, resource=resource, subsystem=subsystem, at=_instant(at))
    return Entry(index, as_bytes(leaf), as_bytes(signature), key_id, as_bytes(hash_), beside)


def as_bytes(value: Any) -> bytes:
    """SQLite keeps in a column whatever was put there: what is no bytes has to fail as content, not here."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    return bytes(value) if isinstance(value, bytes | memoryview) else b""


def _instant(text: Any) -> datetime:
    """The instant that a column holds; one that no leaf can have if it holds none."""
    try:
        at = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return datetime.min.replace(tzinfo=UTC)
    return at if at.tzinfo else at.replace(tzinfo=UTC)
