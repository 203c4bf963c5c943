"""`selfheal database`: who may do what to the tables. It acts on the database itself, as the role that owns them."""

from __future__ import annotations

from typing import Annotated

import typer

from config.cli.base import Json, print_done, ready

app = typer.Typer()


@app.callback()
def database() -> None:
    """Who may do what to the tables."""


@app.command()
def grants(
    role: Annotated[str, typer.Argument(help="that web, workers, beat and sequencer use; it owns no table")],
    apply: Annotated[bool, typer.Option("--apply", help="run them, as the role of DATABASE_URL, which owns the tables")] = False,
    as_json: Annotated[bool, Json] = False,
) -> None:
    """Print the SQL that lets a role add to the log and read it, and do to everything else what it must; --apply runs it."""
    ready()
    from healing.ledger import grants as made

    if apply:
        made.apply(role)
    line = f"{role} may add to the log and read it, and change or delete nothing of it"
    statements = made.statements(role)
    print_done({"role": role, "applied": apply, "sql": statements}, line if apply else ";\n".join(statements) + ";", as_json)
