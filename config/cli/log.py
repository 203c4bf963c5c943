"""`selfheal log`: what the log says of itself. It acts on the database itself, with the server down too."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from config.cli import log_keys, log_outside
from config.cli.base import Json, print_done, print_facts, print_json, print_table, ready

if TYPE_CHECKING:
    from healing.ledger.replay import Replayed
    from selfheal.verify import Report

NAMED = "named"  # alias of the database that --database names

app = typer.Typer()
app.command()(log_outside.push)
app.command()(log_outside.status)
app.command()(log_keys.rotate)
app.command()(log_keys.revoke)
app.command()(log_keys.attest)

Database = Annotated[str, typer.Option(help="another database: a SQLite file, or a postgres:// address")]


@app.command()
def verify(
    directory: Annotated[
        Path | None,
        typer.Argument(help="an export: checked as it stands there, without a home or a database", show_default=False),
    ] = None,
    database: Database = "",
    kept: Annotated[
        str,
        typer.Option(
            "--kept",
            "--checkpoint",
            help="tree heads kept elsewhere (a file, a directory, http(s)://, git+…): this log must have them",
        ),
    ] = "",
    heads_only: Annotated[bool, typer.Option("--heads-only", help="skip each entry's own signature: faster")] = False,
    full: Annotated[bool, typer.Option("--full", help="look at everything, also at what was verified here before")] = False,
    as_json: Annotated[bool, Json] = False,
) -> None:
    """Check every entry, tile and signed head. Status 1 if anything is wrong, with the entry that is."""
    if directory is not None:
        if database or kept or heads_only:
            raise typer.BadParameter("an export is checked whole and by itself", param_hint="DIRECTORY")
        _verify_export(directory, as_json)
    ready()
    from healing.ledger import seals
    from healing.ledger.verify import verify_database

    using, known = _open(database), frozenset() if full else seals.known()
    with _progress(shown=not as_json) as progress:
        report = verify_database(progress, using=using, signatures=not heads_only, known=known, processes=os.cpu_count() or 1)
    if not database and not heads_only:
        seals.remember(report.seals)
    seen = log_outside.witnesses(report, using)
    if kept:
        log_outside.compare(report, kept, using)
    if as_json:
        print_json(_document(report, seen))
    else:
        _print(report, seen)
    raise typer.Exit(0 if report.ok else 1)


def _verify_export(directory: Path, as_json: bool) -> NoReturn:
    from selfheal.exported import verify_export

    with _progress(shown=not as_json) as progress:
        report = verify_export(directory, progress, processes=os.cpu_count() or 1)
    if as_json:
        print_json(_document(report, []))
    else:
        _print(report, [])
    raise typer.Exit(0 if report.ok else 1)


@app.command()
def prove(
    index: Annotated[int, typer.Argument(min=0, help="of the entry")],
    database: Database = "",
    as_json: Annotated[bool, Json] = False,
) -> None:
    """Print the proof that an entry is in the log (C2SP tlog-proof): what a .tlog-proof file holds."""
    ready()
    from healing.ledger.selectors import proof_text

    proof = proof_text(index, _open(database))
    if as_json:
        print_json({"index": index, "proof": proof})
    else:
        print(proof, end="")


@app.command()
def export(directory: Path, database: Database = "", as_json: Annotated[bool, Json] = False) -> None:
    """Write the log into an empty directory; `python -m selfheal verify DIRECTORY` checks it anywhere."""
    ready()
    from healing.ledger.export import export as write

    size = write(directory, _open(database))
    line = f"{size:,} entries in {directory}; check them with: python -m selfheal verify {directory}"
    print_done({"size": size, "directory": directory}, line, as_json)


@app.command()
def keep(directory: Path, database: Database = "", as_json: Annotated[bool, Json] = False) -> None:
    """Add the last signed head to a directory elsewhere. Status 1 if the log does not go on from the last one there."""
    ready()
    from healing.ledger.kept import keep as add

    size = add(directory, _open(database))
    line = f"the log goes on from what {directory} has; its head of {size:,} entries is kept there"
    print_done({"size": size, "directory": directory}, line, as_json)


@app.command()
def replay(
    run: Annotated[uuid.UUID, typer.Argument(metavar="ID", help="of a run, or of a cycle of the meta loop")],
    database: Database = "",
    as_json: Annotated[bool, Json] = False,
) -> None:
    """Tell a run or a cycle from its entries alone and hold that against the tables. Status 1 if they say different things."""
    ready()
    from healing.ledger.replay import entries_of, replay_run
    from metafocus.replaying import entry_of

    using = _open(database)
    if not entries_of(run, using) and entry_of(run, None, using):
        _replay_cycle(run, using, as_json)
    found = replay_run(run, using)
    if as_json:
        print_json(_replayed(found))
    else:
        _print_story(found)
    raise typer.Exit(0 if found.agrees else 1)


def _replay_cycle(cycle: uuid.UUID, using: str, as_json: bool) -> NoReturn:
    from metafocus.replaying import replay_cycle

    found = replay_cycle(cycle, using)
    said = found.leaf["payload"]
    if as_json:
        print_json(found.document())
    else:
        names = ("number", "focus_area", "confidence", "guardrail_adjustment")
        print_facts([("entry", found.index), ("at", found.leaf["at"]), *((n.replace("_", " "), said.get(n)) for n in names)])
        print()
        for line in (*said.get("reasoning", ()), *(f"✗ {wrong}" for wrong in (*found.faults, *map(str, found.differences)))):
            print(line)
        kept = "" if found.kept else " (its row is not kept any more: it was decided again from its entry)"
        print(f"✓ the log and the tables agree{kept}" if found.agrees else "✗ the log and the tables do not agree")
    raise typer.Exit(0 if found.agrees else 1)


def _replayed(found: Replayed) -> dict[str, Any]:
    from selfheal.replay import as_document

    different = [{"where": d.where, "field": d.field, "log": d.log, "table": d.table} for d in found.differences]
    return {"agrees": found.agrees, **as_document(found.story), "differences": different}


def _print_story(found: Replayed) -> None:
    run = found.story.run
    names = (
        "playbook",
        "version",
        "service",
        "target",
        "digest",
        "verdict",
        "status",
        "outcome",
        "abort_reason",
        "reason",
        "held",
    )
    print_facts((name.replace("_", " "), run.get(name)) for name in names)
    print()
    rows = [
        ["–" if line.index is None else line.index, line.at, line.actor, line.action, f"{line.what} {line.reason}".strip()]
        for line in found.story.lines
    ]
    print_table(["entry", "at", "by", "what", "why"], rows, "")
    print()
    for wrong in (*found.story.faults, *map(str, found.differences)):
        print(f"✗ {wrong}")
    print("✓ the log and the tables agree" if found.agrees else "✗ the log and the tables do not agree")


def _open(database: str) -> str:
    """The alias of a database: the configured one, or the one that is named, opened for reading. Exits with 2 if it is none."""
    from django.db import DEFAULT_DB_ALIAS, connections

    if not database:
        return DEFAULT_DB_ALIAS
    connections.settings[NAMED] = connections.configure_settings({DEFAULT_DB_ALIAS: {}, NAMED: _settings_of(database)})[NAMED]
    return NAMED


def _settings_of(database: str) -> dict[str, Any]:
    if database.startswith(("postgres://", "postgresql://")):
        import environ

        return dict(environ.Env.db_url_config(database))
    path = Path(database.removeprefix("sqlite://")).absolute()
    if not path.is_file():
        raise typer.BadParameter(f"there is no file {path}", param_hint="--database")
    return {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{path.as_uri()}?mode=ro", "OPTIONS": {"uri": True}}


@contextmanager
def _progress(shown: bool) -> Iterator[Callable[[int], None]]:
    from rich.console import Console

    console = Console(stderr=True, quiet=not shown)
    if not console.is_terminal:
        yield lambda size: None
        return
    with console.status("verifying") as status:
        yield lambda size: status.update(f"verifying: {size:,} entries")


def _print(report: Report, seen: Sequence[tuple[str, int, Any]]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    for failure in report.failures:
        console.print(Text("✗ ", "bold red"), Text(str(failure)), sep="")
    if report.count > len(report.failures):
        console.print(Text(f"✗ and {report.count - len(report.failures):,} more", "bold red"))
    before = f" ({report.known:,} as verified before)" if report.known else ""
    what = f"{report.size:,} entries{before}, {report.heads:,} signed heads"
    for name, size, at in seen:
        said = (
            f"{name} has signed for the head of {size:,} entries ({at:%Y-%m-%d %H:%M:%S} UTC)"
            if size
            else f"{name} has signed for none"
        )
        console.print(Text("  "), Text(said), sep="")
    if report.ok:
        console.print(Text("✓ ", "bold green"), Text(f"the log is whole: {what}, root {report.root.hex()[:16]}…"), sep="")
    else:
        console.print(
            Text("✗ ", "bold red"), Text(f"the log was tampered with or damaged: {report.count:,} failures in {what}"), sep=""
        )


def _document(report: Report, seen: Sequence[tuple[str, int, Any]]) -> dict:
    failures = [{"kind": f.kind, "index": f.index, "message": f.message} for f in report.failures]
    found = {"ok": report.ok, "size": report.size, "known": report.known, "heads": report.heads, "root": report.root.hex()}
    witnesses = [{"witness": name, "size": size, "at": at} for name, size, at in seen]
    return {**found, "failures": failures, "failure_count": report.count, "witnesses": witnesses}
