"""An upgrade stops nothing: old code goes on while the database is migrated, and after it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from django.db import OperationalError, migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.migration import Migration
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from config import up
from tests.installation import Installation
from tests.upgrading import SAYS, breaks

ROOT = Path(__file__).resolve().parents[2]
# Who upgrades from here on is promised that nothing has to stop. Before, nothing was released.
BASE = {"healing": "0009_asking_and_domains", "learning": "0002_whose_run", "memory": "0002_full_text", "metafocus": ""}


def manage(house: Installation, *arguments: str) -> None:
    command = [sys.executable, "manage.py", *arguments, "--verbosity", "0"]
    done = subprocess.run(command, cwd=ROOT, env=house.environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_old_code_survives_every_migration_since_the_base() -> None:
    loader = MigrationLoader(None)
    found, made = [], set()
    for node in sorted(loader.graph.nodes):
        app, name = node
        if app in BASE and name > BASE[app]:
            found += breaks(loader.graph.nodes[node], loader.project_state(node, at_end=False), made)
    assert not found, "\n".join(found)


# ---- what the check finds


def migrated(*operations: Operation, **more: Any) -> list[str]:
    """What it says of a migration with these operations, of an app with the model `Thing(name, size)`."""
    state = ProjectState()
    first = migrations.CreateModel(
        "Thing",
        [
            ("id", models.BigAutoField(primary_key=True)),
            ("name", models.CharField(max_length=10, null=True)),
            ("size", models.IntegerField(default=0)),
        ],
    )
    first.state_forwards("shop", state)
    kind = type("Migration", (Migration,), {"operations": list(operations), **more})
    return breaks(kind("0002_next", "shop"), state, set())


SURVIVED = {
    "a table": migrations.CreateModel("Other", [("id", models.BigAutoField(primary_key=True))]),
    "a column that may be empty": migrations.AddField("thing", "colour", models.CharField(max_length=9, null=True)),
    "a column that the database fills": migrations.AddField("thing", "colour", models.CharField(max_length=9, db_default="")),
    "an index": migrations.AddIndex("thing", models.Index(fields=["size"], name="by_size")),
    "a longer text": migrations.AlterField("thing", "name", models.CharField(max_length=20, null=True)),
    "words of help": migrations.AlterField("thing", "size", models.IntegerField(default=0, help_text="in bytes")),
}
NOT_SURVIVED = {
    "a column that is gone": (migrations.RemoveField("thing", "name"), "names what is gone"),
    "another name of a column": (migrations.RenameField("thing", "name", "title"), "names what is gone"),
    "another name of a table": (migrations.RenameModel("Thing", "Item"), "names what is gone"),
    "a table that is gone": (migrations.DeleteModel("Thing"), "names what is gone"),
    "a table elsewhere": (migrations.AlterModelTable("thing", "things"), "names what is gone"),
    "a column that only Python fills": (
        migrations.AddField("thing", "colour", models.CharField(max_length=9, default="")),
        "null=True or db_default",
    ),
    "no NULL any more": (migrations.AlterField("thing", "name", models.CharField(max_length=10)), "may write NULL"),
    "a shorter text": (migrations.AlterField("thing", "name", models.CharField(max_length=5, null=True)), "does not fit"),
    "another type": (migrations.AlterField("thing", "size", models.TextField()), "does not fit"),
    "once only": (
        migrations.AddConstraint("thing", models.UniqueConstraint(fields=["name"], name="once")),
        "may write what it refuses",
    ),
    "code": (migrations.RunPython(migrations.RunPython.noop), "nobody can see"),
}


@pytest.mark.parametrize("what", SURVIVED)
def test_what_old_code_survives_is_let_through(what: str) -> None:
    assert migrated(SURVIVED[what]) == []


@pytest.mark.parametrize("what", NOT_SURVIVED)
def test_what_old_code_does_not_survive_is_found(what: str) -> None:
    operation, says = NOT_SURVIVED[what]
    assert [says in line for line in migrated(operation)] == [True]


def test_a_table_that_old_code_does_not_know_may_be_changed_at_will() -> None:
    name = migrations.AddField("other", "name", models.CharField(max_length=9, default=""))
    assert migrated(SURVIVED["a table"], name) == []


def test_code_that_says_why_old_code_survives_it_is_let_through() -> None:
    assert migrated(migrations.RunPython(migrations.RunPython.noop), **{SAYS: "it fills a column that old code ignores"}) == []


# ---- who gives way


class Locked:
    """A change that gets no lock so many times."""

    def __init__(self, times: int, sqlstate: str) -> None:
        self.times, self.sqlstate, self.tried = times, sqlstate, 0

    def __call__(self) -> None:
        self.tried += 1
        if self.tried <= self.times:
            raise OperationalError("locked") from type("Cause", (Exception,), {"sqlstate": self.sqlstate})()


class Engine:
    """A connection to PostgreSQL as far as `give_way` needs one."""

    vendor = "postgresql"

    def __init__(self) -> None:
        self.cursor, self.close = MagicMock(), MagicMock()


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(up, "AGAIN_SECONDS", 0.0)


def test_a_migration_that_gets_no_lock_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(up, "connection", Engine())
    change = Locked(2, "55P03")
    up.give_way(change)
    assert change.tried == 3


@pytest.mark.parametrize(("change", "tried"), [(Locked(1, "53100"), 1), (Locked(1000, "40P01"), up.TRIES)])
def test_another_error_and_the_last_try_are_raised(monkeypatch: pytest.MonkeyPatch, change: Locked, tried: int) -> None:
    monkeypatch.setattr(up, "connection", Engine())
    with pytest.raises(OperationalError):
        up.give_way(change)
    assert change.tried == tried


# ---- in earnest


@pytest.mark.soak
def test_a_process_of_the_base_goes_on_while_the_database_is_migrated(tmp_path: Path) -> None:
    with Installation(tmp_path) as house:
        for app, name in BASE.items():
            if name:
                manage(house, "migrate", app, name)
        environment = house.environment() | {"DJANGO_SETTINGS_MODULE": "config.settings"}
        old = subprocess.Popen(
            [sys.executable, "-m", "tests.old_code"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert old.stdout
        begun = old.stdout.readline()
        done = house.run("migrate")
        assert done.returncode == 0, done.stdout + done.stderr
        out, err = old.communicate(timeout=60)
    assert (begun, old.returncode) == ("ready\n", 0), err
    told = SimpleNamespace(**json.loads(out.splitlines()[-1]))
    assert told.tables > 30
    assert told.rounds > 0
