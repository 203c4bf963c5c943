from __future__ import annotations

import fcntl
import gc
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction
from django.test import TransactionTestCase
from whitenoise.middleware import WhiteNoiseMiddleware

from healing.ledger import guards
from tests import unlogged

INDEX = "memory_words"  # SQLite's full-text index, and the tables in which FTS5 keeps it: emptied by its own command alone
# No test is timed: a machine may be busy with something else.
hypothesis.settings.register_profile("untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("untimed")


@pytest.fixture
def at() -> datetime:
    """A fixed instant: a Wednesday at noon, inside the default change window."""
    return datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True, scope="session")
def _static_files_listed_once() -> None:
    """Each client of a test loads the middleware anew, and two hundred static files are looked at: they do not change."""
    listed: dict[str, Any] = {}
    look = WhiteNoiseMiddleware.add_files_from_finders

    def add_files(middleware: WhiteNoiseMiddleware) -> None:
        if not listed:
            look(middleware)
            listed.update(middleware.files)
        middleware.files = dict(listed)

    WhiteNoiseMiddleware.add_files_from_finders = add_files  # type: ignore[method-assign]


@pytest.fixture(autouse=True, scope="session")
def _what_was_imported_is_no_garbage() -> None:
    """Half a million objects that stay to the end: each full collection would look at all of them."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def _emptied_by_hand() -> None:
    """After a transactional test every table is emptied but those of content types and permissions.

    Django's own flush makes these anew each time, which costs more than most tests, and the log's triggers refuse it.
    """
    TransactionTestCase._fixture_teardown = lambda self: _empty()  # type: ignore[method-assign]


def _empty() -> None:
    """Constraints are deferred to the end of the transaction, so the order of the tables does not matter."""
    kept = {"django_migrations", ContentType._meta.db_table, Permission._meta.db_table}
    with connection.cursor() as cursor:
        names = {name for name in connection.introspection.table_names(cursor) if not name.startswith(INDEX)}
        tables = sorted(names - kept)
        cursor.execute(f"SELECT {', '.join(f'EXISTS (SELECT 1 FROM {_quoted(table)})' for table in tables)}")
        filled = [table for table, found in zip(tables, cursor.fetchone(), strict=True) if found]
    guarded = not {*guards.TABLES, guards.OUTBOX}.isdisjoint(filled)
    if guarded:
        guards.remove()
    with transaction.atomic(), connection.cursor() as cursor:
        for table in filled:
            cursor.execute(f"DELETE FROM {_quoted(table)}")
        if connection.vendor == "sqlite" and "memory_memory" in filled:
            cursor.execute(f"INSERT INTO {INDEX} ({INDEX}) VALUES ('delete-all')")
    if guarded or guards.missing():
        guards.install()


def _quoted(table: str) -> str:
    return str(connection.ops.quote_name(table))


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file that every migration went through, to be copied; the first worker that asks makes it for all."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    file, half = folder / "migrated.sqlite3", folder / "half.sqlite3"
    environment = {"DATABASE_URL": f"sqlite:///{half}", "SELF_HEAL_HOME": str(folder / "migrated")}
    with (folder / "migrated.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not file.exists():
            command = [sys.executable, "-m", "django", "migrate", "--verbosity", "0"]
            subprocess.run(command, env=os.environ | {"DJANGO_SETTINGS_MODULE": "config.settings"} | environment, check=True)
            half.rename(file)
    return file


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    request: pytest.FixtureRequest, django_db_modify_db_settings_parallel_suffix: None
) -> Iterator[None]:
    """Workers of the tests begin with a copy of the database that one of them has migrated."""
    if connection.vendor != "sqlite" or "PYTEST_XDIST_WORKER" not in os.environ:
        yield
        return
    name = connection.creation._get_test_db_name()
    with (
        closing(sqlite3.connect(name, uri=True)) as memory,
        closing(sqlite3.connect(request.getfixturevalue("migrated"))) as file,
    ):
        file.backup(memory)
        yield


@pytest.fixture(autouse=True)
def _nothing_governed_changes_without_an_entry(request: pytest.FixtureRequest) -> Iterator[None]:
    if not {"db", "transactional_db"} & set(request.fixturenames) and request.node.get_closest_marker("django_db") is None:
        yield
        return
    request.getfixturevalue("_django_db_helper")
    with unlogged.watched() as watch:
        yield
    assert watch.unlogged() == [], "changed without an entry in the log (tests/unlogged.py)"


@pytest.fixture
def real_database(transactional_db: None, tmp_path: Path) -> Iterator[None]:
    """SQLite's test database is in memory, where connections lock each other in another way: a file, as in production."""
    if connection.vendor != "sqlite" or not connection.is_in_memory_db():
        yield
        return
    connection.ensure_connection()
    in_memory, name = connection.connection, connection.settings_dict["NAME"]
    with closing(sqlite3.connect(tmp_path / "test.sqlite3")) as file:
        in_memory.backup(file)
    connection.connection, connection.settings_dict["NAME"] = None, tmp_path / "test.sqlite3"
    yield
    connection.close()
    connection.connection, connection.settings_dict["NAME"] = in_memory, name
