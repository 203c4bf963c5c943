"""Verification of the log in a database, its own or another one: reads in pages, holds no lock and no long transaction.

What is verified is the log as it was at the start: rows are only ever added, so what comes in meanwhile changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set
from functools import partial

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Min, QuerySet

from healing.ledger import reading, selectors
from healing.ledger.reading import Range, Reader, as_bytes
from healing.models import LedgerEntry, LedgerHead, LedgerTile
from selfheal.verify import Checked, Head, Report, Ring, judge

PAGE = 1000
WORTH_PROCESSES = 20_000  # entries from which starting processes pays


def verify_database(
    progress: Callable[[int], None] = lambda size: None,
    *,
    using: str = DEFAULT_DB_ALIAS,
    signatures: bool = True,
    known: Set[bytes] = frozenset(),
    processes: int = 1,
) -> Report:
    """Verify the whole log of a database: every rule of `selfheal.verify`, and that no tile is there that should not be.

    `known` are seals of an earlier report.
    """
    size = _extent(using)
    # A database in memory is there for this process alone.
    alone = size < WORTH_PROCESSES or _in_memory(using)

    def checked(ring: Ring) -> Iterator[Checked]:
        return reading.spread(Reader(using, ring, signatures, known), _ranges(using, size), 1 if alone else processes)

    report = judge(checked, _heads(using, size), selectors.keys(using), tiles=partial(_tile, using), progress=progress)
    extra = LedgerTile.objects.using(using).count() - _full_tiles(report.size)
    if extra > 0 and report.ok:
        report.add("tile", 0, f"{extra} tiles more than {report.size} entries fill")
    return report


def _extent(using: str) -> int:
    """One past the last index that an entry has or a head covers. One statement: entries and their head appear together."""
    with connections[using].cursor() as cursor:
        cursor.execute('SELECT (SELECT MAX(size) FROM healing_ledgerhead), (SELECT MAX("index") + 1 FROM healing_ledgerentry)')
        return max(value or 0 for value in cursor.fetchone())


def _ranges(using: str, size: int) -> Iterator[Range]:
    """Ranges that have every entry below `size`, each page in the same place at any time; what is empty is left out."""
    yield None, min(PAGE, size)
    rows, end = LedgerEntry.objects.using(using).filter(index__lt=size), PAGE
    while end < size and (first := rows.filter(index__gte=end).aggregate(first=Min("index"))["first"]) is not None:
        start = first - first % PAGE
        end = start + PAGE
        yield start, min(end, size)


def _in_memory(using: str) -> bool:
    connection = connections[using]
    return connection.vendor == "sqlite" and connection.is_in_memory_db()  # type: ignore[attr-defined]


def _heads(using: str, size: int) -> Iterator[Head]:
    rows = LedgerHead.objects.using(using).filter(size__lte=size)
    for head, note, root in _pages(rows, "size", ("size", "note", "root")):
        yield Head(head, str(note), as_bytes(root))


def _pages(rows: QuerySet, key: str, names: tuple[str, ...]) -> Iterator[tuple]:
    """The rows in order of `key`, the first of `names`, a page at a time."""
    rows = rows.order_by(key).values_list(*names)
    page = list(rows[:PAGE])
    while page:
        yield from page
        page = list(rows.filter(**{f"{key}__gt": page[-1][0]})[:PAGE])


def _tile(using: str, level: int, index: int) -> tuple[bytes, bytes] | None:
    row = LedgerTile.objects.using(using).filter(level=level, index=index).values_list("hashes", "root").first()
    return (as_bytes(row[0]), as_bytes(row[1])) if row else None


def _full_tiles(size: int) -> int:
    count = 0
    while size := size >> 8:
        count += size
    return count
