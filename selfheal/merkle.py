"""The Merkle tree of RFC 6962 and RFC 9162 §2.1 over SHA-256, with the RFCs' names.

MTH({}) = SHA-256(), leaf = SHA-256(0x00 ‖ leaf), node = SHA-256(0x01 ‖ left ‖ right); a tree of n leaves splits at the largest
power of two below n. A complete subtree is named (level, index): it has 2^level leaves, from index·2^level on. Proofs are made
from a function that gives the root of a complete subtree, O(log n) calls a proof. Verification raises LedgerError.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from selfheal.errors import LedgerError

Node = Callable[[int, int], bytes]  # (level, index) → root of that complete subtree

EMPTY_ROOT = sha256().digest()
TILE = 256  # hashes in a full tile (C2SP tlog-tiles)


def leaf_hash(leaf: bytes) -> bytes:
    return sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def root(hashes: Sequence[bytes]) -> bytes:
    """MTH over hashes that are already those of leaves, or of complete subtrees of one size (RFC 9162 §2.1.1)."""
    if not hashes:
        return EMPTY_ROOT
    row = list(hashes)
    while len(row) > 1:
        odd = row[-1:] if len(row) % 2 else []
        row = [node_hash(row[i], row[i + 1]) for i in range(0, len(row) - 1, 2)] + odd
    return row[0]


class Frontier:
    """The roots of the complete subtrees that a growing tree consists of, greatest first: enough to append and to give roots."""

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[bytes] = []

    def append(self, digest: bytes) -> None:
        self.extend([digest])

    def extend(self, digests: Sequence[bytes]) -> list[list[bytes]]:
        """Append leaf hashes; return the roots of the subtrees that they complete, by level: of level 0 they are the hashes."""
        rows: list[list[bytes]] = []
        over: list[bytes] = []  # the last of a level that has no right neighbour yet
        row, size = list(digests), self.size
        self.size += len(row)
        while row:
            rows.append(row)
            pairs = [self._peaks.pop(), *row] if size & 1 else row
            row = [sha256(b"\x01" + left + right).digest() for left, right in zip(pairs[::2], pairs[1::2], strict=False)]
            if len(pairs) % 2:
                over.append(pairs[-1])
            size >>= 1
        self._peaks += reversed(over)
        return rows

    def root(self) -> bytes:
        return _fold(self._peaks)


@dataclass(frozen=True)
class Tile:
    """A full tile of C2SP tlog-tiles: 256 hashes of tree level 8·level, and the root over them."""

    level: int
    index: int
    hashes: bytes
    root: bytes


class TileCutter:
    """Cuts the rows that a `Frontier` completes, from its start, into full tiles: no hash is computed for them again."""

    def __init__(self) -> None:
        self._held: list[list[bytes]] = []  # by tile level, what fills no tile yet
        self._count: list[int] = []

    def cut(self, rows: Sequence[Sequence[bytes]]) -> list[Tile]:
        """The tiles that are full now, of each level in order."""
        full: list[Tile] = []
        for level, row in enumerate(rows[::8]):
            if level == len(self._held):
                self._held.append([])
                self._count.append(0)
            held = self._held[level]
            held += row
            for top in rows[8 * level + 8] if len(rows) > 8 * level + 8 else ():
                full.append(Tile(level, self._count[level], b"".join(held[:TILE]), top))
                self._count[level] += 1
                del held[:TILE]
        return full


class TileStack:
    """The right edge of a tree as tiles: at each tile level the hashes that do not fill a tile yet."""

    def __init__(self, size: int = 0, levels: Iterable[Sequence[bytes]] = ()) -> None:
        self.size = size
        self._levels = [list(level) for level in levels]

    def append(self, digest: bytes) -> list[Tile]:
        """Add a leaf hash; return the tiles that it fills, lowest level first."""
        self.size += 1
        full: list[Tile] = []
        for level in range(len(self._levels) + 1):
            if level == len(self._levels):
                self._levels.append([])
            self._levels[level].append(digest)
            if len(self._levels[level]) < TILE:
                break
            hashes, self._levels[level] = self._levels[level], []
            digest = root(hashes)
            full.append(Tile(level, (self.size >> 8 * (level + 1)) - 1, b"".join(hashes), digest))
        return full

    def partial(self) -> list[tuple[int, int, bytes]]:
        """What fills no tile yet: level, index and hashes of each partial tile."""
        held = enumerate(self._levels)
        return [(level, self.size >> 8 * (level + 1), b"".join(hashes)) for level, hashes in held if hashes]

    def root(self) -> bytes:
        """The root of the whole tree: what a level lacks is a last, incomplete node of the level above."""
        rest: list[bytes] = []
        for level in self._levels:
            rest = [root([*level, *rest])] if level or rest else []
        return rest[0] if rest else EMPTY_ROOT


def tile_path(kind: str, index: int, width: int = TILE) -> str:
    """Where C2SP tlog-tiles has a tile of a level, or a bundle of `entries`: tile/0/x001/x234/067.p/8."""
    parts = [f"{index % 1000:03}"]
    while index := index // 1000:
        parts.insert(0, f"x{index % 1000:03}")
    return "/".join(["tile", kind, *parts]) + (f".p/{width}" if width < TILE else "")


def inclusion_proof(index: int, size: int, node: Node) -> list[bytes]:
    """PATH(index, D[size]) (RFC 9162 §2.1.3.1), from the leaf's sibling up."""
    if not 0 <= index < size:
        raise LedgerError(f"a tree of {size} leaves has no leaf {index}")
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(_range_root(middle, end, node))
            end = middle
        else:
            path.append(_range_root(start, middle, node))
            start = middle
    return path[::-1]


def consistency_proof(first: int, second: int, node: Node) -> list[bytes]:
    """PROOF(first, D[second]) (RFC 9162 §2.1.4.1)."""
    if not 0 < first <= second:
        raise LedgerError(f"there is no consistency proof from {first} to {second} leaves")
    path: list[bytes] = []
    start, end = 0, second
    while first != end:
        middle = start + _split(end - start)
        if first <= middle:
            path.append(_range_root(middle, end, node))
            end = middle
        else:
            path.append(_range_root(start, middle, node))
            start = middle
    if start > 0:
        path.append(_range_root(start, end, node))
    return path[::-1]


def verify_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], expected: bytes) -> None:
    """Raise LedgerError unless `proof` leads from the leaf hash at `index` to the root (RFC 9162 §2.1.3.2)."""
    if not 0 <= index < size:
        raise LedgerError(f"a tree of {size} leaves has no leaf {index}")
    if len(leaf) != len(EMPTY_ROOT):
        raise LedgerError(f"a leaf hash has 32 bytes, not {len(leaf)}")
    fn, sn, r = index, size - 1, leaf
    for p in proof:
        if sn == 0:
            raise LedgerError("the inclusion proof is too long")
        if fn & 1 or fn == sn:
            r = node_hash(p, r)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node_hash(r, p)
        fn, sn = fn >> 1, sn >> 1
    if sn != 0:
        raise LedgerError("the inclusion proof is too short")
    if r != expected:
        raise LedgerError(f"the inclusion proof of leaf {index} does not lead to the root of size {size}")


def verify_consistency(first: int, second: int, old: bytes, new: bytes, proof: Sequence[bytes]) -> None:
    """Raise LedgerError unless `proof` shows that the tree `old` begins the tree `new` (RFC 9162 §2.1.4.2)."""
    if not 0 < first <= second:
        raise LedgerError(f"no tree of {first} leaves can be shown to begin one of {second}")
    if first == second:
        if proof or old != new:
            raise LedgerError("two heads of one size need one root and no proof")
        return
    if not proof:
        raise LedgerError("the consistency proof is empty")
    path = [old, *proof] if first & (first - 1) == 0 else list(proof)
    fn, sn = first - 1, second - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = path[0]
    for c in path[1:]:
        if sn == 0:
            raise LedgerError("the consistency proof is too long")
        if fn & 1 or fn == sn:
            fr, sr = node_hash(c, fr), node_hash(c, sr)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node_hash(sr, c)
        fn, sn = fn >> 1, sn >> 1
    if sn != 0:
        raise LedgerError("the consistency proof is too short")
    if fr != old or sr != new:
        raise LedgerError(f"the tree of {first} leaves does not begin the tree of {second}")


def _split(size: int) -> int:
    """The largest power of two below `size` (≥ 2)."""
    return 1 << (size - 1).bit_length() - 1


def _range_root(start: int, end: int, node: Node) -> bytes:
    """MTH(D[start:end]), where `start` is a multiple of the largest power of two in the range."""
    peaks = []
    while start < end:
        level = (end - start).bit_length() - 1
        peaks.append(node(level, start >> level))
        start += 1 << level
    return _fold(peaks)


def _fold(peaks: Sequence[bytes]) -> bytes:
    if not peaks:
        return EMPTY_ROOT
    digest = peaks[-1]
    for peak in peaks[-2::-1]:
        digest = node_hash(peak, digest)
    return digest
