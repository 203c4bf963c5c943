"""Problems: by the API where SELF_HEAL_TOKEN is set, else on this machine, as a user who is named."""

from __future__ import annotations

import uuid
from typing import Annotated, Any

import typer

from config.cli.base import Json, Watch, fail, now, print_facts, print_json, print_table, tell_rows, user_named
from config.cli.client import connect, rows

app = typer.Typer()
Id = Annotated[uuid.UUID, typer.Argument(metavar="PROBLEM", help="its id")]
BASE = "/api/self_heal/problems"
COLUMNS = ("id", "status", "service", "diagnosis", "heals", "minutes", "owner", "last_at", "acknowledged_by")


@app.command(name="list")
def list_(
    status: Annotated[str, typer.Option(help="open, ack, or both with a comma")] = "open",
    service: Annotated[str, typer.Option(help="the name of a service")] = "",
    owner: Annotated[str, typer.Option(help="whose service it is")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 200,
    as_json: Annotated[bool, Json] = False,
    watch: Annotated[bool, Watch] = False,
) -> None:
    """List what is healed again and again, newest first."""
    server, wanted = connect(), {"status": status, "service": service, "owner": owner}
    tell_rows(
        lambda: list(rows(server, BASE, limit, **wanted)),
        COLUMNS,
        "nothing is healed again and again",
        as_json=as_json,
        watch=watch,
    )


@app.command()
def show(problem: Id, as_json: Annotated[bool, Json] = False) -> None:
    """Show a problem with its incidents."""
    found = connect().get(f"{BASE}/{problem}")
    if as_json:
        print_json(found)
        return
    print_facts((name, value) for name, value in found.items() if name != "incidents")
    print()
    columns = ("id", "target", "title", "opened_at", "seconds")
    print_table(columns, [[row[name] for name in columns] for row in found["incidents"]], "its incidents are gone")


@app.command()
def ack(
    problem: Id,
    reason: Annotated[str, typer.Option(help="what is done about the cause; it is kept in the log")],
    user: Annotated[str, typer.Option(help="who does it; needed on this machine, where no token says it")] = "",
    as_json: Annotated[bool, Json] = False,
) -> None:
    """Take a problem: policy decides again, and what is healed from now on is counted anew."""
    found = _ack(problem, reason, user)
    if as_json:
        print_json(found)
        return
    print(f"{found['diagnosis']} of {found['service']} is acknowledged by {found['acknowledged_by']}")


def _ack(problem: uuid.UUID, reason: str, user: str) -> dict[str, Any]:
    server = connect()
    if server.remote:
        return dict(server.post(f"{BASE}/{problem}/ack", {"reason": reason}))
    if not user:
        fail("say who does it: --user NAME (a user with the role operator)")
    from healing import debt
    from healing.api.debt import ProblemRow
    from healing.models import Problem
    from selfheal.errors import Invalid

    try:
        return dict(ProblemRow(debt.acknowledge(problem, user_named(user, debt.PERMISSION), reason, now())).data)
    except Problem.DoesNotExist:
        raise Invalid(f"there is no problem {problem}") from None
