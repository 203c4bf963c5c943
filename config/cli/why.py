"""Why an alert or an incident is not healed."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from config.cli.base import Json, fail, print_facts, print_json, print_table, shown
from config.cli.client import Server, connect

INCIDENTS = "/api/self_heal/incidents"
ALERTS = "/api/self_heal/alerts/why"
NEVER = "never received"
FIRST = ("headline", "since", "next_look_at", "detail", "todo")
LABELS = {"headline": "why", "next_look_at": "looked at next", "todo": "what to do"}


def command(
    what: Annotated[str, typer.Argument(metavar="ALERTNAME|INCIDENT", help="an alert's name, or an incident's id")],
    as_json: Annotated[bool, Json] = False,
) -> None:
    """What kept it unhealed: rule, skip, silence, missing mapping or playbook; since when, and when it is looked at next.

    Status 1 if nothing of that name ever came.
    """
    server = connect()
    try:
        pk = uuid.UUID(what)
    except ValueError:
        _alert(server, what, as_json)
    else:
        _incident(server, str(pk), as_json)


def _alert(server: Server, name: str, as_json: bool) -> None:
    found = server.get(ALERTS, alertname=name)
    incidents, unmatched = found["incidents"], found["unmatched"]
    if len(incidents) == 1 and not unmatched:
        _incident(server, incidents[0]["incident"], as_json)
    elif as_json:
        print_json(found)
    else:
        for each in incidents:
            _print_one(each, f"{each['incident']}  {each['service']}/{each['target']}, {each['diagnosis']}, {each['status']}")
        for each in unmatched:
            labels = ", ".join(f"{label}={value}" for label, value in each["labels"].items())
            _print_one(each, f"unmatched  {labels}")
        if not incidents and not unmatched:
            _print_nothing(found["why"])
    if found["why"]["kind"] == NEVER:
        raise typer.Exit(1)


def _incident(server: Server, pk: str, as_json: bool) -> None:
    incident = server.get(f"{INCIDENTS}/{pk}")
    found = server.get(f"{INCIDENTS}/{pk}/why")
    if as_json:
        print_json({"incident": incident["id"], **found})
        return
    _print_answer(found)
    print()
    print_facts((name, incident.get(name)) for name in ("id", "title", "service", "target", "diagnosis", "status"))
    print_facts([("last look", found["reason"]), ("last run", _run(found["run"])), ("policy said", found["verdict"])])
    if found["rules"]:
        print()
        columns = ("rule", "verdict", "reason")
        print_table(columns, [[row[name] for name in columns] for row in found["rules"]], "")


def _run(run: Mapping[str, Any] | None) -> str:
    return f"{run['playbook']}, {run['status']}  {run['id']}" if run else ""


def _print_nothing(answer: Mapping[str, Any]) -> None:
    if answer["kind"] == NEVER:
        since = f"since {answer['since']}" if answer["since"] else "so far"
        fail(f"{answer['headline']} {since}; {answer['detail']}\n{answer['todo']}")
    _print_answer(answer)


def _print_one(answer: Mapping[str, Any], title: str) -> None:
    print(shown(title))
    print_facts((f"  {LABELS.get(name, name)}", answer.get(name)) for name in FIRST)
    print()


def _print_answer(answer: Mapping[str, Any]) -> None:
    print(shown(answer["headline"]))
    print_facts((LABELS.get(name, name), answer.get(name)) for name in FIRST[1:])
