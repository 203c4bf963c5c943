"""Signed heads that are kept elsewhere: whoever keeps an old one can tell whether the log was written anew or rolled back.

Rules that this module keeps:
1. A head is only added to a directory if the log is shown to go on from the last one there (RFC 9162 consistency proof).
2. What is there is never replaced: a file a head, named by its size.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from django.db import DEFAULT_DB_ALIAS

from healing.ledger import selectors
from selfheal.errors import LedgerError
from selfheal.merkle import verify_consistency
from selfheal.signing import Checkpoint
from selfheal.verify import Ring

SUFFIX = ".checkpoint"


class Refused(LedgerError):
    """The log does not go on from a head that is kept elsewhere: it was written anew, or rolled back."""


def keep(directory: Path, using: str = DEFAULT_DB_ALIAS) -> int:
    """Add the last head and return its size. Raises Refused if the log does not go on from the last one that is there."""
    head = selectors.last_head(using)
    if head is None:
        raise LedgerError("the log has no signed head yet: is the sequencer running?")
    add(directory, head.size, selectors.witnessed(head), using)
    return head.size


def add(directory: Path, size: int, note: str, using: str = DEFAULT_DB_ALIAS) -> None:
    """Add a head of this log to a directory. Raises Refused if it does not go on from the last one there."""
    for path in files(directory)[-1:]:
        goes_on(path.read_text(), str(path), note, using)
    _add(directory / f"{size}{SUFFIX}", note)


def goes_on(before: str, where: str, note: str, using: str = DEFAULT_DB_ALIAS) -> None:
    """Raise Refused unless the head in `note` goes on from the one in the note `before`, which is kept at `where`."""
    ring = Ring(selectors.keys(using))
    try:
        old, new = opened(before, ring), opened(note, ring)
    except LedgerError as error:
        raise Refused(f"{where} has no head of this log: {error}") from error
    if old.size > new.size:
        raise Refused(f"the log was rolled back: it has {new.size:,} entries, and {where} is signed over {old.size:,}")
    if old.size == 0:
        return
    try:
        verify_consistency(old.size, new.size, old.root, new.root, selectors.consistency(old.size, new.size, using))
    except LedgerError as error:
        raise Refused(f"the log was written anew, it does not go on from {where}: {error}") from error


def files(directory: Path) -> list[Path]:
    """The heads that a directory holds, by size."""
    return sorted((path for path in directory.glob(f"*{SUFFIX}") if path.stem.isdecimal()), key=lambda path: int(path.stem))


def opened(note: str, ring: Ring) -> Checkpoint:
    """A head in a note that this log's key, the one in force at its size, has signed. Raises LedgerError for any other."""
    size = note.split("\n", 2)[1:2]
    if not size or not size[0].isdecimal() or len(size[0]) > 18 or (key := ring.at(int(size[0]) - 1)) is None:
        raise LedgerError("this is no tree head, or it is older than every key of this log")
    return key.open_checkpoint(note)


def _add(path: Path, note: str) -> None:
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with fresh.open("w") as file:
        file.write(note)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
