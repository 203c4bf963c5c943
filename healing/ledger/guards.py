"""Triggers that let the database refuse what must not be done to the log, whoever asks.

Entries, tiles, heads and keys are never updated and never deleted; an outbox row is never updated, and only deleted once an entry
with its id has its leaf. Django drops triggers on SQLite when it remakes a table: `install` puts back what is missing (it runs
after each migrate), `missing` says what is not there (asked at start).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.recorder import MigrationRecorder

MIGRATION = ("healing", "0002_ledger_guards")
OUTBOX = "healing_ledgeroutbox"
TABLES = ("healing_ledgerentry", "healing_ledgertile", "healing_ledgerhead", "healing_ledgerkey")
_UNMOVED = "NOT EXISTS (SELECT 1 FROM healing_ledgerentry e WHERE e.outbox_id = OLD.id AND e.leaf = OLD.leaf)"
_BODIES = {
    "selfheal_refuse": (
        " BEGIN RAISE EXCEPTION '% refuses %: the log only grows', TG_TABLE_NAME, TG_OP USING ERRCODE = 'check_violation'; END "
    ),
    "selfheal_refuse_unmoved": (
        f" BEGIN IF {_UNMOVED} THEN RAISE EXCEPTION '% refuses DELETE of what is no entry yet', TG_TABLE_NAME "
        "USING ERRCODE = 'check_violation'; END IF; RETURN OLD; END "
    ),
}


def install(connection: BaseDatabaseWrapper | None = None) -> None:
    """Put back every trigger that is missing. Safe to repeat."""
    connection = connection or connections[DEFAULT_DB_ALIAS]
    wanted = _wanted(connection)
    with connection.cursor() as cursor:
        gone = missing(connection)
        if gone and connection.vendor == "postgresql":
            for name, body in _BODIES.items():
                cursor.execute(f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $${body}$$")
        for name in gone:
            table, sql = wanted[name]
            cursor.execute(_drop(connection, name, table))
            cursor.execute(sql)


def remove(connection: BaseDatabaseWrapper | None = None) -> None:
    """Take the triggers away: for the way back of the migration, and for tests that empty their tables."""
    connection = connection or connections[DEFAULT_DB_ALIAS]
    with connection.cursor() as cursor:
        for name, (table, _) in _wanted(connection).items():
            cursor.execute(_drop(connection, name, table))


def missing(connection: BaseDatabaseWrapper | None = None) -> list[str]:
    """Names of the triggers that are absent, switched off, or not the ones that `install` makes."""
    connection = connection or connections[DEFAULT_DB_ALIAS]
    wanted = _wanted(connection)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "SELECT tgname, proname, prosrc FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid "
                "WHERE NOT tgisinternal AND tgenabled IN ('O', 'A')"
            )
            there = {name for name, function, body in cursor.fetchall() if body == _BODIES.get(function)}
        else:
            cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
            there = {name for name, sql in cursor.fetchall() if name in wanted and sql == wanted[name][1]}
    return [name for name in wanted if name not in there]


def after_migrate(using: str, **_: Any) -> None:
    """For Django's post_migrate: install, once the migration that brought the guards is in."""
    connection = connections[using]
    if MIGRATION in MigrationRecorder(connection).applied_migrations():
        install(connection)


def _wanted(connection: BaseDatabaseWrapper) -> dict[str, tuple[str, str]]:
    """Trigger name → table and the SQL that makes it."""
    make = _postgresql if connection.vendor == "postgresql" else _sqlite
    return {name: (table, sql) for name, table, sql in make()}


def _sqlite() -> Iterator[tuple[str, str, str]]:
    for table in TABLES:
        for verb in ("UPDATE", "DELETE"):
            yield _sqlite_trigger(table, verb, "1")
    yield _sqlite_trigger(OUTBOX, "UPDATE", "1")
    yield _sqlite_trigger(OUTBOX, "DELETE", _UNMOVED)


def _sqlite_trigger(table: str, verb: str, when: str) -> tuple[str, str, str]:
    name = f"{table}_no_{verb.lower()}"
    return (
        name,
        table,
        (
            f"CREATE TRIGGER {name} BEFORE {verb} ON {table} WHEN {when} "
            f"BEGIN SELECT RAISE(ABORT, '{table} refuses {verb}: the log only grows'); END"
        ),
    )


def _postgresql() -> Iterator[tuple[str, str, str]]:
    for table in (*TABLES, OUTBOX):
        yield _postgresql_trigger(table, "TRUNCATE", "FOR EACH STATEMENT")
        yield _postgresql_trigger(table, "UPDATE", "FOR EACH ROW")
        # A WHEN of a trigger may not ask a table: the outbox has a function of its own for its DELETE.
        if table != OUTBOX:
            yield _postgresql_trigger(table, "DELETE", "FOR EACH ROW")
    name = f"{OUTBOX}_no_delete"
    yield (
        name,
        OUTBOX,
        (f"CREATE TRIGGER {name} BEFORE DELETE ON {OUTBOX} FOR EACH ROW EXECUTE FUNCTION selfheal_refuse_unmoved()"),
    )


def _postgresql_trigger(table: str, verb: str, each: str) -> tuple[str, str, str]:
    name = f"{table}_no_{verb.lower()}"
    return name, table, f"CREATE TRIGGER {name} BEFORE {verb} ON {table} {each} EXECUTE FUNCTION selfheal_refuse()"


def _drop(connection: BaseDatabaseWrapper, name: str, table: str) -> str:
    return f"DROP TRIGGER IF EXISTS {name}" + (f" ON {table}" if connection.vendor == "postgresql" else "")
