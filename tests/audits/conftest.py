"""An export of 100,000 entries, and the proofs that the log gives of it, for tools that are not ours."""

from __future__ import annotations

import json
import random
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.conf import settings
from django.db import transaction

from healing import ledger
from healing.ledger import keys, selectors
from healing.ledger.export import export
from healing.ledger.sequencer import BATCH, sequence_once
from healing.models import LedgerOutbox
from selfheal.canonical import dumps
from selfheal.signing import b64, unb64

SIZE = 100_000
EDGES = [1, 2, 255, 256, 257, 65_535, 65_536, 65_537, SIZE - 1, SIZE]  # where tiles and levels begin and end
SAMPLES = 60


@dataclass(frozen=True)
class Exported:
    directory: Path
    proofs: Path  # {"inclusion": [{index, size, hashes}], "consistency": [{first, second, hashes}]}
    vkey: str


@pytest.fixture(scope="module")
def exported(django_db_setup: None, django_db_blocker: pytest.FixtureRequest, tmp_path_factory) -> Exported:
    """Made once for all tools, and rolled back: what they read is files."""
    directory, before = tmp_path_factory.mktemp("audited"), settings.SELF_HEAL_SIGNING_KEY_FILE
    settings.SELF_HEAL_SIGNING_KEY_FILE = directory / "signing.key"
    try:
        with django_db_blocker.unblock(), transaction.atomic():
            _grow(SIZE)
            export(directory / "log")
            (directory / "proofs.json").write_text(json.dumps(_proofs()))
            vkey = selectors.key_document()["vkey"]
            transaction.set_rollback(True)
    finally:
        settings.SELF_HEAL_SIGNING_KEY_FILE = before
    return Exported(directory / "log", directory / "proofs.json", vkey)


@pytest.fixture
def changed(exported: Exported, tmp_path: Path):
    """Another export, the same but for one bit of one file; of a checkpoint, of the signature that stands in it as base64."""

    def change(name: str, place: int) -> Exported:
        directory = Path(tempfile.mkdtemp(dir=tmp_path))
        for path in exported.directory.iterdir():
            (directory / path.name).symlink_to(path)
        file = directory
        for part in Path(name).parts:  # each folder on the way is one of links
            if file != directory:
                original = file.resolve()
                file.unlink()
                file.mkdir()
                for path in original.iterdir():
                    (file / path.name).symlink_to(path)
            file /= part
        data = file.read_bytes()
        file.unlink()
        if name == "checkpoint":
            text, _, signature = data.rstrip(b"\n").rpartition(b" ")
            file.write_bytes(text + b" " + b64(_flipped(unb64(signature.decode()), place)).encode() + b"\n")
        else:
            file.write_bytes(_flipped(data, place))
        return Exported(directory, exported.proofs, exported.vkey)

    return change


def _flipped(data: bytes, place: int) -> bytes:
    changed = bytearray(data)
    changed[place] ^= 1
    return bytes(changed)


def _grow(size: int) -> None:
    """As `ledger.append` writes them, but many with one statement."""
    signer, at = keys.load(), datetime.now(UTC)
    for start in range(1, size, BATCH):  # the first entry is the key's own
        LedgerOutbox.objects.bulk_create(LedgerOutbox(leaf=_leaf(n, at)) for n in range(start, min(start + BATCH, size)))
    while sequence_once(signer, at):
        pass


def _leaf(n: int, at: datetime) -> bytes:
    made = {"actor": "tester", "action": "test.written", "resource": f"thing:{n}", "subsystem": "healing", "result": "ok"}
    return dumps(made | {"payload": {"n": n}, "at": ledger.instant(at)})


def _proofs() -> dict[str, list[dict]]:
    chance = random.Random(100_000)
    sizes = EDGES + [chance.randint(1, SIZE) for _ in range(SAMPLES - len(EDGES))]
    places = [(chance.randrange(size), size) for size in sizes] + [(size - 1, SIZE) for size in EDGES]
    pairs = [(chance.randint(1, size), size) for size in sizes] + [(size, SIZE) for size in EDGES]
    return {
        "inclusion": [{"index": i, "size": n, "hashes": [b64(h) for h in selectors.inclusion(i, n)]} for i, n in places],
        "consistency": [{"first": m, "second": n, "hashes": [b64(h) for h in selectors.consistency(m, n)]} for m, n in pairs],
    }
