"""Tools that are not ours audit an export of 100,000 entries: Go's sumdb packages, tlog-scales, sigstore. All must agree.

Each is shown a log that is whole, and the same log with one bit changed, which it must refuse.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sigstore._internal.merkle import verify_merkle_inclusion
from sigstore._internal.rekor.checkpoint import verify_checkpoint
from sigstore._internal.trust import Keyring, RekorKeyring
from sigstore.errors import VerificationError
from sigstore.models import TransparencyLogEntry
from sigstore_models.common.v1 import LogId, PublicKey, PublicKeyDetails
from sigstore_models.rekor import v1 as rekor
from tlog_scales.backend import LocalBackend
from tlog_scales.reader import TilesReader
from tlog_scales.signing import Vkey
from tlog_scales.tiles import leaf_hash
from tlog_scales.tlog import Checkpoint, ConsistencyProof, InclusionProof

from tests.audits.conftest import SIZE, Exported

pytestmark = [pytest.mark.soak, pytest.mark.django_db, pytest.mark.xdist_group("audits")]
SOURCE = Path(__file__).with_name("tlog.go")
GOCODE = Path("/usr/share/gocode")
BUNDLE, TILE, HIGH = "tile/entries/007", "tile/0/300", "tile/1/000"
CHANGES = [(BUNDLE, 90), (TILE, 4_000), (HIGH, 8_000), ("checkpoint", -10)]


def unb64(text: str) -> bytes:
    return base64.b64decode(text)


# Go: golang.org/x/mod/sumdb


@pytest.fixture(scope="module")
def go(tmp_path_factory: pytest.TempPathFactory):
    """Runs the auditor: what it printed, or raises CalledProcessError."""
    if not shutil.which("go") or not (GOCODE / "src/golang.org/x/mod/sumdb").exists():
        assert os.environ.get("CI") != "true", "CI must have golang-go and golang-golang-x-mod-dev"
        pytest.skip("left out: Go's auditor (apt-get install golang-go golang-golang-x-mod-dev)")
    program = tmp_path_factory.mktemp("go") / "tlog"
    environment = os.environ | {"GO111MODULE": "off", "GOPATH": str(GOCODE), "GOFLAGS": "", "GOPROXY": "off"}
    subprocess.run(["go", "build", "-o", program, SOURCE], env=environment, cwd=program.parent, check=True)

    def audit(log: Exported) -> dict:
        command = [program, log.directory, log.vkey, log.proofs]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    return audit


def test_go_finds_the_log_whole(exported: Exported, go) -> None:
    found = go(exported)
    assert (found["size"], found["tiles"]) == (SIZE, 391 + 2 + 1)
    assert found["heads"] == len((exported.directory / "heads.jsonl").read_text().splitlines())
    assert found["proofs"] == sum(map(len, json.loads(exported.proofs.read_text()).values()))
    told("Go's sumdb audited", found["seconds"], "at most 5 s are wanted")


@pytest.mark.parametrize(("name", "place"), CHANGES)
def test_go_refuses_one_changed_bit(changed, go, name: str, place: int) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        go(changed(name, place))


def test_go_refuses_a_proof_of_another_entry(exported: Exported, go, tmp_path: Path) -> None:
    proofs = json.loads(exported.proofs.read_text())
    proofs["inclusion"][-1]["index"] -= 1
    (tmp_path / "proofs.json").write_text(json.dumps(proofs))
    with pytest.raises(subprocess.CalledProcessError):
        go(Exported(exported.directory, tmp_path / "proofs.json", exported.vkey))


# tlog-scales


class FromEntries(TilesReader):
    """Its own reader, but each leaf's hash is that of the entry, and no tile above the leaves is believed."""

    def __init__(self, backend: LocalBackend) -> None:
        super().__init__(backend)
        self.known: dict[tuple[int, int], bytes] = {}

    def mth(self, start: int, end: int) -> bytes:
        if (start, end) not in self.known:
            self.known[start, end] = super().mth(start, end)
        return self.known[start, end]

    @staticmethod
    def mth_in_tile(start: int, end: int) -> tuple[int, int, int] | None:
        return (0, *divmod(start, 256)) if end == start + 1 else None

    def _get_from_tile(self, level: int, n: int, i: int) -> bytes:
        return leaf_hash(super()._get_from_tile(-1, n, i)) if level == 0 else super()._get_from_tile(level, n, i)


def tlog_scales(log: Exported) -> Checkpoint:
    """Audit with tlog-scales: raises what it raises, or AssertionError."""
    tiles, entries = TilesReader(LocalBackend(log.directory)), FromEntries(LocalBackend(log.directory))
    head = tiles.get_checkpoint()
    head.verify(Vkey.from_string(log.vkey))
    entries.set_size(head.size)
    assert tiles.calculate_root_hash() == entries.calculate_root_hash() == head.root_hash
    for index in range(head.size):
        assert tiles.mth(index, index + 1) == entries.mth(index, index + 1), index
    for start in range(0, head.size - 255, 256):  # what stands in the tiles of level 1
        assert tiles.mth(start, start + 256) == entries.mth(start, start + 256), start
    proofs = json.loads(log.proofs.read_text())
    for p in proofs["inclusion"]:
        hashes = [unb64(h) for h in p["hashes"]]
        InclusionProof(p["index"], p["size"], hashes).check(leaf_hash(tiles.get_entry(p["index"])), tiles.mth(0, p["size"]))
        assert tiles.get_inclusion_proof(p["index"], p["size"]).node_hashes == hashes
    for p in proofs["consistency"]:
        hashes = [unb64(h) for h in p["hashes"]]
        ConsistencyProof(p["first"], p["second"], hashes).check(tiles.mth(0, p["first"]), tiles.mth(0, p["second"]))
        assert tiles.get_consistency_proof(p["first"], p["second"]).node_hashes == hashes
    return head


def test_tlog_scales_finds_the_log_whole(exported: Exported) -> None:
    began = time.perf_counter()
    head = tlog_scales(exported)
    assert head.size == SIZE
    told("tlog-scales audited", time.perf_counter() - began)


@pytest.mark.parametrize(("name", "place"), CHANGES)
def test_tlog_scales_refuses_one_changed_bit(changed, name: str, place: int) -> None:
    with pytest.raises((AssertionError, InvalidSignature)):
        tlog_scales(changed(name, place))


# sigstore: it knows inclusion proofs and checkpoints, no tiles


def sigstore(log: Exported) -> int:
    """Verify each proof of inclusion in the last tree as that of a Rekor entry; raises VerificationError."""
    _, key_hash, encoded = log.vkey.split("+", 2)
    public = unb64(encoded)[1:]
    spki = Ed25519PublicKey.from_public_bytes(public).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    key = PublicKey(raw_bytes=base64.b64encode(spki), key_details=PublicKeyDetails.PKIX_ED25519)
    note, count = (log.directory / "checkpoint").read_text(), 0
    root = note.split("\n")[2]
    reader = TilesReader(LocalBackend(log.directory))
    reader.get_checkpoint()
    for p in json.loads(log.proofs.read_text())["inclusion"]:
        if p["size"] != SIZE:
            continue
        proof = rekor.InclusionProof(
            log_index=str(p["index"]),
            tree_size=str(SIZE),
            root_hash=root,
            hashes=p["hashes"],
            checkpoint=rekor.Checkpoint(envelope=note),
        )
        inner = rekor.TransparencyLogEntry(
            log_index=str(p["index"]),
            log_id=LogId(key_id=base64.b64encode(bytes.fromhex(key_hash))),
            kind_version=rekor.KindVersion(kind="selfheal", version="1"),
            inclusion_proof=proof,
            canonicalized_body=base64.b64encode(reader.get_entry(p["index"])),
        )
        entry = TransparencyLogEntry(inner)
        verify_merkle_inclusion(entry)
        verify_checkpoint(RekorKeyring(Keyring([key])), entry)
        count += 1
    return count


def test_sigstore_finds_the_proofs_and_the_head_good(exported: Exported) -> None:
    began = time.perf_counter()
    assert sigstore(exported) >= 10
    told("sigstore verified the proofs of", time.perf_counter() - began)


@pytest.mark.parametrize(("name", "place"), [("tile/entries/256", 90), ("checkpoint", -10)])
def test_sigstore_refuses_one_changed_bit(changed, name: str, place: int) -> None:
    with pytest.raises(VerificationError):
        sigstore(changed(name, place))


def told(what: str, seconds: float, wanted: str = "") -> None:
    """A line for people: how fast a machine is, no test decides."""
    print(f"{what} {SIZE:,} entries in {seconds:.1f} s{wanted and f' ({wanted})'}")
