"""What playbooks may do alone: by the API where SELF_HEAL_TOKEN is set, else on this machine, as a user who is named."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from config.cli.base import Json, Listing, fail, now, print_done, print_json, print_table, user_named
from config.cli.client import connect, rows

app = typer.Typer(cls=Listing)
Playbook = Annotated[str, typer.Argument(help="its name")]
Diagnosis = Annotated[str, typer.Argument(help="that it heals")]
Reason = Annotated[str, typer.Option(help="why; it is kept in the log")]
User = Annotated[str, typer.Option(help="who does it; needed on this machine, where no token says it")]
PATH = "/api/self_heal/autonomy"
LONGEST = 90


@app.command(name="list")
def list_(
    playbook: Annotated[str, typer.Option(help="only this playbook")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 200,
    as_json: Annotated[bool, Json] = False,
) -> None:
    """List each playbook for each of its diagnoses: whether it may act alone, and why."""
    found = list(rows(connect(), PATH, limit, playbook=playbook))
    if as_json:
        print_json(found)
        return
    columns = ("playbook", "diagnosis", "impact", "autonomous", "autonomy")
    print_table(columns, [[row.get(name) for name in columns] for row in found], "there is no playbook")


@app.command()
def grant(
    playbook: Playbook,
    diagnosis: Diagnosis,
    reason: Reason,
    days: Annotated[int, typer.Option(min=1, max=LONGEST, help="for how long")] = LONGEST,
    user: User = "",
    as_json: Annotated[bool, Json] = False,
) -> None:
    """Let it act alone for a while. High and critical impact cannot be granted."""
    found = _set({"action": "grant", "playbook": playbook, "diagnosis": diagnosis, "days": days, "reason": reason}, user)
    _tell(playbook, diagnosis, found, as_json)


@app.command()
def revoke(
    playbook: Playbook, diagnosis: Diagnosis, reason: Reason, user: User = "", as_json: Annotated[bool, Json] = False
) -> None:
    """End a grant now. What it earned by its record stays."""
    found = _set({"action": "revoke", "playbook": playbook, "diagnosis": diagnosis, "reason": reason}, user)
    _tell(playbook, diagnosis, found, as_json)


def _tell(playbook: str, diagnosis: str, found: str, as_json: bool) -> None:
    row = {"playbook": playbook, "diagnosis": diagnosis, "autonomy": found}
    print_done(row, f"{playbook} for {diagnosis}: {found}", as_json)


def _set(wanted: dict[str, Any], user: str) -> str:
    """What its autonomy is afterwards, in words."""
    server = connect()
    if server.remote:
        return str(server.post(PATH, wanted).get("autonomy", ""))
    if not user:
        fail("say who does it: --user NAME (a user with the role admin)")
    from healing import autonomy

    who, place = user_named(user, autonomy.PERMISSION), (wanted["playbook"], wanted["diagnosis"])
    if wanted["action"] == "revoke":
        return autonomy.revoke(*place, wanted["reason"], who, now()).why
    return autonomy.grant(*place, wanted["days"], wanted["reason"], who, now()).why
