"""Rows by several columns at once: one look into the index for each tuple, however long the history is.

An IN for each column would look at every combination of their values, and SQLite would scan the table for
`(…, …) IN (VALUES …)`; it obeys the order of a CROSS JOIN.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from django.db import connection
from django.db.models import Model
from django.db.models.expressions import RawSQL


def among(
    model: type[Model],
    names: Sequence[str],
    tuples: Collection[Sequence[Any]],
    where: str = "true",
    values: Sequence[Any] = (),
) -> RawSQL:
    """The keys of the rows whose columns `names` are one of `tuples`; for `filter(pk__in=…)`.

    `where` is a further condition on the table `e`, written here as SQL and never made of input: a partial index asks for it.
    `values` are what its places %s stand for, as the database takes them.
    """
    wanted, parameters = _wanted(model, names, tuples)
    table = model._meta.db_table
    sql = f"{wanted} SELECT e.id FROM w CROSS JOIN {table} e WHERE {_same(model, names)} AND {where}"  # noqa: S608
    return RawSQL(sql, [*parameters, *values])  # noqa: S611


def newest(model: type[Model], names: Sequence[str], tuples: Collection[Sequence[Any]], by: str) -> RawSQL:
    """The key of the newest row, by the column `by`, for each of `tuples`; as `among` else."""
    wanted, parameters = _wanted(model, names, tuples)
    last = f"SELECT e.id FROM {model._meta.db_table} e WHERE {_same(model, names)} ORDER BY e.{by} DESC LIMIT 1"  # noqa: S608
    return RawSQL(f"{wanted} SELECT ({last}) FROM w", parameters)  # noqa: S608, S611


def _wanted(model: type[Model], names: Sequence[str], tuples: Collection[Sequence[Any]]) -> tuple[str, list[Any]]:
    """The tuples as a table `w`, and its parameters."""
    fields = [model._meta.get_field(name) for name in names]
    one = f"({', '.join(['%s'] * len(fields))})"
    rows = ", ".join([one] * len(tuples))
    columns = ", ".join(f"c{n}" for n in range(len(fields)))
    parameters = [
        field.get_db_prep_value(value, connection)  # type: ignore[union-attr]
        for row in tuples
        for field, value in zip(fields, row, strict=True)
    ]
    return f"WITH w ({columns}) AS (VALUES {rows})", parameters


def _same(model: type[Model], names: Sequence[str]) -> str:
    columns = [model._meta.get_field(name).column for name in names]  # type: ignore[union-attr]
    return " AND ".join(f"e.{column} = w.c{n}" for n, column in enumerate(columns))
