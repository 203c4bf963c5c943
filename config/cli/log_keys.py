"""`selfheal log rotate`, `revoke` and `attest`: the keys of the log."""

from __future__ import annotations

from typing import Annotated

import typer

from config.cli.base import actor, now, ready

Key = Annotated[str, typer.Argument(metavar="KEY", help="its id, eight hexadecimal digits, as the keys of the log have it")]
Reason = Annotated[str, typer.Option(help="why; it stands in the log")]
User = Annotated[str, typer.Option(help="who does it; must be an admin")]


def rotate() -> None:
    """Make a new key for the log: the sequencer goes on with it, by an entry that the old key and the new one sign."""
    ready()
    from healing.ledger.keys import make_successor

    print(f"{make_successor()} is made. The running sequencer takes it within a second; `selfheal log verify` shows that it did.")


def revoke(
    key: Key,
    reason: Reason,
    since: Annotated[int, typer.Option("--from", min=0, help="the first entry that somebody else may have signed")],
    user: User = "",
) -> None:
    """Revoke a key that somebody else may have: what it signed from an entry on does not verify, unless it is attested."""
    ready()
    from healing.ledger import revoking

    revoking.revoke(key, since, reason, actor(user, "healing.configure"), now())
    print(f"key {key} is revoked from entry {since} on, once the sequencer has signed that: see `selfheal log verify`")


def attest(key: Key, reason: Reason, user: User = "") -> None:
    """Stand up for what a revoked key has signed, once it was compared with what others have kept: it verifies again."""
    ready()
    from healing.ledger import revoking

    start, end = revoking.attest(key, reason, actor(user, "healing.configure"), now())
    print(f"entries {start} to {end - 1} of key {key} are attested, once the sequencer has signed that")
