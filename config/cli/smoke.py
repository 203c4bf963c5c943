"""A quick proof that the important parts work, one line each, with how to mend what does not.

On this machine: what everything stands on, the log, the API's answers, a program under the launcher, and the web process where
one is to be there. With SELF_HEAL_TOKEN: the server at SELF_HEAL_BASE_URL, as the token's user, with nothing but GET.
With --throwaway: a new installation beside it, which takes an alert and decides about it (`config.demo.smoke`).

Rules that this module keeps:
1. It changes nothing that anybody would have to look at: no alert, no incident, no proposal, no entry in the log.
2. Each check does what it says is possible; none takes a word for it. One that cannot be done has failed.
3. Every check has its bound, so that it can stand in a probe, a deployment, or a playbook's `cli_smoke`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from config.cli import api_checks, doctor
from config.cli.base import Failed, Json, now
from config.cli.client import Server, base_url, connect
from selfheal.findings import Finding

if TYPE_CHECKING:
    from healing.looking import Seen

PROGRAM_SECONDS = 10.0  # for a program that ends by itself
ENDLESS_SECONDS = 0.5  # for one that does not
ANSWER_SECONDS = 10.0

Throwaway = Annotated[bool, typer.Option("--throwaway", help="prove it with an alert, in an installation made for that")]


def command(throwaway: Throwaway = False, as_json: Annotated[bool, Json] = False) -> None:
    """Status 1 if something does not work. It changes nothing."""
    if throwaway:
        from config.demo.smoke import smoke

        found = list(smoke())
    else:
        found = list(look())
    doctor.tell(found, as_json)
    doctor.judge(found)


def look() -> Iterator[Finding]:
    """Every check, in the order in which one mends."""
    server = connect()
    if server.remote:
        yield from _web(base_url())
        yield from _api(server)
        return
    if (yield from doctor.foundations()):
        yield from _here(server)
    yield from _launcher()
    if os.environ.get("SELF_HEAL_BASE_URL") or _embedded():
        yield from _web(base_url())


def _here(server: Server) -> Iterator[Finding]:
    from healing import findings

    yield findings.guarded("schema", findings.schema)
    yield findings.guarded("log order", lambda: findings.log_order(now()))
    yield from _api(server)


def _api(server: Server) -> Iterator[Finding]:
    mend = "a token with the scope read; else the log of the web process says what failed"
    whole = "selfheal log verify says which entry, and how; the sequencer begins it"
    yield _tried("api", lambda: api_checks.shapes(server), mend)
    yield _tried("log", lambda: api_checks.log_tail(server), whole)


def _launcher() -> Iterator[Finding]:
    """A program of ours ends by itself, and another at its bound: what every step of every run relies on."""
    yield _tried("program", _ended, "see whether processes and memory are to be had")
    yield _tried("bound", _bounded, "what a step starts would outlive it here: report this, with the system's name")


def _ended() -> str:
    seen = _seen(PROGRAM_SECONDS, "/bin/true")
    if not seen.ok:
        raise Failed(f"/bin/true: {seen.message}")
    return "/bin/true ran under the launcher"


def _bounded() -> str:
    seen = _seen(ENDLESS_SECONDS, "/bin/sleep", "60")
    if seen.answered or str(ENDLESS_SECONDS) not in seen.message:
        raise Failed(f"/bin/sleep was to be ended after {ENDLESS_SECONDS:g} s: {seen.message}")
    return f"/bin/sleep {seen.message}"


def _seen(seconds: float, *argv: str) -> Seen:
    """A command as a step has it: its own process, its bound, and the sandbox where there is one."""
    from healing import looking, sandbox
    from healing.actions import command as program
    from healing.actions.base import Context
    from healing.parameters import frozen

    context = Context("smoke", "selfheal", "selfheal", bound_seconds=seconds, sandbox=sandbox.prefix())
    arguments = frozen(program.Frozen(argv=list(argv)))
    return looking.take(looking.Look("check", "command", arguments, context))


def _web(base: str) -> Iterator[Finding]:
    mend = f"start the web process (`selfheal up`), or set SELF_HEAL_BASE_URL to where it answers; now it is {base}"
    yield _tried("/healthz", lambda: _asked(base, "/healthz"), mend)
    yield _tried("/readyz", lambda: _asked(base, "/readyz"), "start the part that is named; selfheal doctor looks at each")


def _embedded() -> bool:
    """Whether `up` is what runs here, and so a web process beside it."""
    from django.conf import settings

    return bool(settings.EMBEDDED_BROKER_SOCKET)


def _asked(base: str, path: str) -> str:
    import requests

    answer = requests.get(base + path, timeout=ANSWER_SECONDS, allow_redirects=False)
    try:
        found = answer.json()
    except ValueError:
        found = {}
    status = found.get("status") if isinstance(found, dict) else None
    if answer.status_code != 200 or not status:
        detail = found.get("detail") if isinstance(found, dict) else None
        raise Failed(str(detail or f"answers {answer.status_code}, and not as selfheal does"))
    return str(status)


def _tried(what: str, check: Callable[[], str], mend: str) -> Finding:
    """A finding of a check that says what it found, or raises why it cannot."""
    import requests
    from django.db import DatabaseError

    from selfheal.errors import SelfhealError

    try:
        return Finding(what, True, check())
    except (Failed, SelfhealError, requests.RequestException, DatabaseError, OSError) as error:
        return Finding(what, False, str(error).strip().partition("\n")[0] or type(error).__name__, mend)
