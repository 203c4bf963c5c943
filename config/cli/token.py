"""API tokens, on this machine."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from config.cli.base import Json, actor, now, print_done, print_json, print_table, ready, user_named

if TYPE_CHECKING:
    from healing.models import Token

app = typer.Typer()
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def life(text: str) -> timedelta | None:
    """`90d`, `12h`, `30m` as a duration, `never` as None."""
    if text == "never":
        return None
    found = re.fullmatch(r"(\d{1,6})([mhd])", text)
    if not found:
        raise typer.BadParameter(f"{text!r} is no duration: write 90d, 12h, 30m or never", param_hint="--expires")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


@app.command()
def create(
    user: Annotated[str, typer.Option(help="whose rights it has")],
    scope: Annotated[str, typer.Option(help="ingest, read, operate, approve, memory, admin; several with commas")],
    expires: Annotated[str, typer.Option(help="90d, 12h, 30m, or never (ingest only)")] = "90d",
    name: Annotated[str, typer.Option(help="what it is for")] = "",
    domain: Annotated[str, typer.Option(help="whose memory it may ask, for the scope memory; several with commas")] = "",
    as_json: Annotated[bool, Json] = False,
) -> None:
    """Make a token and print it, once."""
    lasts = life(expires)
    ready()
    from healing import access

    scopes, domains = ([part.strip() for part in text.split(",") if part.strip()] for text in (scope, domain))
    if unknown := [each for each in scopes if each not in access.SCOPES]:
        raise typer.BadParameter(f"there is no scope {unknown[0]!r}; there are {', '.join(access.SCOPES)}", param_hint="--scope")
    token, text = access.create_token(user_named(user), scopes, lasts, name, actor("", ""), now(), domains)
    if as_json:
        print_json({"token": text, **_row(token)})
    else:
        print(text)


@app.command(name="list")
def list_(
    user: Annotated[str, typer.Option(help="only this user's")] = "",
    as_json: Annotated[bool, Json] = False,
) -> None:
    """List the tokens; their texts are not kept."""
    ready()
    from healing import access

    found = [_row(token) for token in access.list_tokens(user_named(user) if user else None)]
    if as_json:
        print_json(found)
    else:
        columns = ["id", "user", "scopes", "domains", "name", "created", "expires", "last used"]
        print_table(columns, [list(row.values()) for row in found], "there are no tokens")


@app.command()
def revoke(
    token_id: Annotated[str, typer.Argument(metavar="ID", help="as `token list` shows it")],
    as_json: Annotated[bool, Json] = False,
) -> None:
    """End a token now."""
    ready()
    from healing import access

    access.revoke_token(token_id, actor("", ""), now())
    print_done({"id": token_id, "revoked": True}, f"{token_id} is revoked", as_json)


def _row(token: Token) -> dict[str, Any]:
    return {
        "id": str(token.public_id),
        "user": token.user.username,
        "scopes": token.scopes,
        "domains": token.domains,
        "name": token.name,
        "created": token.created.isoformat(timespec="seconds"),
        "expires": token.expiry.isoformat(timespec="seconds") if token.expiry else "never",
        "last_used": token.last_used_at.isoformat(timespec="seconds") if token.last_used_at else None,
    }
