"""The stored tree: the root of any complete subtree from full tiles, and from what is not a full tile yet.

A subtree of level 8t + r lies in one tile of level t. A full tile is stored; of the last one of each level, the hashes are those
of the entries (t = 0) or the roots of the full tiles one level below. So a proof reads a few rows, however long the log is.
"""

from __future__ import annotations

from django.db import DEFAULT_DB_ALIAS
from django.db.models import QuerySet

from healing.models import LedgerEntry, LedgerTile
from selfheal.errors import LedgerError
from selfheal.merkle import TILE, TileStack, root

HASH = 32


class Nodes:
    """(level, index) → root of that complete subtree, reading each tile once."""

    def __init__(self, using: str = DEFAULT_DB_ALIAS) -> None:
        self._using = using
        self._seen: dict[tuple[int, int], list[bytes]] = {}

    def __call__(self, level: int, index: int) -> bytes:
        tile_level, r = divmod(level, 8)
        tile, offset = divmod(index << r, TILE)
        if (tile_level, tile) not in self._seen:
            self._seen[tile_level, tile] = self._hashes(tile_level, tile)
        hashes = self._seen[tile_level, tile][offset : offset + (1 << r)]
        if len(hashes) != 1 << r:
            raise LedgerError(f"the log does not hold the subtree {level}/{index}")
        return root(hashes)

    def _hashes(self, level: int, index: int) -> list[bytes]:
        full = LedgerTile.objects.using(self._using).filter(level=level, index=index).values_list("hashes", flat=True).first()
        if full is not None:
            return [bytes(full[i : i + HASH]) for i in range(0, len(full), HASH)]
        return partial(level, index * TILE, (index + 1) * TILE, self._using)


def partial(level: int, start: int, end: int, using: str = DEFAULT_DB_ALIAS) -> list[bytes]:
    """The hashes `start` to `end` of a tile level, as many as there are."""
    rows: QuerySet
    if level == 0:
        rows = LedgerEntry.objects.using(using).values_list("leaf_hash", flat=True)
    else:
        rows = LedgerTile.objects.using(using).filter(level=level - 1).values_list("root", flat=True)
    return [bytes(hash_) for hash_ in rows.filter(index__gte=start, index__lt=end).order_by("index")]


def stack(size: int) -> TileStack:
    """The right edge of the stored tree of `size` leaves, to go on from."""
    levels = []
    for level in range((size.bit_length() + 7) // 8):
        count = size >> 8 * level
        levels.append(partial(level, count - count % TILE, count))
    return TileStack(size, levels)
