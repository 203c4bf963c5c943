"""What the launcher has read so far, for the worker to look at while the work runs.

Rules that this module keeps:
1. It is memory that both processes share: the launcher writes, the worker reads, and neither ever waits for the other.
2. A counter is odd while something is written; who reads while it moves reads again, and at last does without.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterable

from .streams import KEEP, Kept

COUNTER = struct.Struct("<Q")
SIZES = struct.Struct("<IIQ")  # of head, of tail, of the whole stream
STREAMS = 2
STRIDE = SIZES.size + KEEP
TRIES = 3


class Glimpse:
    """Made before the fork, so that it is the same memory on both sides."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, COUNTER.size + STREAMS * STRIDE)
        self._written = 0

    def write(self, streams: Iterable[Kept]) -> None:
        """The launcher's side."""
        self._count()
        for number, kept in enumerate(streams):
            at = COUNTER.size + number * STRIDE
            data = bytes(kept.head) + bytes(kept.tail)
            SIZES.pack_into(self._memory, at, len(kept.head), len(kept.tail), kept.count)
            self._memory[at + SIZES.size : at + SIZES.size + len(data)] = data
        self._count()

    def read(self) -> list[Kept] | None:
        """The worker's side; None: it is being written just now."""
        for _ in range(TRIES):
            before = self._counter()
            found = [self._stream(number) for number in range(STREAMS)]
            if before % 2 == 0 and self._counter() == before:
                return found
        return None

    def close(self) -> None:
        self._memory.close()

    def _stream(self, number: int) -> Kept:
        at = COUNTER.size + number * STRIDE
        head, tail, count = SIZES.unpack_from(self._memory, at)
        start = at + SIZES.size
        return Kept(
            bytearray(self._memory[start : start + head]), bytearray(self._memory[start + head : start + head + tail]), count
        )

    def _counter(self) -> int:
        number: int = COUNTER.unpack_from(self._memory, 0)[0]
        return number

    def _count(self) -> None:
        self._written += 1
        COUNTER.pack_into(self._memory, 0, self._written)
