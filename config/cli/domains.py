"""The domains: by the API where SELF_HEAL_TOKEN is set, else on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from config.cli.base import Json, fail, print_json, print_table, shown
from config.cli.client import connect, rows

COLUMNS = ("domain", "part", "health", "why", "depends on", "what to do")


def command(
    name: Annotated[str, typer.Argument(metavar="DOMAIN", help="host, http, platform, or one that a plugin adds")] = "",
    as_json: Annotated[bool, Json] = False,
) -> None:
    """Show how the parts of each domain are, and of selfheal itself, with what to look at first."""
    found = list(rows(connect(), "/api/self_heal/domains", 1000))
    names = [row["name"] for row in found]
    if name and name not in names:
        fail(f"there is no domain {name!r}; there are {', '.join(names)}")
    kept = [row for row in found if name in ("", row["name"])]
    if as_json:
        print_json(kept)
        return
    print_table(COLUMNS, [cells for row in kept for cells in _cells(row)], "no part of it is known")
    for row in kept:
        print(shown(_said(row)))


def _cells(row: dict[str, Any]) -> Iterator[list[Any]]:
    for node in row["nodes"]:
        yield [row["name"], node["name"], node["health"], node["why"], node["depends_on"], node["page"]]


def _said(row: dict[str, Any]) -> str:
    first = f"; look first at {', '.join(row['first'])}" if row["first"] else ""
    sensed = "" if row["sensed"] else f"; its services are not sensed: add {row['name']} to SELF_HEAL_SENSE"
    return f"{row['name']}: {row['health']}{first}{sensed}"
