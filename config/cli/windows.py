"""Change windows and freezes: by the API where SELF_HEAL_TOKEN is set, else on this machine. `lint` only reads files."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from config.cli.base import Json, Listing, fail, now, print_facts, print_json, print_table, ready, shown
from config.cli.client import connect, rows

app = typer.Typer(cls=Listing)
BASE = "/api/self_heal/windows"
Service = Annotated[str, typer.Option(help="the name of a service (default: what holds for all)")]
Impact = Annotated[str, typer.Option(help="low, medium, high or critical")]


@app.command(name="list")
def list_(as_json: Annotated[bool, Json] = False) -> None:
    """List windows and freezes, each with how it stands now by itself."""
    found = list(rows(connect(), BASE, 1000))
    if as_json:
        print_json(found)
        return
    cells = [
        [row["name"], row["kind"], row["now"], row["services"] or "all", row["impacts"] or "all", row["path"] or "the admin"]
        for row in found
    ]
    empty = "there are no calendars: the change window of SELF_HEAL_CHANGE_WINDOW holds"
    print_table(["name", "kind", "now", "services", "impacts", "declared in"], cells, empty)


@app.command()
def show(name: Annotated[str, typer.Argument()], as_json: Annotated[bool, Json] = False) -> None:
    """Show a window or a freeze, its next five openings, and its calendar."""
    found = next(iter(rows(connect(), BASE, 1, name=name)), None)
    if found is None:
        fail(f"there is no window or freeze {name!r}; `selfheal windows list` shows them")
    if as_json:
        print_json(found)
        return
    print_facts((key, found[key]) for key in ("name", "kind", "now", "time_zone", "services", "impacts", "path", "problem"))
    print()
    _print_openings(found["openings"], found["time_zone"])
    print()
    print("\n".join(shown(line) for line in found["calendar"].splitlines()))


@app.command(name="next")
def next_(service: Service = "", impact: Impact = "medium", as_json: Annotated[bool, Json] = False) -> None:
    """The next five times at which changes are made, with every window and freeze taken together."""
    found = _state(service, impact, "")
    if as_json:
        print_json(found)
        return
    print(shown(f"{'open' if found['inside'] else 'closed'}: {found['window']}"))
    print()
    _print_openings(found["openings"], found["time_zone"])


@app.command()
def check(
    at: Annotated[str, typer.Option(help="a time like 2026-11-27T09:00+01:00 (default: now)")] = "",
    service: Service = "",
    impact: Impact = "medium",
    as_json: Annotated[bool, Json] = False,
) -> None:
    """Say whether changes are made at a time, and why; status 1 if not."""
    found = _state(service, impact, at)
    if as_json:
        print_json(found)
    else:
        print_facts(
            [
                ("at", _clock(found["at"], found["time_zone"])),
                ("inside", found["inside"]),
                ("window", found["window"]),
                ("opens", found["opens_at"] and _clock(found["opens_at"], found["time_zone"])),
            ]
        )
    if not found["inside"]:
        raise typer.Exit(1)


@app.command()
def lint(
    files: Annotated[list[Path], typer.Argument(help="calendars, like config/windows/nights.ics")],
    as_json: Annotated[bool, Json] = False,
) -> None:
    """Check calendars as a sync would: every fault with its file and line, else the next opening of each."""
    ready()
    from healing.catalog.windows import read_files

    declared, faults = read_files(files)
    said = [{"name": each.name, "kind": each.kind, "now": _standing(each)} for each in declared]
    if as_json:
        print_json({"calendars": said, "errors": [str(fault) for fault in faults]})
        raise typer.Exit(1 if faults else 0)
    for each in said:
        print(shown(f"{each['name']}: {each['kind']}, {each['now']}"))
    if faults:
        fail("\n".join(str(fault) for fault in faults))


def _standing(declared: Any) -> str:
    from selfheal.windows import read_calendar, standing

    return standing(read_calendar(declared.name, declared.kind, declared.calendar, declared.time_zone), now())


def _state(service: str, impact: str, at: str) -> dict[str, Any]:
    given = {"service": service, "impact": impact, "at": at}
    found: dict[str, Any] = connect().get(f"{BASE}/state", **{name: value for name, value in given.items() if value})
    return found


def _print_openings(openings: list[dict[str, Any]], zone: str) -> None:
    cells = [
        [_clock(each["start"], zone), _clock(each["end"], zone) if each["end"] else "without end in sight"] for each in openings
    ]
    print_table(["from", "until"], cells, "it does not open in the time that is looked ahead")


def _clock(moment: str, zone: str) -> str:
    return f"{datetime.fromisoformat(moment).astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M} {zone}"
