"""`backup` and `restore`: the database and the keys, in one file."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from config.cli.base import Failed, Json, fail, now, print_json, ready

if TYPE_CHECKING:
    from config.backup import Manifest

File = Annotated[Path, typer.Argument(metavar="FILE", help="like /backups/selfheal-2026-11-25.tar")]


def backup(file: File, as_json: Annotated[bool, Json] = False) -> None:
    """Write database and keys into one new file that only you can read. Everything may go on running meanwhile."""
    ready()
    from config.backup import backup as write

    made = _done(write, file, now())
    if as_json:
        print_json({"file": str(file), **asdict(made)})
        return
    print(f"{file}: {', '.join(made.files)}; {made.entries:,} entries of the log")
    print("it has the signing key: keep it as you keep that; `selfheal restore` puts it back")


def restore(file: File, as_json: Annotated[bool, Json] = False) -> None:
    """Put a backup into an empty home and database, then verify the log in it. Status 1 if that is not whole."""
    ready()
    from config.backup import restore as put
    from healing.ledger.verify import verify_database

    manifest = _done(put, file)
    report = verify_database(processes=os.cpu_count() or 1)
    if as_json:
        print_json({**asdict(manifest), "ok": report.ok, "size": report.size})
    else:
        print(f"restored what was there at {manifest.made_at}; the log has {report.size:,} entries")
        print("start with `selfheal up` (or `selfheal migrate` and each process): nothing that waited too long is started")
    if not report.ok:
        raise Failed(f"the log in it is not whole: {report.failures[0]}")
    if report.size < manifest.entries:
        raise Failed(f"the log in it has {report.size:,} entries, and its manifest says {manifest.entries:,}")


def _done(call: Any, *arguments: Any) -> Manifest:
    """What `call` returns; an error of the file system is a line."""
    try:
        made: Manifest = call(*arguments)
    except OSError as error:
        fail(f"{error.filename or arguments[0]}: {error.strerror or error}")
    return made
