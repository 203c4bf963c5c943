"""A log as `selfheal log export` wrote it, read and checked: here, or by processes that each read their own lines.

Rules that this module keeps:
1. A process gets the place of its lines, not the entries: handing it those would take longer than checking them.
2. The files are read as they stream by, a few thousand lines at a time, however long the log is.
3. What is no entry or head at all raises LedgerError, which names the file and the line. All else is in the report.
"""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from selfheal.errors import LedgerError
from selfheal.parallel import in_order
from selfheal.signing import unb64
from selfheal.verify import CHUNK, Checked, Entry, Head, Key, Report, Ring, check, judge
from selfheal.witness import Witness

ENTRIES, HEADS = "entries.jsonl", "heads.jsonl"
WORTH_PROCESSES = 8_000_000  # bytes of entries from which starting processes pays
AHEAD = 8  # chunks under way for each process


class _Entry(msgspec.Struct):
    index: int
    leaf: str
    signature: str
    key_id: str


class _Head(msgspec.Struct):
    size: int
    note: str


@dataclass(frozen=True)
class Lines:
    """Some lines of a file: the number of the first, counted from 1, and where they begin and end, in bytes."""

    first: int
    start: int
    end: int


@dataclass(frozen=True)
class Reader:
    """Reads and checks lines of the file of entries."""

    path: Path
    ring: Ring

    def __call__(self, lines: Lines) -> Checked:
        with self.path.open("rb") as file:
            file.seek(lines.start)
            held = file.read(lines.end - lines.start)
        rows = enumerate(held.splitlines(), lines.first)
        return check([_entry(self.path, number, line) for number, line in rows], self.ring)


def verify_export(directory: Path, progress: Callable[[int], None] = lambda size: None, *, processes: int = 1) -> Report:
    """Verify an exported log. Raises LedgerError for files that cannot be read as one."""
    try:
        entries, document = directory / ENTRIES, json.loads((directory / "log.json").read_text())
        keys = [Key(key["vkey"], key["since_index"]) for key in [document, *document["retired"]]]
        alone = processes < 2 or entries.stat().st_size < WORTH_PROCESSES

        def checked(ring: Ring) -> Iterator[Checked]:
            return _spread(Reader(entries, ring), 1 if alone else processes)

        report = judge(checked, _heads(directory / HEADS), keys, progress=progress)
        last = (directory / "checkpoint").read_text()
        if last not in {head.note for head in _heads(directory / HEADS) if head.size == report.size}:
            report.add("head", report.size, "the checkpoint is not the last head")
        return report
    except (OSError, ValueError, KeyError, TypeError, LedgerError) as error:
        told = error if isinstance(error, LedgerError) else repr(error)
        raise LedgerError(f"{directory} is no export of a log: {told}") from error


def verify_witness(directory: Path, vkey: str, report: Report) -> None:
    """Add to the report what is wrong with the lines of a witness. Raises LedgerError for a vkey that is none."""
    witness = Witness.parse(vkey)
    signed = False
    for head in _heads(directory / HEADS):
        try:
            signed |= witness.find_in(head.note) is not None
        except LedgerError as error:
            report.add("witness", head.size, f"the head of size {head.size}: {error}")
            signed = True
    if not signed:
        report.add("witness", report.size, f"{witness.name} has signed for no head of this log")


def entries_of(directory: Path) -> Iterator[Entry]:
    """The entries of an export, unchecked. Raises LedgerError naming the line that is none, OSError without the file."""
    path = directory / ENTRIES
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            yield _entry(path, number, line)


def _spread(reader: Reader, processes: int) -> Iterator[Checked]:
    if processes < 2:
        yield from map(reader, _ranges(reader.path))
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, _begin, (reader,)) as pool:
        yield from in_order(pool, _work, _ranges(reader.path), AHEAD * processes)


_reader: Reader


def _begin(reader: Reader) -> None:
    global _reader  # noqa: PLW0603 — one for each process of the pool
    _reader = reader


def _work(lines: Lines) -> Checked:
    return _reader(lines)


def _ranges(path: Path) -> Iterator[Lines]:
    number, start, end = 0, 0, 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            end += len(line)
            if number % CHUNK == 0:
                yield Lines(number - CHUNK + 1, start, end)
                start = end
    if start < end:
        yield Lines(number - number % CHUNK + 1, start, end)


def _heads(path: Path) -> Iterator[Head]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            row = _decoded(_HEAD, path, number, line)
            yield Head(row.size, row.note)


def _entry(path: Path, number: int, line: bytes) -> Entry:
    row = _decoded(_ENTRY, path, number, line)
    try:
        return Entry(row.index, unb64(row.leaf), unb64(row.signature), row.key_id)
    except LedgerError as error:
        raise LedgerError(f"{path.name}, line {number:,}: {error}") from error


def _decoded(decoder: msgspec.json.Decoder[Any], path: Path, number: int, line: bytes) -> Any:
    try:
        return decoder.decode(line)
    except (ValueError, RecursionError) as error:
        raise LedgerError(f"{path.name}, line {number:,}: {error}") from error


_ENTRY, _HEAD = msgspec.json.Decoder(_Entry), msgspec.json.Decoder(_Head)
