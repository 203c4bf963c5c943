"""The kill switch, on this machine, with the server down and even without a database."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from config.cli.base import Json, actor, fail, now, print_json, print_table, ready

if TYPE_CHECKING:
    from collections.abc import Callable

app = typer.Typer()
Reason = Annotated[str, typer.Option(help="why; it is kept in the log")]
User = Annotated[str, typer.Option(help="who acts (default: your login name)")]


@app.command()
def kill(reason: Reason = "", user: User = "", as_json: Annotated[bool, Json] = False) -> None:
    """Stop everything: what runs is ended within 5 seconds. Without a database a file STOP in the home does it."""
    _set("kill", reason or "pulled on the command line", user, as_json)


@app.command()
def pause(reason: Reason = "", user: User = "", as_json: Annotated[bool, Json] = False) -> None:
    """Start nothing more; steps that run are finished."""
    _set("pause", reason or "paused on the command line", user, as_json)


@app.command()
def off(reason: Reason = "", user: User = "", as_json: Annotated[bool, Json] = False) -> None:
    """Release it. Nothing old is revived."""
    _set("off", reason or "released on the command line", user, as_json)


@app.command()
def status(as_json: Annotated[bool, Json] = False) -> None:
    """Say how it stands, and what is half done."""
    ready()
    stop = _stop_file().exists()

    def read() -> dict[str, Any]:
        from healing.governance import half_done
        from healing.models import Control

        row = Control.objects.filter(pk=1).first() or Control()
        facts = {"state": row.kill_switch, "reason": row.kill_reason, "actor": row.kill_actor, "at": row.kill_at}
        return {**facts, "half_done": half_done()}

    found = _or_without_database(read, lambda why: {"state": "unknown", "reason": why, "half_done": []})
    found |= {"stop_file": stop} | ({"state": "kill"} if stop else {})
    _show(found, as_json)


def _set(state: str, reason: str, user: str, as_json: bool) -> None:
    ready()

    def change() -> dict[str, Any]:
        from healing.governance import is_release, set_kill_switch

        permission = "healing.approve_approvalrequest" if is_release(state) else "healing.operate"
        return set_kill_switch(state, reason=reason, actor=actor(user, permission), at=now())

    def without(why: str) -> dict[str, Any]:
        if state != "kill":
            stop = f"; the file {_stop_file()} is there and goes on stopping everything" if _stop_file().exists() else ""
            fail(f"the database cannot be reached ({why}), and without it only `kill-switch kill` works{stop}")
        _stop_file().parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _stop_file().write_text(f"{datetime.now(UTC).isoformat(timespec='seconds')} {reason}\n")
        said = f"the database cannot be reached ({why}): wrote {_stop_file()}, which stops everything as long as it is there"
        typer.echo(said, err=as_json)
        return {"state": "kill", "reason": reason, "half_done": [], "stop_file": True}

    found = _or_without_database(change, without)
    if state == "off" and _stop_file().exists():
        _stop_file().unlink()
        typer.echo(f"removed {_stop_file()}", err=as_json)
    _show(found, as_json)


def _or_without_database(call: Callable[[], dict[str, Any]], otherwise: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    from django.db import DatabaseError, InterfaceError

    try:
        return call()
    except (DatabaseError, InterfaceError) as error:
        return otherwise(str(error).strip().partition("\n")[0])


def _stop_file() -> Path:
    from django.conf import settings

    return Path(settings.SELF_HEAL_HOME) / "STOP"


def _show(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    about = " · ".join(str(found[key]) for key in ("reason", "actor", "at") if found.get(key))
    print(f"kill switch: {found['state']}" + (f" · {about}" if about else ""))
    if found.get("stop_file"):
        print(f"the file {_stop_file()} is there: nothing runs until `selfheal kill-switch off`")
    if found["half_done"]:
        columns = ("run", "target", "step", "status", "undo", "put_back_at")
        rows = [[part[key] for key in columns] for part in found["half_done"]]
        print_table(["run", "target", "step", "status", "undone by", "put back at"], rows, "")
