"""What a revoked key has signed fails from the index on, whoever verifies, unless a later key attests the same tree."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from selfheal.canonical import dumps
from selfheal.merkle import leaf_hash, root
from selfheal.revocation import ATTEST_ACTION, REVOKE_ACTION, said_by
from selfheal.signing import Signer, b64
from selfheal.verify import Entry, Head, Key, Report, verify

FIRST, SECOND, THIRD = (Signer("example.com/log", bytes([n]) * 32) for n in (1, 2, 3))


@dataclass
class Log:
    """Entries are signed as they come; a head is signed after each."""

    entries: list[Entry] = field(default_factory=list)
    heads: list[Head] = field(default_factory=list)
    keys: list[Key] = field(default_factory=list)
    signers: list[Signer] = field(default_factory=list)

    def say(self, action: str = "test.written", **payload: Any) -> None:
        signer, index = self.signers[-1], len(self.entries)
        said = {"actor": "ann", "resource": "x", "subsystem": "ledger", "result": "ok", "at": "2026-11-25T12:00:00.000000Z"}
        leaf = dumps({**said, "action": action, "payload": payload})
        digest = leaf_hash(leaf)
        self.entries.append(Entry(index, leaf, signer.sign_entry(index, digest), signer.verifier.key_id))
        top = self.root()
        self.heads.append(Head(index + 1, signer.sign_checkpoint(index + 1, top), top))

    def root(self) -> bytes:
        return root([leaf_hash(entry.leaf) for entry in self.entries])

    def go_on_with(self, signer: Signer) -> None:
        index, before = len(self.entries), self.signers[-1:]
        signed = [b64(each.sign_successor(index, signer.verifier.vkey)) for each in before]
        self.keys.append(Key(signer.verifier.vkey, index))
        self.signers.append(signer)
        self.say("log.key", vkey=signer.verifier.vkey, **({"signed_for": signed[0]} if signed else {}))

    def verify(self) -> Report:
        return verify(self.entries, self.heads, self.keys)

    def failures(self) -> list[str]:
        return [str(failure) for failure in self.verify().failures]


@pytest.fixture
def log() -> Log:
    """0 to 4 by the first key, 5 and 6 by the second."""
    made = Log()
    made.go_on_with(FIRST)
    for _ in range(4):
        made.say()
    made.root_of_first = made.root()  # type: ignore[attr-defined]
    made.go_on_with(SECOND)
    made.say()
    assert made.verify().ok
    return made


def revoke(log: Log, signer: Signer = FIRST, since: Any = 3, **more: Any) -> None:
    log.say(REVOKE_ACTION, **{"key": signer.verifier.key_id, "from": since, "reason": "stolen"} | more)


def attest(log: Log, signer: Signer = FIRST, since: int = 3, size: int = 5, top: bytes | None = None) -> None:
    said = {"key": signer.verifier.key_id, "from": since, "size": size, "root": b64(log.root_of_first if top is None else top)}  # type: ignore[attr-defined]
    log.say(ATTEST_ACTION, reason="compared", **said)


def test_entries_from_the_index_on_fail_with_who_revokes_them_and_why(log):
    revoke(log)
    key = FIRST.verifier.key_id
    words = f"entries 3 to 4 are signed by key {key}, which entry 7 revokes from entry 3 on (stolen), and no later key attests it"
    assert log.failures() == [f"key: {words}"]
    report = log.verify()
    assert (report.count, report.failures[0].index) == (2, 3)


def test_one_entry_is_named_alone(log):
    revoke(log, since=4)
    assert log.failures()[0].startswith("key: entry 4 is signed by key")


def test_of_two_revocations_the_one_from_the_least_index_counts(log):
    revoke(log, since=2)
    revoke(log, since=4)
    assert log.failures()[0].startswith("key: entries 2 to 4 are signed")


def test_what_a_later_key_attests_is_good_again(log):
    revoke(log)
    attest(log)
    assert log.failures() == []


@pytest.mark.parametrize(
    ("change", "left"),
    [
        ({"top": b"x" * 32}, "entries 3 to 4 are"),
        ({"size": 4}, "entries 3 to 4 are"),
        ({"since": 4}, "entry 3 is"),
    ],
)
def test_an_attestation_of_another_tree_or_of_a_part_leaves_the_rest_revoked(log, change, left):
    revoke(log)
    attest(log, **change)
    assert [failure.partition(" signed")[0] for failure in log.failures()] == [f"key: {left}"]


def test_an_attestation_by_a_key_that_is_revoked_there_does_not_count(log):
    revoke(log)
    attest(log)  # entry 8, by the second key
    log.go_on_with(THIRD)
    revoke(log, SECOND, since=8)
    assert [failure.partition(" signed")[0] for failure in log.failures()] == ["key: entries 3 to 4 are", "key: entry 8 is"]
    attest(log, FIRST)
    attest(log, SECOND, since=8, size=9, top=root([leaf_hash(entry.leaf) for entry in log.entries[:9]]))
    assert log.failures() == []


def test_a_key_does_not_revoke_itself(log):
    revoke(log, SECOND, since=6)
    assert log.failures() == [f"key: entry 7 revokes key {SECOND.verifier.key_id}, which signs it itself"]


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ({"key": "deadbeef"}, "entry 7 revokes key 'deadbeef', which this log never had"),
        ({"from": 5}, f"entry 7 revokes key {FIRST.verifier.key_id} from entry 5 on, and it was in force from 0 to 4"),
        ({"from": "3"}, "entry 7 says of a key what nobody can read: it names no index"),
        ({"from": -1}, "entry 7 says of a key what nobody can read: it names no index"),
        ({"from": True}, "entry 7 says of a key what nobody can read: it names no index"),
        ({"key": 1}, "entry 7 says of a key what nobody can read: it names no key"),
    ],
)
def test_a_revocation_that_cannot_be_one_is_a_failure_itself(log, payload, words):
    revoke(log, **payload)
    assert log.failures() == [f"key: {words}"]


def test_a_revocation_that_is_taken_out_is_found_by_the_heads(log):
    revoke(log)
    log.say()
    gone = [*log.entries[:7], Entry(7, *vars_of(log.entries[6])), log.entries[8]]
    assert not verify(gone, log.heads, log.keys).ok


def vars_of(entry: Entry) -> tuple[bytes, bytes, str]:
    return entry.leaf, entry.signature, entry.key_id


def test_other_entries_say_nothing_of_keys(log):
    assert [said_by(entry.index, entry.leaf) for entry in log.entries] == [None] * 7
