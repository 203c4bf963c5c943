"""Verification of a log: entries and tree heads in, what is wrong with them out, entry by entry.

Rules that this module checks, and the kind of failure that each gives:
1. gap        indexes are 0, 1, 2, … up to the size of the last signed head: none is missing
2. order      none stands twice or after a later one
3. content    a leaf is in canonical form, has the hash that stands beside it, and the columns beside it say what it says
4. signature  an entry is signed, at its index, by the key that was in force there
5. key        a key is introduced by a `log.key` entry at its first index, and by no other; the key before it has signed for it;
              no entry is signed by a key that a later entry revokes from there on (`selfheal.revocation`)
6. head       each signed head is signed by the log's key, and its root is that of the tree at its size; no entry is under none
7. tile       each stored tile has the hashes and the root of the tree

Checking an entry needs no other entry, so many processes may `check` chunks; `judge` grows the tree from what they say, in order.

What `check` says of a chunk follows from the chunk and the keys alone. If nothing is wrong it gives a seal, a SHA-256 over all
that it looked at; a chunk whose seal is among the `known` is as it was then, so nothing is wrong with it now.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field, fields
from hashlib import sha256
from typing import Any

import msgspec

from selfheal import revocation
from selfheal.errors import Invalid, LedgerError
from selfheal.leaves import KEY_ACTION, Columns, columns, read
from selfheal.merkle import Frontier, Tile, TileCutter, leaf_hash
from selfheal.revocation import Reign, Said, said_by
from selfheal.signing import Verifier, unb64

CHUNK = 1000
KEPT = 100  # failures that a report names; more are counted
SEAL = b"selfheal/seal/v2\n"  # another one whenever `check` looks at more, or judges otherwise

_PACK = msgspec.msgpack.Encoder()

Stored = Callable[[int, int], "tuple[bytes, bytes] | None"]  # (tile level, index) → its hashes and root


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry as it is stored. `leaf_hash` and `columns` are checked where there are any."""

    index: int
    leaf: bytes
    signature: bytes
    key_id: str
    leaf_hash: bytes | None = None
    columns: Columns | None = None


@dataclass(frozen=True)
class Head:
    size: int
    note: str
    root: bytes | None = None


@dataclass(frozen=True)
class Key:
    """A key of the log, in force from `since_index` to the next key's."""

    vkey: str
    since_index: int


@dataclass(frozen=True)
class Failure:
    kind: str  # gap order content signature key head tile
    index: int  # of the entry; of a head its size; of a tile its index
    message: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"


@dataclass
class Report:
    """What was looked at, and what was wrong with it: at most 100 failures by name, `count` of all."""

    size: int = 0
    heads: int = 0
    root: bytes = b""
    failures: list[Failure] = field(default_factory=list)
    count: int = 0
    known: int = 0  # entries that were looked at before and are the same
    seals: list[bytes] = field(default_factory=list, repr=False)

    @property
    def ok(self) -> bool:
        return self.count == 0

    def add(self, kind: str, index: int, message: str) -> None:
        self.count += 1
        if len(self.failures) < KEPT:
            self.failures.append(Failure(kind, index, message))


@dataclass(frozen=True)
class Checked:
    """Of some entries: index and leaf hash, and what is wrong. `seal` is empty where something is, or not all was looked at."""

    leaves: list[tuple[int, bytes]]
    failures: list[Failure]
    seal: bytes = b""
    known: bool = False
    said: list[Said] = field(default_factory=list)  # of keys


class Ring:
    """The keys of a log by the index from which each is in force."""

    def __init__(self, keys: Iterable[Key]) -> None:
        known = sorted(keys, key=lambda key: key.since_index)
        self._since = [key.since_index for key in known]
        self._verifiers = [Verifier.parse(key.vkey) for key in known]

    def at(self, index: int) -> Verifier | None:
        """The key that signs entry `index`; that of a head of size n is `at(n − 1)`."""
        place = bisect_right(self._since, index)
        return self._verifiers[place - 1] if place else None

    def reigns(self, size: int) -> list[Reign]:
        """Each key with the entries that it was in force for, in a log of `size` entries."""
        ends = [*self._since[1:], max(size, *self._since[-1:])] if self._since else []
        return [Reign(key.key_id, *span) for key, *span in zip(self._verifiers, self._since, ends, strict=True)]

    def until(self, index: int) -> list[tuple[int, str]]:
        """All that is known of the keys up to entry `index`: since when each is in force, and its vkey."""
        place = bisect_right(self._since, index)
        return [(since, key.vkey) for since, key in zip(self._since[:place], self._verifiers, strict=False)]

    def introduced(self, index: int) -> str:
        """The vkey that is in force from exactly `index` on; the empty string if none is."""
        return self._verifiers[bisect_right(self._since, index) - 1].vkey if self.starts(index) else ""

    def starts(self, index: int) -> bool:
        """Whether a key is in force from exactly `index` on."""
        place = bisect_right(self._since, index)
        return place > 0 and self._since[place - 1] == index


def verify(
    entries: Iterable[Entry],
    heads: Iterable[Head],
    keys: Iterable[Key],
    *,
    tiles: Stored | None = None,
    signatures: bool = True,
    progress: Callable[[int], None] = lambda size: None,
) -> Report:
    """Verify a log from its start. Heads come by size, ascending.

    Without `signatures` an entry stands by the signed heads above it alone: its own signature is not looked at.
    """

    def checked(ring: Ring) -> Iterator[Checked]:
        return (check(chunk, ring, signatures) for chunk in _chunks(entries))

    return judge(checked, heads, keys, tiles=tiles, progress=progress)


def judge(
    checked: Callable[[Ring], Iterable[Checked]],
    heads: Iterable[Head],
    keys: Iterable[Key],
    *,
    tiles: Stored | None = None,
    progress: Callable[[int], None] = lambda size: None,
) -> Report:
    """Verify a log whose entries were `check`ed elsewhere, chunk after chunk in the order of the log."""
    try:
        ring = Ring(keys)
    except LedgerError as error:
        return Report(failures=[Failure("key", 0, str(error))], count=1)
    audit = _Audit(ring, heads, tiles)
    for chunk in checked(ring):
        audit.take(chunk)
        progress(audit.report.size)
    return audit.finish()


def check(entries: Sequence[Entry], ring: Ring, signatures: bool = True, known: Set[bytes] = frozenset()) -> Checked:
    """What can be said of each entry by itself (rules 3 to 5)."""
    digests = [leaf_hash(entry.leaf) for entry in entries]
    seal = _seal(entries, digests, ring) if signatures else b""
    said, failures = _said(entries)
    if seal in known:
        same = [(entry.index, digest) for entry, digest in zip(entries, digests, strict=True)]
        return Checked(same, failures, seal, known=True, said=said)
    leaves: list[tuple[int, bytes]] = []
    for entry, digest in zip(entries, digests, strict=True):
        taken, problem = _signed_hash(entry, digest, ring.at(entry.index), signatures)
        leaves.append((entry.index, taken))
        for kind, message in [problem] if problem else _content(entry, ring):
            failures.append(Failure(kind, entry.index, f"entry {entry.index} {message}"))
    return Checked(leaves, failures, b"" if failures else seal, said=said)


def _said(entries: Sequence[Entry]) -> tuple[list[Said], list[Failure]]:
    """What entries say of keys, and those that say it badly. A leaf that is none at all fails elsewhere, as content."""
    said, failures = [], []
    for entry in entries:
        try:
            each = said_by(entry.index, entry.leaf)
        except Invalid as error:
            failures.append(Failure("key", entry.index, f"entry {entry.index} says of a key what nobody can read: it {error}"))
        else:
            said += [each] if each else []
    return said, failures


def _seal(entries: Sequence[Entry], digests: Sequence[bytes], ring: Ring) -> bytes:
    """Over all that `check` looks at. Empty where a stored hash is not that of its leaf: that is wrong, whatever else is."""
    seen: list[object] = [ring.until(max((entry.index for entry in entries), default=-1))]
    for entry, digest in zip(entries, digests, strict=True):
        if entry.leaf_hash not in (None, digest):
            return b""
        beside = entry.columns
        said = beside and (beside.actor, beside.action, beside.resource, beside.subsystem, beside.at.isoformat())
        seen.append((entry.index, digest, entry.signature, entry.key_id, said))
    try:
        return sha256(SEAL + _PACK.encode(seen)).digest()
    except (UnicodeEncodeError, OverflowError):  # what no entry that is right has
        return b""


def _signed_hash(entry: Entry, digest: bytes, key: Verifier | None, signatures: bool) -> tuple[bytes, tuple[str, str] | None]:
    """The leaf hash that takes its place in the tree, and what is wrong with hash or signature.

    Where leaf and stored hash differ and one of them is what was signed, that one is taken: so one changed entry is one failure.
    """
    stored, problem = entry.leaf_hash, None
    if key is None:
        problem = "signature", "is older than every key"
    elif stored is not None and stored != digest:
        if key.verify_entry(entry.index, stored, entry.signature):
            return stored, ("content", "has another leaf than the one that was signed")
        fits = key.verify_entry(entry.index, digest, entry.signature)
        problem = "content", f"has a leaf_hash that is not that of its leaf{'' if fits else ', and a signature of neither'}"
    elif signatures and entry.key_id != key.key_id:
        problem = "signature", f"names key {entry.key_id!r}, and {key.key_id} was in force"
    elif signatures and not key.verify_entry(entry.index, digest, entry.signature):
        problem = "signature", "has a signature that does not fit its index and leaf"
    return digest, problem


def _content(entry: Entry, ring: Ring) -> Iterator[tuple[str, str]]:
    try:
        value = read(entry.leaf)
        said = columns(value)
    except Invalid as error:
        yield "content", f"has a leaf that {error}"
        return
    if entry.columns is not None and said != entry.columns:
        wrong = [f.name for f in fields(said) if getattr(said, f.name) != getattr(entry.columns, f.name)]
        yield "content", f"has columns that its leaf contradicts: {', '.join(wrong)}"
    named = value["payload"].get("vkey", "?") if value["action"] == KEY_ACTION else ""
    if named != ring.introduced(entry.index):
        yield "key", f"introduces {named or 'no key'}, where the keys have {ring.introduced(entry.index) or 'none'}"
    elif named and not _signed_for(named, value["payload"], entry.index, ring.at(entry.index - 1)):
        yield "key", f"introduces {named}, for which the key before it has not signed"


def _signed_for(vkey: str, payload: dict[str, Any], index: int, before: Verifier | None) -> bool:
    """Whether the key before the one that is introduced has signed for it; before the first there is none."""
    if before is None:
        return True
    try:
        return before.verify_successor(index, vkey, unb64(str(payload.get("signed_for"))))
    except LedgerError:
        return False


class _Audit:
    """The tree as it grows, with the heads and tiles that it passes."""

    def __init__(self, ring: Ring, heads: Iterable[Head], tiles: Stored | None) -> None:
        self.report = Report()
        self._ring, self._heads, self._tiles = ring, iter(heads), tiles
        self._head = next(self._heads, None)
        self._tree, self._cutter = Frontier(), TileCutter()
        self._whole = True  # no gap so far: the tree can be grown
        self._good = 0  # size of the last head whose root is that of the tree
        self._streak = False  # the head before was not reproduced
        self._last = 0  # size of the last head
        self._said: list[Said] = []
        self._starts = {reign.start for reign in ring.reigns(0)}
        self._roots: dict[int, bytes] = {}  # of the tree at the first entry of each key

    def take(self, chunk: Checked) -> None:
        for failure in chunk.failures:
            self.report.add(failure.kind, failure.index, failure.message)
        due = self.report.size
        if [index for index, _ in chunk.leaves] == list(range(due, due + len(chunk.leaves))):
            self._grow([digest for _, digest in chunk.leaves])
        else:
            for index, digest in chunk.leaves:
                self._leaf(index, digest)
        self._said += chunk.said
        if chunk.seal:
            self.report.seals.append(chunk.seal)
        self.report.known += len(chunk.leaves) if chunk.known else 0

    def _leaf(self, index: int, digest: bytes) -> None:
        due = self.report.size
        if index < due:
            self._whole = False
            self.report.add("order", index, f"entry {index} stands after entry {due - 1}")
            return
        if index > due:
            self._whole = False
            self.report.add("gap", due, f"{_entries(due, index)} missing before entry {index}")
            self.report.size = index
        self._grow([digest])

    def _grow(self, digests: list[bytes]) -> None:
        """Go on by leaves that are in place, and stop at each head on the way."""
        start, done = self.report.size, 0
        while self._head is not None and self._head.size <= start + len(digests):
            upto = max(self._head.size - start, done)
            self._append(digests[done:upto])
            done = upto
            self._pass(self._head)
        self._append(digests[done:])

    def _append(self, digests: list[bytes]) -> None:
        size, done = self.report.size, 0
        self.report.size += len(digests)
        if not self._whole:
            return
        for start in sorted(start for start in self._starts if size <= start < self.report.size):
            self._extend(digests[done : start - size])
            self._roots[start] = self._tree.root()
            done = start - size
        self._extend(digests[done:])

    def _extend(self, digests: list[bytes]) -> None:
        for tile in self._cutter.cut(self._tree.extend(digests)):
            self._tile(tile)

    def finish(self) -> Report:
        size = self.report.size
        if self._head is not None:
            most = self._head.size
            while self._head is not None:
                most = max(most, self._head.size)
                self._pass(self._head)
            self.report.add("gap", size, f"{_entries(size, most)} missing: a head of size {most} is signed")
        elif self._last < size:
            self.report.add("head", size, f"{_entries(self._last, size)} under no signed head")
        self.report.root = self._tree.root()
        for problem in revocation.judge(self._said, self._ring.reigns(self.report.size), self._roots):
            self.report.add("key", problem.index, problem.message)
            self.report.count += problem.count - 1
        return self.report

    def _pass(self, head: Head) -> None:
        """Check a head and take the next. Its root can only be checked while the tree has just that size and no gap."""
        self.report.heads += 1
        wrong = self._wrong(head)
        if wrong:
            self.report.add("head", head.size, f"the head of size {head.size} {wrong}")
        self._last = head.size
        self._head = next(self._heads, None)

    def _wrong(self, head: Head) -> str:
        key = self._ring.at(head.size - 1)
        if head.size <= self._last:
            return f"stands after the head of size {self._last}"
        if key is None:
            return "is older than every key"
        try:
            checkpoint = key.open_checkpoint(head.note)
        except LedgerError as error:
            return f"is not good: {error}"
        if checkpoint.size != head.size or head.root not in (None, checkpoint.root):
            return "has another size or root than its note"
        # After a gap, which is a failure of its own, there is no tree to compare with.
        comparable = self._whole and head.size == self._tree.size
        return self._other_root(head.size, checkpoint.root) if comparable else ""

    def _other_root(self, size: int, signed: bytes) -> str:
        """One failure for a tree that went another way, not one for each later head."""
        good, streak = signed == self._tree.root(), self._streak
        self._streak = not good
        if good:
            self._good = size
        return "" if good or streak else f"is not the root of the tree here: {_entries(self._good, size)} not as signed"

    def _tile(self, tile: Tile) -> None:
        stored = self._tiles(tile.level, tile.index) if self._tiles else (tile.hashes, tile.root)
        if stored != (tile.hashes, tile.root):
            what = "missing" if stored is None else "not that of the entries here"
            self.report.add("tile", tile.index, f"tile {tile.level}/{tile.index} is {what}")


def _entries(start: int, end: int) -> str:
    """`start` to `end`, half-open, in words that go on with what they are."""
    return f"entry {start} is" if end - start == 1 else f"entries {start} to {end - 1} are"


def _chunks(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    chunk: list[Entry] = []
    for entry in entries:
        chunk.append(entry)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
