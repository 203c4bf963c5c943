"""Finding candidates by the database's full-text search, in the order of their relevance.

Rules that this module keeps:
1. A search names its domains; what is sensitive of another domain is left out here already, so that no count tells of it.
2. The order is that of `selfheal.memory.ranking`, computed by the database, so that only what is looked at is read.
3. What stands in a statement itself is ours: columns, placeholders, weights, and tokens of letters, digits, _ and §.
4. SQLite's index stands in a table of its own: rows come in by `add` and go by `remove`, and in no other way.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.db import connection

from learning.broker.models import Memory
from selfheal.memory.ranking import OFTEN, RECENT, WEIGHTS, Numbers

NEWEST = 500  # and as many of those used most: what is looked at where no word is asked for
BATCH = 200
COLUMNS = ", ".join(f"m.{f.column}" for f in Memory._meta.concrete_fields)
TABLE = Memory._meta.db_table


@dataclass(frozen=True)
class Search:
    """`domains` None: all. `terms` and `pairs` are tokens; `sensitive`: what is sensitive in `own` is looked at too."""

    own: str
    domains: Collection[str] | None
    at: datetime
    memory_type: str = ""
    terms: list[str] = field(default_factory=list)
    pairs: list[str] = field(default_factory=list)
    sensitive: bool = True
    weights: Numbers = WEIGHTS
    every: bool = False  # of the tokens, not any


@dataclass(frozen=True)
class Found:
    memories: list[Memory]
    total: int


def find(search: Search, most: int) -> Found:
    """The `most` most relevant candidates, and how many there are."""
    score, score_values = _score(search)
    source, source_values = _source(search)
    where, where_values = _where(search)
    inner = f"SELECT m.id, {score} AS score, COUNT(*) OVER () AS total FROM {source} WHERE {where}"
    sql = (
        f"SELECT {COLUMNS}, s.total AS total FROM ({inner} ORDER BY score DESC, m.id DESC LIMIT %s) s "
        f"JOIN {TABLE} m ON m.id = s.id ORDER BY s.score DESC, s.id DESC"
    )
    rows: Any = Memory.objects.raw(sql, [*score_values, *source_values, *where_values, most])
    memories = list(rows)
    return Found(memories, memories[0].total if memories else 0)


def add(memories: Collection[Memory]) -> None:
    """Insert new memories. On SQLite their words go into the index, by the keys that the rows were given."""
    Memory.objects.bulk_create(memories, batch_size=BATCH)
    if connection.vendor == "sqlite":
        for some in _batches([memory.pk for memory in memories]):
            _execute(f"INSERT INTO memory_words (rowid, words) SELECT id, words FROM {TABLE} WHERE id IN ({_marks(some)})", some)


def remove(keys: Iterable[int]) -> int:
    """Delete these memories; how many there were."""
    wanted = list(keys)
    for some in _batches(wanted):
        if connection.vendor == "sqlite":
            gone = f"SELECT 'delete', id, words FROM {TABLE} WHERE id IN ({_marks(some)})"
            _execute(f"INSERT INTO memory_words (memory_words, rowid, words) {gone}", some)
        Memory.objects.filter(pk__in=some).delete()
    return len(wanted)


def _source(search: Search) -> tuple[str, list[Any]]:
    """The table with the rows that have any (`every`: each) of the words, else of the context; else the table."""
    tokens = search.terms or search.pairs
    if not tokens:
        return f"{TABLE} m", []
    if connection.vendor == "postgresql":
        joined = (" & " if search.every else " | ").join(f"'{token}'" for token in tokens)
        return f"(SELECT * FROM {TABLE} WHERE search @@ %s::tsquery) m", [joined]
    joined = (" AND " if search.every else " OR ").join(f'"{token}"' for token in tokens)
    matching = "SELECT rowid AS id FROM memory_words WHERE memory_words MATCH %s"
    return f"({matching}) w CROSS JOIN {TABLE} m ON m.id = w.id", [joined]


def _where(search: Search) -> tuple[str, list[Any]]:
    own, own_values = _scope(search)
    if search.terms or search.pairs:
        return own, own_values
    parts = [
        f"SELECT id FROM (SELECT id FROM {TABLE} m WHERE {own} ORDER BY {by} DESC LIMIT {NEWEST}) x" for by in ("at", "uses")
    ]
    return f"m.id IN ({' UNION '.join(parts)})", [*own_values, *own_values]


def _scope(search: Search) -> tuple[str, list[Any]]:
    parts, values = ["(m.expires_at IS NULL OR m.expires_at > %s)"], [_moment(search.at)]
    if search.domains is not None:
        parts.append(f"m.domain IN ({_marks(search.domains) or 'NULL'})")
        values += sorted(search.domains)
    if search.memory_type:
        parts.append("m.memory_type = %s")
        values.append(search.memory_type)
    parts.append("(m.domain = %s OR NOT m.sensitive)" if search.sensitive else "NOT m.sensitive")
    values += [search.own] if search.sensitive else []
    return " AND ".join(parts), values


def _score(search: Search) -> tuple[str, list[Any]]:
    weights, values = search.weights, [_moment(search.at)]
    postgresql = connection.vendor == "postgresql"
    age = "EXTRACT(EPOCH FROM (%s - m.at))::float8" if postgresql else "(julianday(%s) - julianday(m.at)) * 86400.0"
    least, most = ("LEAST", "GREATEST") if postgresql else ("MIN", "MAX")
    recency = f"{least}(1.0, {most}(0.0, 1.0 - {age} / {RECENT.total_seconds()}))"
    parts = [f"{weights.recency} * {recency}", f"{weights.frequency} * {least}(m.uses, {OFTEN}) / {OFTEN}.0"]
    for weight, tokens in ((weights.tags, search.terms), (weights.context, search.pairs)):
        if tokens:
            hits = " + ".join(
                ["CASE WHEN strpos(m.words, %s) > 0 THEN 1 ELSE 0 END" if postgresql else "(instr(m.words, %s) > 0)"]
                * len(tokens)
            )
            parts.append(f"{weight} * ({hits}) / {len(tokens)}.0")
            values += [f" {token} " for token in tokens]
    return " + ".join(parts), values


def _moment(at: datetime) -> Any:
    """As the column holds it: SQLite's is text in UTC."""
    return at if connection.vendor == "postgresql" else str(at.astimezone(UTC).replace(tzinfo=None))


def _batches(keys: list[int]) -> Iterable[list[int]]:
    return (keys[start : start + BATCH] for start in range(0, len(keys), BATCH))


def _marks(values: Collection[Any]) -> str:
    return ", ".join(["%s"] * len(values))


def _execute(sql: str, values: list[Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
