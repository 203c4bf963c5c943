"""The key of the log. Only the sequencer reads it, and only the sequencer makes it.

Rules that this module keeps:
1. The file holds the base64 of an Ed25519 seed and is for its owner alone; one that others may read is refused.
2. It is made once, whole and on the disk before it signs anything, and only while no log has begun.
3. A log goes on only with its last key. Another one succeeds it by an entry that both have signed: `make_successor` makes a file
   beside that of the key, the sequencer writes the entry, and then that file takes the place of the first.
"""

from __future__ import annotations

import logging
import os
import secrets
import stat
from hashlib import sha256
from pathlib import Path

from django.conf import settings

from healing.models import LedgerKey
from selfheal.errors import Conflict, LedgerError
from selfheal.signing import SEED_BYTES, Signer, b64, unb64

logger = logging.getLogger(__name__)


def load() -> Signer:
    """The log's key; it is made if neither the file nor a log is there.

    Raises LedgerError with what to do: the file is open to others, is no seed, is lost, or is another log's.
    """
    path: Path = settings.SELF_HEAL_SIGNING_KEY_FILE
    begun = LedgerKey.objects.first()
    if begun and _waiting().exists() and successor(begun.origin).verifier.vkey == begun.vkey:
        succeed()  # the entry was committed, and then the sequencer died
    if begun and not path.exists():
        raise LedgerError(f"{path} is missing, and the log was begun with key {begun.key_id}: put the file back from a backup")
    if not path.exists():
        _make(path)
    signer = Signer(_origin(begun, path), _read(path))
    if begun and signer.verifier.vkey != begun.vkey:
        raise LedgerError(f"{path} is not the key of this log: it has key {signer.verifier.key_id}, the log {begun.key_id}")
    return signer


def make_successor() -> str:
    """Make the file of the log's next key; return its path. Raises LedgerError without a log, Conflict if one waits."""
    if not LedgerKey.objects.exists():
        raise LedgerError("the log has not begun: there is no key that could be succeeded")
    if successor_waits():
        raise Conflict(f"{_waiting()} waits already for the sequencer: is it running?")
    _make(_waiting())
    return str(_waiting())


def successor_waits() -> bool:
    return _waiting().exists()


def successor(origin: str) -> Signer:
    """The key that waits. Raises LedgerError as `load` does."""
    return Signer(origin, _read(_waiting()))


def succeed() -> None:
    """Put the file that waits in the place of the key's; the old seed is gone with it, so nobody can sign with it again."""
    path: Path = settings.SELF_HEAL_SIGNING_KEY_FILE
    _waiting().replace(path)
    _sync_directory(path.parent)


def _waiting() -> Path:
    path: Path = settings.SELF_HEAL_SIGNING_KEY_FILE
    return path.with_name(f"{path.name}.next")


def _origin(begun: LedgerKey | None, path: Path) -> str:
    wanted: str = settings.SELF_HEAL_LOG_ORIGIN
    if begun:
        if wanted and wanted != begun.origin:
            logger.warning("SELF_HEAL_LOG_ORIGIN is %r, but the log was begun as %r and goes on so", wanted, begun.origin)
        return begun.origin
    public = Signer("unnamed", _read(path)).verifier.public
    return wanted or f"selfheal.local/{sha256(public).hexdigest()[:16]}"


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        if mode & 0o077:
            raise LedgerError(f"{path} has mode {mode:o}, so others may read the log's key: chmod 600 {path}")
        seed = unb64(file.read(200).decode("ascii", "replace").strip())
    if len(seed) != SEED_BYTES:
        raise LedgerError(f"{path} holds no Ed25519 seed (the base64 of {SEED_BYTES} bytes)")
    return seed


def _make(path: Path) -> None:
    """Whole or not at all, and whoever comes second takes the first one's."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(b64(secrets.token_bytes(SEED_BYTES)).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(fresh, path)
    except FileExistsError:
        logger.info("%s was made by another process just now", path)
    finally:
        fresh.unlink()
    _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
