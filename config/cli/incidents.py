"""Incidents: by the API where SELF_HEAL_TOKEN is set, else on this machine."""

from __future__ import annotations

import uuid
from typing import Annotated, Any

import typer

from config.cli.base import Json, Watch, actor, now, print_done, print_facts, print_json, print_table, tell_rows
from config.cli.client import Server, connect, rows

app = typer.Typer()
Id = Annotated[uuid.UUID, typer.Argument(metavar="INCIDENT", help="its id")]
Text = Annotated[str, typer.Option("--comment", help="a line for its timeline")]
User = Annotated[str, typer.Option(help="who acts, on this machine (default: your login name)")]
BASE = "/api/self_heal/incidents"


@app.command(name="list")
def list_(
    status: Annotated[str, typer.Option(help="open, ack, resolved, closed")] = "",
    severity: Annotated[str, typer.Option(help="low, medium, high, critical")] = "",
    service: Annotated[str, typer.Option()] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    as_json: Annotated[bool, Json] = False,
    watch: Annotated[bool, Watch] = False,
) -> None:
    """List incidents, newest first."""
    server = connect()
    columns = ("id", "status", "severity", "service", "target", "diagnosis", "title", "assignee", "opened_at")
    tell_rows(
        lambda: list(rows(server, BASE, limit, status=status, severity=severity, service=service)),
        columns,
        "there are no such incidents",
        as_json=as_json,
        watch=watch,
    )


@app.command()
def show(incident: Id, as_json: Annotated[bool, Json] = False) -> None:
    """Show an incident with its timeline."""
    server = connect()
    found = server.get(f"{BASE}/{incident}")
    timeline = list(rows(server, f"{BASE}/{incident}/timeline", 500))
    if as_json:
        print_json({**found, "timeline": timeline})
        return
    print_facts((name, value) for name, value in found.items() if not isinstance(value, (dict, list)))
    print()
    columns = ("at", "actor", "action", "reason", "log_index")
    print_table(columns, [[row.get(name) for name in columns] for row in timeline], "its timeline is empty")


@app.command()
def ack(incident: Id, comment: Text = "", user: User = "", as_json: Annotated[bool, Json] = False) -> None:
    """Take it on: nothing is proposed for it until it is open again."""
    print_done(_act(connect(), incident, "ack", "acknowledge", comment, user), f"{incident} is acknowledged", as_json)


@app.command()
def assign(
    incident: Id,
    to: Annotated[str, typer.Argument(metavar="[NAME]", help="who works on it from now on; none: nobody in particular")] = "",
    comment: Text = "",
    user: User = "",
    as_json: Annotated[bool, Json] = False,
) -> None:
    """Say who works on it."""
    server = connect()
    if server.remote:
        row = server.post(f"{BASE}/{incident}/assign", {"user": to or None, "text": comment})
    else:
        row = _here(incident, "assign", to or None, actor(user, "healing.operate"), comment)
    print_done(row, f"{incident} is given to {to or 'nobody'}", as_json)


@app.command(name="comment")
def comment_(
    incident: Id,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="the line for its timeline")],
    user: User = "",
    as_json: Annotated[bool, Json] = False,
) -> None:
    """Add a line to its timeline, and so to the log."""
    print_done(_act(connect(), incident, "comment", "comment", text, user), f"{incident} has one comment more", as_json)


@app.command()
def resolve(incident: Id, comment: Text = "", user: User = "", as_json: Annotated[bool, Json] = False) -> None:
    """Say that it is over."""
    print_done(_act(connect(), incident, "resolve", "resolve", comment, user), f"{incident} is resolved", as_json)


@app.command()
def close(incident: Id, comment: Text = "", user: User = "", as_json: Annotated[bool, Json] = False) -> None:
    """Close it for good."""
    print_done(_act(connect(), incident, "close", "close", comment, user), f"{incident} is closed", as_json)


def _act(server: Server, incident: uuid.UUID, path: str, service: str, comment: str, user: str) -> Any:
    if server.remote:
        return server.post(f"{BASE}/{incident}/{path}", {"text": comment})
    return _here(incident, service, actor(user, "healing.operate"), comment)


def _here(incident: uuid.UUID, service: str, *said: Any) -> Any:
    """Call a function of `healing.incidents` on this machine; the incident as the API shows it then."""
    from healing import incidents
    from healing.api.incidents import IncidentRow
    from healing.models import Incident
    from selfheal.errors import Invalid

    try:
        getattr(incidents, service)(incident, *said, now())
        return IncidentRow(Incident.objects.get(pk=incident)).data
    except Incident.DoesNotExist:
        raise Invalid(f"there is no incident {incident}") from None
