"""Where the demo keeps its data: the home's own SQLite, or a throwaway database beside the one that `DATABASE_URL` names."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlparse

from .installation import DemoFailed, Installation

TABLES = ("healing_ledgerkey", "healing_ledgerentry", "healing_ledgertile", "healing_ledgerhead")


@contextmanager
def database(home: Path, *, keep: bool) -> Iterator[str]:
    """The DATABASE_URL of the demo. A PostgreSQL database is made for it and dropped at its end, unless it is kept."""
    url = os.environ.get("DATABASE_URL", "")
    if urlparse(url).scheme not in ("postgres", "postgresql"):
        yield ""
        return
    import psycopg

    name = home.name.replace("-", "_").lower()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        try:
            yield urlparse(url)._replace(path=f"/{name}").geturl()
        finally:
            if not keep:
                connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def ledger_copy_with_a_changed_row(installation: Installation) -> Path:
    """A copy of the log in a SQLite file of its own, with one letter of one entry changed behind the triggers' back."""
    copy = installation.home / "copy.sqlite3"
    if installation.environment["DATABASE_URL"]:
        _copy_from_postgresql(installation, copy)
    else:
        _copy_from_sqlite(installation.home / "var" / "selfheal.sqlite3", copy)
    with sqlite3.connect(copy) as connection:
        _drop_triggers(connection)
        index, leaf = connection.execute(
            'SELECT "index", leaf FROM healing_ledgerentry WHERE action = ? ORDER BY "index" LIMIT 1', ("run.succeeded",)
        ).fetchone() or (None, b"")
        if index is None:
            raise DemoFailed("the log has no entry of a run that succeeded")
        changed = bytes(leaf).replace(b"verified", b"unproven", 1)
        connection.execute('UPDATE healing_ledgerentry SET leaf = ? WHERE "index" = ?', (changed, index))
    return copy


def _copy_from_sqlite(source: Path, copy: Path) -> None:
    with sqlite3.connect(source) as old, sqlite3.connect(copy) as new:
        old.backup(new)


def _copy_from_postgresql(installation: Installation, copy: Path) -> None:
    import psycopg

    environment = {**installation.environment, "DATABASE_URL": f"sqlite:///{copy}", "DJANGO_SETTINGS_MODULE": "config.settings"}
    subprocess.run([sys.executable, "-m", "django", "migrate", "--verbosity", "0"], env=environment, check=True)
    with psycopg.connect(installation.environment["DATABASE_URL"]) as old, sqlite3.connect(copy) as new:
        _drop_triggers(new)
        for table in TABLES:
            rows = old.execute(f"SELECT * FROM {table}")  # noqa: S608 — a constant above
            columns = ", ".join(f'"{column.name}"' for column in rows.description or ())
            marks = ", ".join("?" for _ in rows.description or ())
            found = [tuple(str(v) if hasattr(v, "tzinfo") else v for v in row) for row in rows]
            new.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", found)  # noqa: S608


def _drop_triggers(connection: sqlite3.Connection) -> None:
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f'DROP TRIGGER "{name}"')
