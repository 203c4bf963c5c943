"""`selfheal log rotate`, `revoke` and `attest`: the keys of the log."""

from __future__ import annotations

from typing import Annotated

import typer

from config.cli.base import Json, actor, now, print_done, ready

Key = Annotated[str, typer.Argument(metavar="KEY", help="its id, eight hexadecimal digits, as the keys of the log have it")]
Reason = Annotated[str, typer.Option(help="why; it stands in the log")]
User = Annotated[str, typer.Option(help="who does it; must be an admin")]


def rotate(as_json: Annotated[bool, Json] = False) -> None:
    """Make a new key for the log: the sequencer goes on with it, by an entry that the old key and the new one sign."""
    ready()
    from healing.ledger.keys import make_successor

    made = make_successor()
    line = f"{made} is made. The running sequencer takes it within a second; `selfheal log verify` shows that it did."
    print_done({"file": made}, line, as_json)


def revoke(
    key: Key,
    reason: Reason,
    since: Annotated[int, typer.Option("--from", min=0, help="the first entry that somebody else may have signed")],
    user: User = "",
    as_json: Annotated[bool, Json] = False,
) -> None:
    """Revoke a key that somebody else may have: what it signed from an entry on does not verify, unless it is attested."""
    ready()
    from healing.ledger import revoking

    revoking.revoke(key, since, reason, actor(user, "healing.configure"), now())
    line = f"key {key} is revoked from entry {since} on, once the sequencer has signed that: see `selfheal log verify`"
    print_done({"key": key, "revoked_from": since}, line, as_json)


def attest(key: Key, reason: Reason, user: User = "", as_json: Annotated[bool, Json] = False) -> None:
    """Stand up for what a revoked key has signed, once it was compared with what others have kept: it verifies again."""
    ready()
    from healing.ledger import revoking

    start, end = revoking.attest(key, reason, actor(user, "healing.configure"), now())
    line = f"entries {start} to {end - 1} of key {key} are attested, once the sequencer has signed that"
    print_done({"key": key, "start": start, "end": end}, line, as_json)
