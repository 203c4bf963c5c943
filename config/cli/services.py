"""Services, on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from config.cli.base import Json, print_json, print_table, ready
from config.cli.playbooks import User, run_sync

app = typer.Typer()


@app.command(name="list")
def list_(as_json: Annotated[bool, Json] = False) -> None:
    """List the active services."""
    ready()
    from healing.catalog import service_document
    from healing.models import Service

    rows = Service.objects.filter(active=True).prefetch_related("depends_on", "targets")
    if as_json:
        print_json([service_document(row) for row in rows])
        return
    cells = [
        [row.name, row.mode, row.tier, len(row.targets.all()), [other.name for other in row.depends_on.all()], row.url]
        for row in rows
    ]
    empty = "there are no services: declare one in services.yaml, then `selfheal services sync`"
    print_table(["name", "mode", "tier", "targets", "depends on", "url"], cells, empty)


@app.command()
def sync(
    dry: Annotated[bool, typer.Option("--dry-run", help="only say what would change")] = False,
    user: User = "",
    as_json: Annotated[bool, Json] = False,
) -> None:
    """Read services, map and playbooks from their files: all of them, or none if one is wrong."""
    run_sync(dry, user, as_json)
