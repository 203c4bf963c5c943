"""A backup is made, and put into an empty home and database: on SQLite and, where it is named, on PostgreSQL."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from config import backup
from config.cli import run
from healing import ledger
from healing.ledger import guards, keys
from healing.ledger.sequencer import sequence_once
from healing.models import Incident, LedgerEntry
from selfheal.errors import Conflict, Invalid, SelfhealError
from tests.factories import make_incident

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def home(settings: Any, tmp_path: Path) -> Path:
    """An installation with an incident and a log."""
    _live_in(settings, tmp_path / "home")
    (tmp_path / "home" / "secret.key").write_text("secret")
    settings.SELF_HEAL_LOG_ORIGIN = ""
    make_incident(title="the one that was")
    with transaction.atomic():
        for number in range(5):
            ledger.append(actor="a", action="test.written", resource=f"thing:{number}", at=timezone.now())
    signer = keys.load()
    while sequence_once(signer, timezone.now()):
        pass
    return tmp_path / "home"


def _live_in(settings: Any, home: Path) -> None:
    home.mkdir(mode=0o700, exist_ok=True)
    settings.SELF_HEAL_HOME, settings.SELF_HEAL_SIGNING_KEY_FILE = home, home / "signing.key"


@pytest.fixture
def empty(settings: Any, tmp_path: Path) -> Iterator[Callable[[], Path]]:
    """Go on in an empty home with an empty database; back again at the end."""
    kept = connection.connection, connection.settings_dict["NAME"]
    postgres = connection.vendor == "postgresql"
    name = f"selfheal_restored_{os.getpid()}" if postgres else str(tmp_path / "empty" / "selfheal.sqlite3")

    def go() -> Path:
        _live_in(settings, tmp_path / "empty")
        if postgres:
            _sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            _sql(f"CREATE DATABASE {name}")
            connection.close()
        connection.connection, connection.settings_dict["NAME"] = None, name
        return tmp_path / "empty"

    yield go
    if connection.settings_dict["NAME"] == name:
        connection.close()
        connection.connection, connection.settings_dict["NAME"] = None if postgres else kept[0], kept[1]
    if postgres:
        _sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def _sql(statement: str) -> None:
    import psycopg

    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as administrator:
        administrator.execute(statement)


def test_what_was_backed_up_is_there_again_with_its_log(home: Path, empty: Any, tmp_path: Path, capsys: Any) -> None:
    file = tmp_path / "backup.tar"
    assert run(["backup", str(file), "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["files"].keys() == {"database", "signing.key", "secret.key"}
    assert file.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".")] == []
    new = empty()
    assert run(["restore", str(file), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["ok"], found["size"], found["entries"]) == (True, 6, 6)
    assert not guards.missing()
    assert Incident.objects.get().title == "the one that was"
    assert {path.name: path.stat().st_mode & 0o777 for path in new.glob("*.key")} == {"signing.key": 0o600, "secret.key": 0o600}
    assert (new / "signing.key").read_bytes() == (home / "signing.key").read_bytes()
    with transaction.atomic():
        ledger.append(actor="a", action="test.written", resource="after", at=timezone.now())
    assert sequence_once(keys.load(), timezone.now()) == 1
    assert LedgerEntry.objects.count() == 7
    assert run(["restore", str(file)]) == 1
    assert "is not empty, and nothing is restored over another" in capsys.readouterr().err


def test_a_file_that_is_there_is_not_written_over(home: Path, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "backup.tar").write_text("mine")
    assert run(["backup", str(tmp_path / "backup.tar")]) == 1
    assert "is there already, and nothing is written over" in capsys.readouterr().err
    assert (tmp_path / "backup.tar").read_text() == "mine"
    assert run(["backup", str(tmp_path / "none" / "backup.tar")]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_a_key_that_changes_meanwhile_makes_no_backup(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = backup._copy_database

    def slowly(target: Path) -> None:
        copy(target)
        (home / "signing.key.next").write_text("the key that waits")

    monkeypatch.setattr(backup, "_copy_database", slowly)
    with pytest.raises(Conflict, match="has changed meanwhile"):
        backup.backup(tmp_path / "backup.tar", timezone.now())
    assert [each.name for each in tmp_path.iterdir()] == ["home"]
    monkeypatch.undo()
    assert "signing.key.next" in backup.backup(tmp_path / "backup.tar", timezone.now()).files


def _changed(file: Path, change: Callable[[str, bytes], bytes | None]) -> Path:
    """The backup with every part as `change` has it; None leaves it out."""
    other = file.with_name("changed.tar")
    with tarfile.open(file) as old, tarfile.open(other, "w") as new:
        for member in old:
            content = change(member.name, old.extractfile(member).read())  # type: ignore[union-attr]
            if content is not None:
                made = tarfile.TarInfo(member.name)
                made.size = len(content)
                new.addfile(made, io.BytesIO(content))
    return other


def _manifest(**changes: Any) -> Callable[[str, bytes], bytes | None]:
    return lambda name, content: json.dumps(json.loads(content) | changes).encode() if name == "manifest.json" else content


def _without(part: str) -> Callable[[str, bytes], bytes | None]:
    return lambda name, content: None if name == part else content


BROKEN: list[tuple[Callable[[str, bytes], bytes | None], str]] = [
    (lambda name, content: content + b"x" if name == "database" else content, "database is not what the manifest says"),
    (_without("signing.key"), "signing.key cannot be read"),
    (_without("manifest.json"), "it has no manifest that can be read"),
    (_manifest(format=2), "a backup of another form"),
    (_manifest(files={"database": "", "../../etc/passwd": ""}), "a backup of another form"),
    (_manifest(vendor="oracle"), "it is a backup of oracle"),
    (_manifest(migrations=["healing.9999_later"]), "a newer release made it (healing.9999_later)"),
]


def test_what_is_no_whole_backup_of_ours_is_refused_and_nothing_is_put(home: Path, empty: Any, tmp_path: Path) -> None:
    file = tmp_path / "backup.tar"
    backup.backup(file, timezone.now())
    (tmp_path / "text").write_text("no archive")
    new = empty()
    for change, says in BROKEN:
        with pytest.raises(Invalid) as raised:
            backup.restore(_changed(file, change))
        assert says in str(raised.value)
    with pytest.raises(Invalid, match="is no backup"):
        backup.restore(tmp_path / "text")
    (new / "signing.key").write_text("of another log")
    with pytest.raises(SelfhealError, match="is the key of another log"):
        backup.restore(file)
    assert [path.name for path in new.iterdir()] == ["signing.key"]
