"""Users, on this machine."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from config.cli.base import Json, actor, now, print_done, print_json, print_table, ready, user_named
from selfheal.states import ROLES

app = typer.Typer()


@app.command()
def create(
    name: str,
    role: Annotated[str, typer.Option(help="viewer, operator, approver or admin")],
    password_stdin: Annotated[bool, typer.Option("--password-stdin", help="read the password from standard input")] = False,
    as_json: Annotated[bool, Json] = False,
) -> None:
    """Make a user. Without --password-stdin a password is made and printed once."""
    if role not in ROLES:
        raise typer.BadParameter(f"there is no role {role!r}; there are {', '.join(ROLES)}", param_hint="--role")
    ready()
    from healing import access

    password = sys.stdin.readline().rstrip("\r\n") if password_stdin else access.new_password()
    user = access.create_user(name, role, password, actor("", ""), now())
    if as_json:
        print_json({"id": str(user.pk), "name": name, "role": role} | ({} if password_stdin else {"password": password}))
        return
    print(f"{name} is a user with the role {role}")
    if not password_stdin:
        print(f"password: {password}   (shown this once: change it after signing in)")


@app.command()
def unlock(name: str, as_json: Annotated[bool, Json] = False) -> None:
    """Let somebody who was locked out after wrong passwords try again."""
    ready()
    from healing import lockout

    lockout.unlock(user_named(name), actor("", ""), now())
    print_done({"name": name, "locked": False}, f"{name} may sign in again", as_json)


@app.command(name="reset-second-factor")
def reset_second_factor(name: str, as_json: Annotated[bool, Json] = False) -> None:
    """Take the second factor of somebody away, whose phone is lost. Be sure who asks."""
    ready()
    from healing import second_factor

    second_factor.remove(user_named(name), actor("", ""), now())
    line = f"{name} has no second factor any more, and is signed out everywhere"
    print_done({"name": name, "second_factor": False}, line, as_json)


@app.command(name="sign-out")
def sign_out(name: str, as_json: Annotated[bool, Json] = False) -> None:
    """End every session of somebody. Their tokens stay: `selfheal token revoke`."""
    ready()
    from healing import sessions

    ended = sessions.end_all(user_named(name), actor("", ""), "asked for", now())
    line = f"{name} is signed out of {ended} browser{'' if ended == 1 else 's'}"
    print_done({"name": name, "sessions_ended": ended}, line, as_json)


@app.command(name="list")
def list_(as_json: Annotated[bool, Json] = False) -> None:
    """List all users."""
    ready()
    from healing.access import role_of
    from healing.models import User

    users = [
        {"name": u.username, "role": role_of(u), "active": u.is_active, "last_login": u.last_login}
        for u in User.objects.prefetch_related("groups").order_by("username")
    ]
    if as_json:
        print_json(users)
    else:
        print_table(["name", "role", "active", "last login"], [list(u.values()) for u in users], "there are no users")
