from __future__ import annotations

import typer


def command(keep: bool = typer.Option(False, "--keep", help="leave it running to click through")) -> None:
    """Show it at work: three real services break, one heals, one asks, one fix is undone; the log is verified."""
    from config.demo.story import tell

    raise typer.Exit(tell(keep=keep))
