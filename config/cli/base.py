"""What every command needs: Django made ready, errors as one line, tables for people, JSON for programs, who is acting."""

from __future__ import annotations

import getpass
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NoReturn

import typer
from typer.core import TyperGroup

from selfheal.errors import SelfhealError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from healing.models import User

Json = typer.Option("--json", help="JSON, for programs.")
Watch = typer.Option("--watch", help="Show it again as it changes, until Ctrl-C.")
WATCH_SECONDS = 2.0
WIDE = 2_000  # columns of what is no terminal
NAMES = ("id", "name", "playbook")  # what the next command is given: other columns give way to it
GOOD, WAITS, BAD = "green", "yellow", "bold red"
STYLES = {
    **dict.fromkeys(("success", "succeeded", "approved", "resolved", "closed", "auto"), GOOD),
    **dict.fromkeys(("pending", "awaiting_approval", "ack", "running", "verifying", "medium", "low"), WAITS),
    **dict.fromkeys(("failed", "rejected", "blocked", "aborted", "expired", "rolled_back", "critical", "high"), BAD),
}


class Failed(Exception):
    """The command failed or found something wrong; the message says what. Status 1."""


def ready() -> None:
    """Load Django. Ends with status 2 and a line for each setting that is wrong."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django
    from django.apps import apps

    if not apps.ready:
        django.setup()


def explained(call: Callable[[], Any]) -> int:
    """Run `call`; its exit status, with whatever we know how to explain said in a line on standard error."""
    try:
        call()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except (SelfhealError, Failed) as error:
        return _say(str(error))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever read us has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        line = _known(error)
        if not line:
            raise
        return _say(line)
    return 0


def _known(error: Exception) -> str:
    """A line for errors of the libraries below us; empty for what is an error of the program."""
    kind = f"{type(error).__module__}.{type(error).__name__}"
    first = str(error).strip().partition("\n")[0]
    if kind.startswith(("django.db.", "sqlite3.", "psycopg.")):
        hint = "selfheal migrate" if "no such table" in first or "does not exist" in first else "selfheal doctor"
        return f"the database failed: {first}; `{hint}` may help"
    if kind.startswith("requests."):
        return f"the server does not answer: {first}"
    return ""


def _say(message: str) -> int:
    from config.logs import escape

    for line in message.splitlines() or [""]:
        print(f"selfheal: {escape(line)}", file=sys.stderr)
    return 1


def fail(message: str) -> NoReturn:
    raise Failed(message)


class Listing(TyperGroup):
    """A command with further ones that lists where none of them is said."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        said = args and (not args[0].startswith("-") or args[0] in self.get_help_option_names(ctx))
        return super().parse_args(ctx, args if said or ctx.resilient_parsing else ["list", *args])


def now() -> datetime:
    from django.utils import timezone

    return timezone.now()


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False, default=_plain))


def _plain(value: Any) -> str:
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else str(value)


def print_done(row: Mapping[str, Any], line: str, as_json: bool) -> None:
    """What was done: for programs, or as a line for people."""
    if as_json:
        print_json(row)
    else:
        print(line)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], empty: str) -> None:
    """A table, or the line `empty` where there are no rows. Cells are text, never markup."""
    _console().print(_table(columns, rows, empty))


def _console() -> Console:
    """As wide as the terminal; a pipe or a file is as wide as it has to be, so that what reads it finds whole cells."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console.width = WIDE
    return console


def tell_rows(
    read: Callable[[], list[dict[str, Any]]],
    columns: Sequence[str],
    empty: str,
    *,
    cells: Callable[[dict[str, Any]], dict[str, Any]] = dict,
    as_json: bool = False,
    watch: bool = False,
) -> None:
    """A list as JSON or as a table; watched, again whenever it has changed. `cells` makes of a row what a table shows of it."""

    def drawn(found: list[dict[str, Any]]) -> RenderableType:
        return _table(columns, [[row.get(name) for name in columns] for row in map(cells, found)], empty)

    if watch and as_json:
        raise typer.BadParameter("it is for people: leave out --json", param_hint="--watch")
    found = read()
    if as_json:
        print_json(found)
        return
    console = _console()
    if not watch:
        console.print(drawn(found))
    elif console.is_terminal:
        _draw_again(console, lambda: drawn(read()))
    else:
        _print_again(console, read, drawn)


def _draw_again(console: Console, draw: Callable[[], RenderableType]) -> None:
    from rich.live import Live

    with Live(draw(), console=console, screen=True, auto_refresh=False) as live:
        while True:
            time.sleep(WATCH_SECONDS)
            live.update(draw(), refresh=True)


def _print_again(console: Console, read: Callable[[], Any], drawn: Callable[[Any], RenderableType]) -> None:
    """For a pipe: each state of it below the one before."""
    last = None
    while True:
        found = read()
        if found != last:
            console.print(drawn(found))
            last = found
        time.sleep(WATCH_SECONDS)


def _table(columns: Sequence[str], rows: Iterable[Sequence[Any]], empty: str) -> RenderableType:
    from rich.table import Column, Table
    from rich.text import Text

    heads = [Column(name, no_wrap=name in NAMES) for name in columns]
    table = Table(*heads, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(Text(shown(cell), style=STYLES.get(str(cell), "")) for cell in row))
    return table if table.row_count else Text(empty)


def print_facts(facts: Iterable[tuple[str, Any]]) -> None:
    """One `name  value` a line; what is empty is left out."""
    kept = [(name, shown(value)) for name, value in facts if value not in (None, "", [], {})]
    width = max((len(name) for name, _ in kept), default=0)
    for name, value in kept:
        print(f"{name:<{width}}  {value}")


def shown(value: Any) -> str:
    """A value as people read it, with control characters escaped: titles and labels come from outside."""
    from config.logs import escape

    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(shown(part) for part in value)
    return escape(str(value))


def user_named(name: str, permission: str = "") -> User:
    """The active user `name`, who holds `permission`. Raises Invalid or NotAllowed."""
    from healing.models import User
    from selfheal.errors import Invalid, NotAllowed

    user = User.objects.filter(username=name, is_active=True).first()
    if user is None:
        raise Invalid(f"there is no active user {name!r}; `selfheal user list` shows them", field="--user")
    if permission and not user.has_perm(permission):
        raise NotAllowed(f"{name} may not do that: it needs the permission {permission}")
    return user


def actor(user: str, permission: str) -> str:
    """Who the log names for an act on this machine: the user who is given (who must hold `permission`), else the login name."""
    return user_named(user, permission).username if user else f"{_login()} (command line)"


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as containers have
        return f"uid {os.getuid()}"
