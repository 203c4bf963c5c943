"""Runs: by the API where SELF_HEAL_TOKEN is set, else on this machine."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from config.cli.base import Json, Watch, actor, fail, now, print_facts, print_json, print_table, shown, tell_rows
from config.cli.client import connect, rows

app = typer.Typer()
Id = Annotated[uuid.UUID, typer.Argument(metavar="RUN", help="its id")]
BASE = "/api/self_heal/runs"


@app.command(name="list")
def list_(
    status: Annotated[str, typer.Option(help="pending, running, succeeded, …")] = "",
    service: Annotated[str, typer.Option()] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    as_json: Annotated[bool, Json] = False,
    watch: Annotated[bool, Watch] = False,
) -> None:
    """List runs, newest first."""
    server = connect()
    columns = ("id", "status", "playbook", "service", "target", "impact", "outcome", "held", "created_at")
    tell_rows(
        lambda: list(rows(server, BASE, limit, status=status, service=service)),
        columns,
        "there are no such runs",
        as_json=as_json,
        watch=watch,
    )


@app.command()
def show(run: Id, as_json: Annotated[bool, Json] = False) -> None:
    """Show a run with its steps, and why this playbook was chosen."""
    found = connect().get(f"{BASE}/{run}")
    if as_json:
        print_json(found)
        return
    print_facts((name, value) for name, value in found.items() if not isinstance(value, (dict, list)))
    if found.get("choice"):
        _print_choice(found["choice"])
    print()
    columns = ("phase", "name", "target", "action", "status", "message")
    print_table(columns, [[step.get(name) for name in columns] for step in _steps(found)], "it has no steps yet")


def _print_choice(choice: dict[str, Any]) -> None:
    print(f"\nwhy this playbook: {shown(choice['why'])}")
    if choice["fallback"]:
        print(f"the fixed order stands: {shown(choice['fallback'])}")
    drawn = ("sample", "mean") if choice["advised"] else ()
    columns = ("playbook", "impact", "record", *drawn, "why")
    print_table(columns, [[row.get(name) for name in columns] for row in choice["candidates"]], "nothing to choose from")


@app.command()
def tail(run: Id, as_json: Annotated[bool, Json] = False) -> None:
    """Follow a run, with what its steps write, until it is over; status 1 unless it succeeded. As JSON: an object a line."""
    server, status = connect(), ""
    said: dict[str, str] = {}
    written: dict[str, str] = {}
    say = _say_json if as_json else _say
    while True:
        found: dict[str, Any] = server.get(f"{BASE}/{run}")
        several = len(found["plan"]["targets"]) > 1
        for step in _steps(found):
            how = f"{step['status']} {step['message']}"
            if said.get(step["id"]) != how and step["status"] != "pending":
                said[step["id"]] = how
                say("step", {name: step[name] for name in ("phase", "name", "target", "status", "message")}, several)
            for stream, line in _new(step, written):
                say("output", {"name": step["name"], "target": step["target"], "stream": stream, "line": line}, several)
        if found["status"] != status:
            status = found["status"]
            say("run", {"status": status, "outcome": found.get("outcome"), "reason": found.get("reason") or ""}, several)
        if found.get("outcome"):
            break
        time.sleep(0.5)
    if found["outcome"] != "success":
        fail(f"the run {found['outcome']}: {shown(found.get('reason') or '')}")


@app.command()
def abort(
    run: Id,
    reason: Annotated[str, typer.Option(help="why; it is kept in the log")] = "aborted on the command line",
    user: Annotated[str, typer.Option(help="who acts, on this machine (default: your login name)")] = "",
    as_json: Annotated[bool, Json] = False,
) -> None:
    """End a run now; what it did is undone as its playbook says."""
    server = connect()
    if server.remote:
        status = server.post(f"{BASE}/{run}/abort", {"reason": reason}).get("status", "")
    else:
        status = _abort_here(run, reason, user)
    if as_json:
        print_json({"id": run, "status": status})
        return
    print(f"{run} is being aborted")


def _say(kind: str, facts: dict[str, Any], several: bool) -> None:
    """A move of the run or of a step, or a line of what one wrote. `several`: a step's target is worth saying."""
    if kind == "output":
        line = f"    {shown(facts['line'])}"
    elif kind == "run":
        line = f"{facts['status']}  {shown(facts['reason'])}"
    else:
        where = f" on {facts['target']}" if several else ""
        line = f"  {facts['phase']} {facts['name']}{where} {facts['status']} {shown(facts['message'])}"
    print(line.rstrip(), flush=True)


def _say_json(kind: str, facts: dict[str, Any], several: bool) -> None:
    print(json.dumps({"kind": kind, **facts}, default=str), flush=True)


def _new(step: dict[str, Any], written: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Stream and text of the whole lines that a step has written since the last look; of every line once it is over."""
    for stream in ("stdout", "stderr"):
        key, text = f"{step['id']} {stream}", step[stream]
        whole = text if step["status"] != "running" else text[: text.rfind("\n") + 1]
        for line in new_lines(written.get(key, ""), whole):
            yield stream, line
        written[key] = whole


def new_lines(before: str, after: str) -> list[str]:
    """The lines of `after` that were not in `before`; where the middle was left out meanwhile, from the last line known on."""
    if after.startswith(before):
        return after[len(before) :].splitlines()
    known, lines = before.splitlines(), after.splitlines()
    last = len(lines) - lines[::-1].index(known[-1]) if known and known[-1] in lines else 0
    return lines[last:]


def _steps(run: dict[str, Any]) -> list[dict[str, Any]]:
    return [*run["steps"], *run["verification"]]


def _abort_here(run: uuid.UUID, reason: str, user: str) -> str:
    """Its status then: `aborted`, or as before while what it did is ended and undone."""
    from healing import runs
    from healing.models import Run
    from selfheal.errors import Invalid

    try:
        runs.abort(run, actor=actor(user, "healing.operate"), reason=reason, at=now())
        return str(Run.objects.get(pk=run).status)
    except Run.DoesNotExist:
        raise Invalid(f"there is no run {run}") from None
