"""Migrations go back to the first of each app and forward again, and leave what they left before: on a database of their own."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.installation import Installation

ROOT = Path(__file__).resolve().parents[2]
APPS = ("metafocus", "learning", "healing")  # who is above comes first
SQLITE = {
    "columns": 'SELECT t.name, c.name, c.type, c."notnull" FROM sqlite_master t, pragma_table_info(t.name) c'
    " WHERE t.type = 'table'",
    "indexes and triggers": "SELECT type, name, sql FROM sqlite_master WHERE type IN ('index', 'trigger')",
}
POSTGRES = {
    "columns": "SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns"
    " WHERE table_schema = 'public'",
    "indexes": "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
    "constraints": "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
    " WHERE connamespace = 'public'::regnamespace",
    "triggers": "SELECT tgrelid::regclass::text, tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
}


def manage(house: Installation, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments], cwd=ROOT, env=house.environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(arguments)}: {done.stdout}{done.stderr}"
    return done.stdout


def schema(house: Installation) -> dict[str, list[str]]:
    url = house.environment().get("DATABASE_URL", "")
    if url:
        import psycopg

        with psycopg.connect(url) as connection:
            return {part: sorted(map(str, connection.execute(query))) for part, query in POSTGRES.items()}
    (file,) = house.home.glob("*.sqlite3")
    with sqlite3.connect(file) as connection:
        return {part: sorted(map(str, connection.execute(query))) for part, query in SQLITE.items()}


def migrations(app: str) -> list[str]:
    return sorted(path.stem for path in (ROOT / app / "migrations").glob("0*.py"))


@pytest.mark.soak
@pytest.mark.parametrize("app", [app for app in APPS if migrations(app)])
def test_each_migration_goes_back_and_forward_again_to_the_same_schema(app: str, tmp_path: Path) -> None:
    with Installation(tmp_path) as house:
        manage(house, "migrate", "--verbosity", "0")
        before = schema(house)
        for name in reversed(migrations(app)[:-1]):
            manage(house, "migrate", "--verbosity", "0", app, name)
        manage(house, "migrate", "--verbosity", "0")
        assert schema(house) == before


@pytest.mark.soak
def test_no_model_has_changed_without_a_migration(tmp_path: Path) -> None:
    with Installation(tmp_path) as house:
        assert "No changes detected" in manage(house, "makemigrations", "--check", "--dry-run")
