"""A backup is one file: the database as it was at one instant, and the keys without which it is not the same installation.

    selfheal-backup.tar     manifest.json   what it is, and the SHA-256 of each of the others
                            database        SQLite's file, or what pg_dump writes (format custom)
                            signing.key     of the log; and the one that is to succeed it, where one waits
                            secret.key      of sessions and signed links, where it stands in the home
                            STOP            the kill switch's file, where it is there

Rules that this module keeps:
1. It may be made while everything runs: the copy is one of a single snapshot, and nobody waits for it.
2. Only its owner can read it, from its first byte on: it has the keys. Nothing is written over, and half a backup has no name.
3. Nothing is restored over something: the database has to be empty, and a key that is there has to be the same.
4. Nothing is put in its place before every part is what its manifest says, and this release knows every migration in it.

The queue is not in it: what is in it can be made from the database, and the workers do.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import tarfile
import tempfile
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from healing.ledger import selectors
from selfheal.errors import Conflict, Invalid, SelfhealError

FORMAT = 1
MANIFEST, DATABASE = "manifest.json", "database"
MANIFEST_BYTES = 1024 * 1024
TOOL_SECONDS = 3600


@dataclass(frozen=True)
class Manifest:
    """`entries`: of the log, at least; `files`: the SHA-256 of each, by name."""

    format: int
    made_at: str
    vendor: str
    entries: int
    migrations: list[str]
    files: dict[str, str]


def backup(path: Path, at: datetime) -> Manifest:
    """Write it to `path`. Raises Conflict if something is there, SelfhealError if the database cannot be copied."""
    if path.exists():
        raise Conflict(f"{path} is there already, and nothing is written over: name another file")
    entries = selectors.size()
    with tempfile.TemporaryDirectory(dir=path.absolute().parent, prefix=".selfheal-") as folder:
        keys, copy, part = _contents(), Path(folder) / DATABASE, Path(folder) / "part"
        _copy_database(copy)
        if _contents() != keys:
            raise Conflict("a key or the file STOP has changed meanwhile, and would not be that of this copy: try again")
        files = {DATABASE: copy, **{name: _written(Path(folder) / name, content) for name, content in keys.items()}}
        sums = {name: _sum(file) for name, file in files.items()}
        manifest = Manifest(FORMAT, at.isoformat(), connection.vendor, entries, _applied(), sums)
        (Path(folder) / MANIFEST).write_text(json.dumps(asdict(manifest), indent=2))
        with tarfile.open(part, "w") as archive:
            for name, file in {MANIFEST: Path(folder) / MANIFEST, **files}.items():
                archive.add(file, name, recursive=False)
        part.chmod(0o600)
        try:
            os.link(part, path)  # unlike a rename, it fails if somebody else was faster
        except FileExistsError:
            raise Conflict(f"{path} is there by now, and nothing is written over: name another file") from None
    return manifest


def restore(path: Path) -> Manifest:
    """Put what is in a backup into the home and the database. Raises Invalid for what is none, Conflict where something is."""
    home = settings.SELF_HEAL_HOME
    with _opened(path) as archive:
        manifest = _manifest(archive)
        _check_release(manifest)
        _check_free()
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home, prefix=".restore-") as folder:
            files = {name: _unpacked(archive, name, digest, Path(folder)) for name, digest in manifest.files.items()}
            _check_keys(files)
            database = files.pop(DATABASE)
            for name, file in files.items():
                _kept()[name].parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                shutil.move(file, _kept()[name])
            _put_database(database)  # the last, so that it can be tried again
    return manifest


def _kept() -> dict[str, Path]:
    """What is in a backup beside the database, by its name in there."""
    home, key = settings.SELF_HEAL_HOME, settings.SELF_HEAL_SIGNING_KEY_FILE
    return {
        "signing.key": key,
        "signing.key.next": key.with_name(f"{key.name}.next"),
        "secret.key": home / "secret.key",
        "STOP": home / "STOP",
    }


def _contents() -> dict[str, bytes]:
    return {name: file.read_bytes() for name, file in _kept().items() if file.exists()}


def _written(path: Path, content: bytes) -> Path:
    path.touch(mode=0o600)
    path.write_bytes(content)
    return path


def _applied() -> list[str]:
    return sorted(".".join(key) for key in MigrationRecorder(connection).applied_migrations())


# ---- what is checked before anything is put in its place


def _opened(path: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(path, "r:")
    except (tarfile.TarError, OSError) as error:
        raise Invalid(f"{path} is no backup: {error}") from None


def _manifest(archive: tarfile.TarFile) -> Manifest:
    try:
        member = archive.getmember(MANIFEST)
        stream = archive.extractfile(member) if member.isfile() and member.size <= MANIFEST_BYTES else None
        found = Manifest(**json.loads(stream.read() if stream else b""))
    except (KeyError, ValueError, TypeError, tarfile.TarError) as error:
        raise Invalid(f"{_name(archive)} is no backup of selfheal: it has no manifest that can be read ({error})") from None
    if found.format != FORMAT or DATABASE not in found.files or not found.files.keys() <= {DATABASE, *_kept()}:
        raise Invalid(f"{_name(archive)} is a backup of another form; restore it with the release that made it")
    return found


def _check_release(manifest: Manifest) -> None:
    if manifest.vendor != connection.vendor:
        raise Invalid(f"it is a backup of {manifest.vendor}, and DATABASE_URL names {connection.vendor}: name one like it")
    known = {".".join(key) for key in MigrationLoader(None).disk_migrations}
    newer = [name for name in manifest.migrations if name not in known]
    if newer:
        raise Invalid(f"a newer release made it ({', '.join(newer[:3])}): restore it with that release or a later one")


def _check_free() -> None:
    if connection.vendor == "postgresql":
        taken = bool(connection.introspection.table_names())
        connection.close()
    else:
        file = _sqlite_file()
        taken = any(each.exists() and each.stat().st_size for each in (file, file.with_name(f"{file.name}-wal")))
    if taken:
        name = connection.settings_dict["NAME"]
        raise Conflict(f"the database {name} is not empty, and nothing is restored over another: move it away, or name a new one")


def _check_keys(files: dict[str, Path]) -> None:
    there, given = settings.SELF_HEAL_SIGNING_KEY_FILE, files.get("signing.key")
    if there.exists() and given and there.read_bytes() != given.read_bytes():
        raise Conflict(f"{there} is the key of another log: move it away, or set SELF_HEAL_SIGNING_KEY_FILE")


def _unpacked(archive: tarfile.TarFile, name: str, digest: str, folder: Path) -> Path:
    """One file of the backup. Raises Invalid unless it is what the manifest says."""
    target = folder / name
    try:
        member = archive.getmember(name)
        stream = archive.extractfile(member) if member.isfile() else None
        with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            if stream:
                shutil.copyfileobj(stream, file)
    except (KeyError, tarfile.TarError) as error:
        raise Invalid(f"{_name(archive)} is damaged: {name} cannot be read ({error})") from None
    if _sum(target) != digest:
        raise Invalid(f"{_name(archive)} is damaged: {name} is not what the manifest says")
    return target


def _name(archive: tarfile.TarFile) -> str:
    return os.fsdecode(archive.name or "")


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# ---- the database


def _copy_database(target: Path) -> None:
    if connection.vendor == "postgresql":
        _tool("pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--file={target}")
        return
    connection.ensure_connection()
    with closing(sqlite3.connect(target)) as copy:
        connection.connection.backup(copy)
    target.chmod(0o600)


def _put_database(source: Path) -> None:
    if connection.vendor == "postgresql":
        name = f"--dbname={connection.settings_dict['NAME']}"
        _tool("pg_restore", "--exit-on-error", "--single-transaction", "--no-owner", "--no-privileges", name, str(source))
        return
    connection.close()
    file = _sqlite_file()
    for left in ("-wal", "-shm"):
        with suppress(FileNotFoundError):
            file.with_name(f"{file.name}{left}").unlink()
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    shutil.move(source, file)


def _sqlite_file() -> Path:
    return Path(str(connection.settings_dict["NAME"]))


def _tool(*argv: str) -> None:
    """One of PostgreSQL's programs, told by its environment where the database is: arguments can be read by everybody."""
    try:
        done = subprocess.run(
            argv, env=os.environ | _address(), stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            timeout=TOOL_SECONDS, check=False,
        )  # fmt: skip
    except FileNotFoundError:
        raise SelfhealError(f"{argv[0]} is not installed: it comes with PostgreSQL's client programs") from None
    except subprocess.TimeoutExpired:
        raise SelfhealError(f"{argv[0]} did not end within {TOOL_SECONDS} s") from None
    if done.returncode:
        raise SelfhealError(f"{argv[0]} failed: {' '.join(done.stderr.split())[:500]}")


def _address() -> dict[str, str]:
    known: dict[str, Any] = connection.settings_dict
    given = {
        "PGHOST": known["HOST"],
        "PGPORT": known["PORT"],
        "PGUSER": known["USER"],
        "PGPASSWORD": known["PASSWORD"],
        "PGDATABASE": known["NAME"],
        "PGSSLMODE": known.get("OPTIONS", {}).get("sslmode"),
    }
    return {name: str(value) for name, value in given.items() if value}
