"""What this home has verified before: seals of pages of entries in which nothing was wrong.

Rules that this module keeps:
1. A seal spares looking at its entries one by one. Their hashes, the tree, the heads and the tiles are computed each time.
2. A seal stands for its bytes alone: with one bit changed, a page has another seal and is looked at in full.
3. A file that others than its owner may write is not believed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from django.conf import settings

NAME = "verified.seals"
_SEAL = 32


def known() -> frozenset[bytes]:
    try:
        with _path().open("rb") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o022:
                return frozenset()
            held = file.read()
    except OSError:
        return frozenset()
    return frozenset(held[at : at + _SEAL] for at in range(0, len(held) - len(held) % _SEAL, _SEAL))


def remember(seals: Iterable[bytes]) -> None:
    """Keep these and no others. A home that cannot be written only costs time at the next verification."""
    path = _path()
    fresh = path.with_name(f".{NAME}.{os.getpid()}")
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(b"".join(seals))
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)


def _path() -> Path:
    home: Path = settings.SELF_HEAL_HOME
    return home / NAME
