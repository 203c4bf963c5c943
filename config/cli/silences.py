"""Silences: by the API where SELF_HEAL_TOKEN is set, else on this machine."""

from __future__ import annotations

import re
import uuid
from datetime import datetime, timedelta
from typing import Annotated, Any

import typer

from config.cli.base import Json, Listing, fail, now, print_facts, print_json, print_table, user_named
from config.cli.client import connect, rows

app = typer.Typer(cls=Listing)
BASE = "/api/self_heal/silences"
UNITS = {"m": "minutes", "h": "hours", "d": "days"}
OPERATE = "healing.operate"
User = Annotated[str, typer.Option(help="who does it, on this machine; with SELF_HEAL_TOKEN it is the token's user")]
Reason = Annotated[str, typer.Option(help="why; it stands in the log and on the incidents")]


@app.command(name="list")
def list_(
    every: Annotated[bool, typer.Option("--all", help="those that are over too")] = False,
    as_json: Annotated[bool, Json] = False,
) -> None:
    """List silences, those that end last first."""
    found = list(rows(connect(), BASE, 500, **({} if every else {"active": "true"})))
    if as_json:
        print_json(found)
        return
    cells = [[row["id"], row["status"], row["about"], row["ends_at"], row["created_by"], row["reason"]] for row in found]
    print_table(["id", "status", "for", "ends", "by", "reason"], cells, "nothing is silenced")


@app.command()
def create(
    reason: Reason,
    lasting: Annotated[str, typer.Option("--for", help="how long, like 45m, 2h or 3d; at most 30d")] = "",
    until: Annotated[str, typer.Option(help="instead of --for: a time like 2026-11-27T09:00+01:00")] = "",
    service: Annotated[str, typer.Option(help="the name of a service")] = "",
    label: Annotated[list[str] | None, typer.Option(help="NAME=VALUE, several times: incidents that carry all of them")] = None,
    incident: Annotated[str, typer.Option(help="the id of one incident, alone")] = "",
    user: User = "",
    as_json: Annotated[bool, Json] = False,
) -> None:
    """Propose nothing for a service, for labels, for both at once, or for one incident, until an end."""
    ends_at, labels, server = _end(lasting, until), _labels(label or []), connect()
    wanted: dict[str, Any] = {"reason": reason, "service": service, "labels": labels, "incident": _id(incident, "incident")}
    if server.remote:
        made = server.post(BASE, {**wanted, "ends_at": ends_at.isoformat()})
    else:
        from healing import silences

        made = _shown(silences.create(_who(user), at=now(), ends_at=ends_at, **wanted))
    if as_json:
        print_json(made)
        return
    print_facts((name, made[name]) for name in ("id", "status", "about", "starts_at", "ends_at", "reason"))


@app.command()
def end(
    silence: Annotated[str, typer.Argument(help="its id")],
    reason: Reason,
    user: User = "",
    as_json: Annotated[bool, Json] = False,
) -> None:
    """End a silence now; what it kept back is looked at."""
    server, pk = connect(), _id(silence, "silence")
    if server.remote:
        ended = server.post(f"{BASE}/{pk}/end", {"reason": reason})
    else:
        from healing import silences

        ended = _shown(silences.end(uuid.UUID(pk), _who(user), reason, now()))
    if as_json:
        print_json(ended)
        return
    print(f"the silence for {ended['about']} is over")


def _who(user: str) -> Any:
    if not user:
        fail("say who does it: --user NAME, or set SELF_HEAL_TOKEN")
    return user_named(user, OPERATE)


def _shown(silence: Any) -> Any:
    """As the API shows it."""
    from healing.api.silences import SilenceRow

    return SilenceRow(silence, context={"at": now()}).data


def _id(text: str, what: str) -> str | None:
    try:
        return str(uuid.UUID(text)) if text else None
    except ValueError:
        fail(f"{what}: {text!r} is no id; it is like 0b0c2c4e-6f0e-4a43-8f0b-0f6f0f1c9a11")


def _end(lasting: str, until: str) -> datetime:
    if bool(lasting) == bool(until):
        fail("say how long: either --for 2h or --until 2026-11-27T09:00+01:00")
    if until:
        try:
            moment = datetime.fromisoformat(until)
        except ValueError:
            fail(f"--until: {until!r} is no time like 2026-11-27T09:00+01:00")
        if moment.tzinfo is None:
            fail(f"--until: {until!r} names no zone; write 2026-11-27T09:00+01:00, or end it with Z")
        return moment
    found = re.fullmatch(r"([1-9][0-9]{0,4})([mhd])", lasting)
    if not found:
        fail(f"--for: {lasting!r} is no time like 45m, 2h or 3d")
    return now() + timedelta(**{UNITS[found[2]]: int(found[1])})


def _labels(given: list[str]) -> dict[str, str]:
    for each in given:
        if "=" not in each:
            fail(f"--label: {each!r} is no NAME=VALUE")
    return dict(each.split("=", 1) for each in given)
