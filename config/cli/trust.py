"""How far actors are trusted: by the API where SELF_HEAL_TOKEN is set, else on this machine, as a user who is named."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from config.cli.base import Json, fail, now, print_done, print_facts, print_json, print_table, user_named
from config.cli.client import connect, rows

app = typer.Typer()
Kind = Annotated[str, typer.Argument(help="trigger, playbook, domain, agent or token")]
Name = Annotated[str, typer.Argument(help="of the actor; of a token its public id")]
Reason = Annotated[str, typer.Option(help="why; it is kept in the log")]
User = Annotated[str, typer.Option(help="who does it; needed on this machine, where no token says it")]
PATH = "/api/self_heal/trust"
COLUMNS = ("kind", "name", "score", "lower_bound", "seen", "low", "set_by")


@app.command(name="list")
def list_(
    kind: Annotated[str, typer.Option(help="only this kind; several with commas")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 200,
    as_json: Annotated[bool, Json] = False,
) -> None:
    """List each actor of whom anything is known, and how far it is trusted."""
    found = list(rows(connect(), PATH, limit, kind=kind))
    if as_json:
        print_json(found)
        return
    print_table(COLUMNS, [[_cell(row[name]) for name in COLUMNS] for row in found], "nothing is known of anybody yet")


@app.command()
def show(kind: Kind, name: Name, as_json: Annotated[bool, Json] = False) -> None:
    """Show how far an actor is trusted, why, and what spoke for and against it."""
    found = connect().get(f"{PATH}/{quote(kind, safe='')}/{quote(name)}")
    if as_json:
        print_json(found)
        return
    print_facts((key, _cell(value)) for key, value in found.items() if key not in ("history", "changes"))
    print()
    cells = [[each["index"], each["at"], "for" if each["good"] else "against", each["reason"]] for each in found["history"]]
    print_table(("log", "at", "speaks", "reason"), cells, "nothing spoke for or against it yet")


@app.command(name="set")
def set_(
    kind: Kind,
    name: Name,
    score: Annotated[float, typer.Argument(min=0, max=1, help="0 to 1")],
    reason: Reason,
    days: Annotated[int, typer.Option(min=0, max=90, help="for how long; 0: until it is taken back")] = 0,
    user: User = "",
    as_json: Annotated[bool, Json] = False,
) -> None:
    """Let your word stand in the place of what was earned. More trust than was earned ends after at most 90 days."""
    _change({"action": "set", "kind": kind, "name": name, "score": score, "days": days or None, "reason": reason}, user, as_json)


@app.command(name="take-back")
def take_back(kind: Kind, name: Name, reason: Reason, user: User = "", as_json: Annotated[bool, Json] = False) -> None:
    """Let what was earned stand again."""
    _change({"action": "take_back", "kind": kind, "name": name, "reason": reason}, user, as_json)


def _change(wanted: dict[str, Any], user: str, as_json: bool) -> None:
    words = _words(wanted, user)
    print_done({"kind": wanted["kind"], "name": wanted["name"], "said": words}, words, as_json)


def _words(wanted: dict[str, Any], user: str) -> str:
    """How far it is trusted afterwards, and why."""
    server = connect()
    if server.remote:
        found = server.post(PATH, wanted)
        return f"{found['kind']} {found['name']} is trusted {found['score']:.2f}: {'; '.join(found['reasons'])}"
    if not user:
        fail("say who does it: --user NAME (a user with the role admin)")
    from healing import trust

    who, actor = user_named(user, trust.PERMISSION), (wanted["kind"], wanted["name"])
    if wanted["action"] == "take_back":
        return trust.take_back(*actor, wanted["reason"], who, now()).words
    return trust.set_by_hand(*actor, wanted["score"], wanted["days"], wanted["reason"], who, now()).words


def _cell(value: Any) -> Any:
    return f"{value:.2f}" if isinstance(value, float) else value
