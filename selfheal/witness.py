"""Witnesses: others who sign that a tree head goes on from all that they saw of a log before.

Formats of C2SP: tlog-cosignature (Ed25519, `cosignature/v1`) and the body of tlog-witness' `add-checkpoint`.

    key hash      SHA-256(name ‖ "\\n" ‖ 0x04 ‖ public key)[:4]
    line          "— name base64(key hash ‖ timestamp ‖ signature)", timestamp: 8 bytes, seconds since 1970
    what is signed   "cosignature/v1\\n" "time " timestamp "\\n" and the text of the tree head's note
    request       "old " size "\\n", a line of base64 for each hash of the consistency proof, an empty line, the note
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from nacl.signing import SigningKey

from selfheal.errors import LedgerError
from selfheal.signing import Verifier, b64, signature_line, split_note, split_signatures

MOST_HASHES = 63  # of a consistency proof, as tlog-witness has it
_TIME = 8  # bytes of a timestamp
_LATEST = 1 << 63


@dataclass(frozen=True)
class Cosignature:
    """`time` in seconds since 1970; `line` as it stands in a note."""

    time: int
    line: str


@dataclass(frozen=True)
class Witness(Verifier):
    """The public key of a witness; `parse` takes a vkey of type 04."""

    algorithm: ClassVar[bytes] = b"\x04"

    def find(self, text: str, signatures: Sequence[tuple[str, bytes]]) -> Cosignature | None:
        """The newest cosignature of this witness over `text`; None: it has no line. Raises LedgerError for a wrong one."""
        found = [self._read(text, signature) for name, signature in signatures if self._is_mine(name, signature)]
        return max(found, key=lambda each: each.time, default=None)

    def find_in(self, note: str) -> Cosignature | None:
        """`find` in a note."""
        return self.find(*split_note(note))

    def answered(self, note: str, body: str) -> Cosignature:
        """What a witness answered about the head in `note`. Raises LedgerError for an answer that is no cosignature of it."""
        found = self.find(split_note(note)[0], split_signatures(body))
        if found is None:
            raise LedgerError(f"the answer has no line of {self.name} {self.key_id}")
        return found

    def _is_mine(self, name: str, signature: bytes) -> bool:
        return name == self.name and signature[:4] == self.key_hash

    def _read(self, text: str, signature: bytes) -> Cosignature:
        time = int.from_bytes(signature[4 : 4 + _TIME])
        if time >= _LATEST or not self.verify(message(time, text), signature[4 + _TIME :]):
            raise LedgerError(f"the cosignature of {self.name} {self.key_id} does not fit the tree head")
        return Cosignature(time, signature_line(self.name, signature))


class WitnessSigner:
    """The key of a witness with its 32 bytes of seed: for whoever runs one."""

    def __init__(self, name: str, seed: bytes) -> None:
        self._key = SigningKey(seed)
        self.witness = Witness(name, bytes(self._key.verify_key))

    def cosign(self, text: str, time: int) -> str:
        """The line over the text of a tree head's note; `time` in seconds since 1970."""
        signature = bytes(self._key.sign(message(time, text)).signature)
        return signature_line(self.witness.name, self.witness.key_hash + time.to_bytes(_TIME) + signature)


def message(time: int, text: str) -> bytes:
    return f"cosignature/v1\ntime {time}\n{text}".encode()


def request(old: int, proof: Sequence[bytes], note: str) -> bytes:
    """The body of `add-checkpoint`: the head in `note`, shown to go on from the `old` leaves that the witness knows."""
    return "".join([f"old {old}\n", *(f"{b64(hash_)}\n" for hash_ in proof), "\n", note]).encode()
