"""What is kept of a stream: its first and its last 32 KiB, however much went by.

Nothing else is held, so a program that writes a gigabyte costs its reader 64 KiB.
"""

from __future__ import annotations

import codecs
from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

KEEP = 64 * 1024
MASK = "***"


@dataclass
class Kept:
    head: bytearray = field(default_factory=bytearray)
    tail: bytearray = field(default_factory=bytearray)
    count: int = 0

    def add(self, chunk: bytes) -> None:
        self.count += len(chunk)
        room = KEEP // 2 - len(self.head)
        self.head += chunk[:room]
        self.tail += chunk[room:]
        del self.tail[: -KEEP // 2]

    @property
    def left_out(self) -> int:
        return self.count - len(self.head) - len(self.tail)

    def text(self, secrets: Iterable[str] = ()) -> str:
        """As text: UTF-8, what is none and NUL replaced by U+FFFD, secrets by ***, the gap named."""
        if not self.left_out:
            return mask(_decoded(self.head + self.tail), secrets)
        head, tail = mask(_decoded(self.head), secrets), mask(_decoded(self.tail), secrets)
        for secret in secrets:  # one that the gap cuts in two
            head, tail = _without_start_of(secret, head), _without_end_of(secret, tail)
        return f"{head}\n… {self.left_out:,} bytes left out …\n{tail}"

    def so_far(self, secrets: Iterable[str] = ()) -> str:
        """As `text`, of a stream that goes on: what may begin a secret or a character is left for the next look."""
        secrets = list(secrets)
        seen = Kept(bytearray(self.head), bytearray(self.tail), self.count)
        last = seen.tail or seen.head
        before = len(last)
        for secret in secrets:
            _cut_start_of(secret.encode(), last)
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        decoder.decode(bytes(last))
        del last[len(last) - len(decoder.getstate()[0]) :]
        seen.count -= before - len(last)
        return seen.text(secrets)

    def as_json(self) -> dict[str, Any]:
        return {"head": b64encode(self.head).decode(), "tail": b64encode(self.tail).decode(), "count": self.count}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Kept:
        return cls(bytearray(b64decode(value["head"])), bytearray(b64decode(value["tail"])), value["count"])


def mask(text: str, secrets: Iterable[str]) -> str:
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text


def _decoded(data: bytes | bytearray) -> str:
    return data.decode("utf-8", "replace").replace("\0", "\ufffd")


def _without_start_of(secret: str, head: str) -> str:
    for size in range(len(secret) - 1, 0, -1):
        if head.endswith(secret[:size]):
            return head[:-size] + MASK
    return head


def _cut_start_of(secret: bytes, data: bytearray) -> None:
    """Take away what `data` ends in, if the secret begins so."""
    for size in range(len(secret) - 1, 0, -1):
        if data.endswith(secret[:size]):
            del data[-size:]
            return


def _without_end_of(secret: str, tail: str) -> str:
    for size in range(len(secret) - 1, 0, -1):
        if tail.startswith(secret[-size:]):
            return MASK + tail[size:]
    return tail
