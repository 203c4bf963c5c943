"""What waits for a person: by the API where SELF_HEAL_TOKEN is set, else on this machine, as a user who is named."""

from __future__ import annotations

import uuid
from typing import Annotated, Any

import typer

from config.cli.base import Json, Watch, fail, now, print_facts, print_json, tell_rows, user_named
from config.cli.client import connect, rows

app = typer.Typer()
Id = Annotated[uuid.UUID, typer.Argument(metavar="REQUEST", help="its id")]
User = Annotated[str, typer.Option(help="who answers; needed on this machine, where no token says it")]
BASE = "/api/self_heal/approvals"


@app.command(name="list")
def list_(
    status: Annotated[str, typer.Option(help="pending, approved, rejected, expired, cancelled")] = "pending",
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    as_json: Annotated[bool, Json] = False,
    watch: Annotated[bool, Watch] = False,
) -> None:
    """List requests, what expires first on top."""
    server = connect()
    tell_rows(
        lambda: sorted(rows(server, BASE, limit, status=status), key=lambda row: str(row["expires_at"])),
        ("id", "impact", "playbook", "service", "target", "status", "votes", "approvers", "escalations", "expires_at"),
        "nothing waits for an answer",
        cells=lambda row: {**row, **_people(row)},
        as_json=as_json,
        watch=watch,
    )


@app.command()
def show(request: Id, as_json: Annotated[bool, Json] = False) -> None:
    """Show a request: what would run, where, and why a person is asked."""
    found = connect().get(f"{BASE}/{request}")
    if as_json:
        print_json(found)
        return
    print_facts((name, value) for name, value in {**found, **_people(found)}.items() if not isinstance(value, (dict, list)))
    if found["content"]:
        print()
        print_facts((f"  {name}", value) for name, value in found["content"].items())
    for step in found["subject"]["plan"]["steps"] if found["subject"] else ():
        print(f"\n{step['id']}: {step.get('action') or step['check']} on {step['target']}")
        print_facts((f"  {name}", value) for name, value in step.get("with", {}).items())


@app.command()
def approve(
    request: Id, comment: Annotated[str, typer.Option()] = "", user: User = "", as_json: Annotated[bool, Json] = False
) -> None:
    """Approve: exactly the plan that `show` shows, once."""
    _say(request, _answer(request, "approve", comment, user), as_json)


@app.command()
def reject(
    request: Id,
    comment: Annotated[str, typer.Option(help="why; needed")],
    user: User = "",
    as_json: Annotated[bool, Json] = False,
) -> None:
    """Reject: it does not run."""
    _say(request, _answer(request, "reject", comment, user), as_json)


def _people(row: dict[str, Any]) -> dict[str, str]:
    """Who may approve it, and how many have: in words."""
    approved = sum(vote["approve"] for vote in row["votes"])
    return {"votes": f"{approved} of {row['needed']}", "approvers": ", ".join(row["approvers"]) or "anybody with the role"}


def _answer(request: uuid.UUID, verb: str, comment: str, user: str) -> str:
    server = connect()
    if server.remote:
        return str(server.post(f"{BASE}/{request}/{verb}", {"comment": comment}).get("status", ""))
    if not user:
        fail("say who answers: --user NAME (a user with the role approver or admin)")
    return _answer_here(request, verb, comment, user)


def _answer_here(request: uuid.UUID, verb: str, comment: str, user: str) -> str:
    from healing import approvals
    from healing.models import ApprovalRequest
    from selfheal.errors import Invalid

    who = user_named(user, "healing.approve_approvalrequest")
    service: Any = getattr(approvals, verb)
    try:
        return str(service(request, who, comment, "command line", now()).status)
    except ApprovalRequest.DoesNotExist:
        raise Invalid(f"there is no request {request}") from None


def _say(request: uuid.UUID, status: str, as_json: bool) -> None:
    if as_json:
        print_json({"id": request, "status": status})
        return
    print(f"{request} waits for another person" if status == "pending" else f"{request} is {status}")
