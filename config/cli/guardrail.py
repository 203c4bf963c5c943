"""How far healing may go alone: by the API where SELF_HEAL_TOKEN is set, else on this machine, as a user who is named."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from config.cli.base import Json, fail, now, print_done, print_facts, print_json, user_named
from config.cli.client import connect

app = typer.Typer()
Reason = Annotated[str, typer.Option(help="why; it is kept in the log")]
User = Annotated[str, typer.Option(help="who does it; needed on this machine, where no token says it")]
PATH = "/api/meta/guardrail"


@app.command()
def show(as_json: Annotated[bool, Json] = False) -> None:
    """Say which level counts now, why, and what the meta loop says."""
    found = connect().get(PATH)
    if as_json:
        print_json(found)
    else:
        print_facts((name.replace("_", " "), value) for name, value in found.items())


@app.command()
def pin(
    level: Annotated[str, typer.Argument(metavar="tighten|maintain|loosen", help="strict, normal or relaxed")],
    reason: Reason,
    user: User = "",
    as_json: Annotated[bool, Json] = False,
) -> None:
    """Set the level, whatever the meta loop says, until the pin is taken away."""
    _set(level, reason, user, as_json)


@app.command()
def unpin(reason: Reason, user: User = "", as_json: Annotated[bool, Json] = False) -> None:
    """Let the meta loop say it again."""
    _set(None, reason, user, as_json)


def _set(level: str | None, reason: str, user: str, as_json: bool) -> None:
    """Say the level that counts afterwards, and why."""
    shown, why = _change(level, reason, user)
    print_done({"shown": shown, "reason": why}, f"{shown}: {why}", as_json)


def _change(level: str | None, reason: str, user: str) -> tuple[str, str]:
    server = connect()
    if server.remote:
        found: dict[str, Any] = server.post(PATH, {"level": level, "reason": reason})
        return str(found["shown"]), str(found["reason"])
    if not user:
        fail("say who does it: --user NAME (a user with the role admin)")
    from healing import guardrail
    from selfheal.guardrails import SHOWN

    who = user_named(user, guardrail.PERMISSION)
    after = guardrail.unpin(reason, who, now()) if level is None else guardrail.pin(level, reason, who, now())
    return SHOWN[after.level], after.reason
