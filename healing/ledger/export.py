"""The log as files that `python -m selfheal verify DIR` checks anywhere, without a database and without Django.

log.json       as /api/log/key gives it
entries.jsonl  an entry a line, as /api/log/entries gives it
heads.jsonl    {"size", "note"} a line, by size; a note has the lines of its witnesses too
checkpoint     the last signed head, with the lines of its witnesses
tile/          hashes and leaves as C2SP tlog-tiles has them: with the checkpoint, what a static web server serves
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, TextIO

from django.db import DEFAULT_DB_ALIAS
from django.db.models import QuerySet

from healing.ledger import selectors
from healing.ledger.tiles import HASH
from healing.models import LedgerCosignature, LedgerHead
from selfheal.errors import LedgerError
from selfheal.merkle import TILE, TileStack, leaf_hash, tile_path
from selfheal.signing import unb64


def export(directory: Path, using: str = DEFAULT_DB_ALIAS) -> int:
    """Write the log up to its last head; return its size. Raises LedgerError without one, or if the directory is not empty."""
    head, document = selectors.last_head(using), selectors.key_document(using)
    if head is None or document is None:
        raise LedgerError("the log has no signed head yet: is the sequencer running?")
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.iterdir()):
        raise LedgerError(f"{directory} is not empty")
    tiles = _Tiles(directory)
    with (directory / "entries.jsonl").open("w") as file:
        for start in range(0, head.size, selectors.MOST):
            page = selectors.entries(start, min(start + selectors.MOST, head.size), using)
            _lines(file, page)
            tiles.take(unb64(entry["leaf"]) for entry in page)
    tiles.finish()
    with (directory / "heads.jsonl").open("w") as file:
        rows = LedgerHead.objects.using(using).filter(size__lte=head.size).order_by("size")
        _lines(file, _heads(rows, using))
    (directory / "checkpoint").write_text(selectors.witnessed(head))
    (directory / "log.json").write_text(json.dumps(document, indent=2) + "\n")
    return head.size


class _Tiles:
    """Writes each tile and each bundle of entries as it fills, and at the end those that did not."""

    def __init__(self, directory: Path) -> None:
        self._directory, self._stack = directory, TileStack()
        self._bundle: list[bytes] = []

    def take(self, leaves: Iterable[bytes]) -> None:
        for leaf in leaves:
            self._bundle.append(leaf)
            if len(self._bundle) == TILE:
                self._entries(self._stack.size // TILE)
            for tile in self._stack.append(leaf_hash(leaf)):
                self._write(tile_path(str(tile.level), tile.index), tile.hashes)

    def finish(self) -> None:
        if self._bundle:
            self._entries(self._stack.size // TILE)
        for level, index, hashes in self._stack.partial():
            self._write(tile_path(str(level), index, len(hashes) // HASH), hashes)

    def _entries(self, index: int) -> None:
        path = tile_path("entries", index, len(self._bundle))
        self._write(path, b"".join(len(leaf).to_bytes(2) + leaf for leaf in self._bundle))
        self._bundle = []

    def _write(self, path: str, data: bytes) -> None:
        file = self._directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)


def _heads(rows: QuerySet[LedgerHead], using: str) -> Iterator[dict[str, Any]]:
    """Each head with the lines of its witnesses, both read in order of size."""
    cosigned = LedgerCosignature.objects.using(using).order_by("head", "witness", "key_id").values_list("head", "line")
    lines = groupby(cosigned.iterator(), key=itemgetter(0))
    due = next(lines, None)
    for size, note in rows.values_list("size", "note").iterator():
        while due and due[0] < size:
            due = next(lines, None)
        more = "".join(line for _, line in due[1]) if due and due[0] == size else ""
        yield {"size": size, "note": note + more}


def _lines(file: TextIO, documents: Iterable[Mapping[str, Any]]) -> None:
    file.writelines(json.dumps(document) + "\n" for document in documents)
