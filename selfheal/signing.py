"""Ed25519 keys, signed notes and tree heads as C2SP writes them (signed-note, tlog-checkpoint), and entry signatures.

    vkey        name+hash+base64(0x01 ‖ public key)                    hash = SHA-256(name ‖ "\\n" ‖ 0x01 ‖ public key)[:4], hex
    note        text ending in a newline, an empty line, "— name base64(hash ‖ signature)" a signature
    checkpoint  origin, size, base64(root): the text of a tree head's note
    entry       "selfheal/entry/v1\\n" origin "\\n" index "\\n" base64(leaf hash) "\\n" is what an entry's signature covers
    rotation    "selfheal/key/v1\\n" origin "\\n" index "\\n" vkey "\\n" is what a key signs for the next, in force from index on

The key's name is the log's origin. A key id is the hash in 8 hex digits.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import ClassVar, Self

from nacl.bindings import crypto_sign_BYTES, crypto_sign_open
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey

from selfheal.errors import Invalid, LedgerError

ED25519 = b"\x01"
SEED_BYTES = 32
_SIGNATURE = "— "
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def unb64(text: str) -> bytes:
    """Standard base64 (RFC 4648 §4) in its one canonical spelling. Raises LedgerError."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise LedgerError(f"{text[:60]!r} is no base64") from error
    if b64(data) != text:
        raise LedgerError(f"{text[:60]!r} is not the canonical base64 of its bytes")
    return data


def check_name(name: str) -> None:
    """Raise Invalid unless `name` can be a key name, and so an origin."""
    if not name or "+" in name or any(c.isspace() or ord(c) < 0x20 for c in name) or len(name) > 200:
        raise Invalid(f"{name!r} cannot be a log's origin: 1 to 200 characters, no spaces, no +, like example.com/log")


@dataclass(frozen=True)
class Verifier:
    """A public key of the log."""

    algorithm: ClassVar[bytes] = ED25519

    name: str
    public: bytes = field(repr=False)

    @classmethod
    def parse(cls, vkey: str) -> Self:
        """From a vkey; raises LedgerError if it is none, or its hash is not that of its key."""
        name, _, rest = vkey.partition("+")
        hash_, _, encoded = rest.partition("+")
        key = unb64(encoded)
        if not name or key[:1] != cls.algorithm or len(key) != 33:
            raise LedgerError(f"{vkey!r} is no Ed25519 vkey of type {cls.algorithm.hex()}")
        verifier = cls(name, key[1:])
        if hash_ != verifier.key_id:
            raise LedgerError(f"{vkey!r}: the hash of this key is {verifier.key_id}")
        return verifier

    @cached_property
    def key_hash(self) -> bytes:
        return sha256(self.name.encode() + b"\n" + self.algorithm + self.public).digest()[:4]

    @cached_property
    def key_id(self) -> str:
        return self.key_hash.hex()

    @cached_property
    def vkey(self) -> str:
        return f"{self.name}+{self.key_id}+{b64(self.algorithm + self.public)}"

    def verify(self, message: bytes, signature: bytes) -> bool:
        """By libsodium, without what PyNaCl's VerifyKey does around it: a log has millions of signatures."""
        if len(signature) != crypto_sign_BYTES:
            return False
        try:
            crypto_sign_open(signature + message, self.public)
        except BadSignatureError:
            return False
        return True

    def verify_entry(self, index: int, leaf_hash: bytes, signature: bytes) -> bool:
        return self.verify(entry_message(self.name, index, leaf_hash), signature)

    def verify_successor(self, index: int, vkey: str, signature: bytes) -> bool:
        return self.verify(successor_message(self.name, index, vkey), signature)

    def open_note(self, note: str) -> str:
        """The text of a note that this key signed; raises LedgerError for any other note. Other keys' lines are left alone."""
        text, signatures = split_note(note)
        found = False
        for name, signature in signatures:
            if name == self.name and signature[:4] == self.key_hash:
                if not self.verify(text.encode(), signature[4:]):
                    raise LedgerError(f"the signature of {self.name} {self.key_id} does not fit the note")
                found = True
        if not found:
            raise LedgerError(f"the note is not signed by {self.name} {self.key_id}")
        return text

    def open_checkpoint(self, note: str) -> Checkpoint:
        """The tree head in a note of this key, of the log of its name. Raises LedgerError."""
        checkpoint = Checkpoint.parse(self.open_note(note))
        if checkpoint.origin != self.name:
            raise LedgerError(f"the tree head is of {checkpoint.origin!r}, not of {self.name!r}")
        return checkpoint


class Signer:
    """A key of the log with its seed. Raises Invalid for a name that cannot be an origin, LedgerError for a bad seed."""

    def __init__(self, name: str, seed: bytes) -> None:
        check_name(name)
        if len(seed) != SEED_BYTES:
            raise LedgerError(f"an Ed25519 seed has {SEED_BYTES} bytes, not {len(seed)}")
        self._key = SigningKey(seed)
        self.verifier = Verifier(name, bytes(self._key.verify_key))

    def sign_entry(self, index: int, leaf_hash: bytes) -> bytes:
        return self._sign(entry_message(self.verifier.name, index, leaf_hash))

    def sign_successor(self, index: int, vkey: str) -> bytes:
        return self._sign(successor_message(self.verifier.name, index, vkey))

    def sign_note(self, text: str) -> str:
        """The note over `text`, which ends in a newline."""
        if not text.endswith("\n"):
            raise LedgerError("the text of a note ends in a newline")
        return f"{text}\n{signature_line(self.verifier.name, self.verifier.key_hash + self._sign(text.encode()))}"

    def sign_checkpoint(self, size: int, root: bytes) -> str:
        return self.sign_note(Checkpoint(self.verifier.name, size, root).body())

    def _sign(self, message: bytes) -> bytes:
        return bytes(self._key.sign(message).signature)


@dataclass(frozen=True)
class Checkpoint:
    """A tree head."""

    origin: str
    size: int
    root: bytes

    def body(self) -> str:
        return f"{self.origin}\n{self.size}\n{b64(self.root)}\n"

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """From the text of a note; extension lines are allowed and ignored. Raises LedgerError."""
        lines = text.split("\n")
        if len(lines) < 4 or lines[-1] or not all(lines[:-1]) or not _SIZE.fullmatch(lines[1]):
            raise LedgerError("a tree head has an origin, a size and a root, a line each")
        root = unb64(lines[2])
        if len(root) != 32:
            raise LedgerError("the root in a tree head has 32 bytes")
        return cls(lines[0], int(lines[1]), root)


def split_note(note: str) -> tuple[str, list[tuple[str, bytes]]]:
    """The text of a note, and of each signature the name and key hash ‖ signature. Raises LedgerError for what is no note."""
    text, separator, lines = note.rpartition("\n\n")
    if not separator or _CONTROL.search(note):
        raise LedgerError("this is no signed note")
    return f"{text}\n", split_signatures(lines)


def split_signatures(lines: str) -> list[tuple[str, bytes]]:
    """Lines of signature, one at least, as a note ends with them. Raises LedgerError."""
    if not lines.endswith("\n"):
        raise LedgerError("this is no signed note")
    found = []
    for line in lines[:-1].split("\n"):
        name, _, encoded = line.removeprefix(_SIGNATURE).partition(" ")
        signature = unb64(encoded)
        if not line.startswith(_SIGNATURE) or not name or len(signature) < 5:
            raise LedgerError(f"{line[:60]!r} is no signature line of a note")
        found.append((name, signature))
    return found


def signature_line(name: str, signature: bytes) -> str:
    """The line of a note; `signature` begins with the key hash."""
    return f"{_SIGNATURE}{name} {b64(signature)}\n"


def successor_message(origin: str, index: int, vkey: str) -> bytes:
    return f"selfheal/key/v1\n{origin}\n{index}\n{vkey}\n".encode()


def entry_message(origin: str, index: int, leaf_hash: bytes) -> bytes:
    return f"selfheal/entry/v1\n{origin}\n{index}\n{b64(leaf_hash)}\n".encode()
