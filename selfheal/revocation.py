"""Revoked keys: from an index on, what a stolen key has signed does not count, unless somebody stands up for it again.

    log.revoked    payload {key, from, reason}: an entry by a later key
    log.attested   payload {key, from, size, root, reason}: an entry by a later key, for what was signed from `from` to the end of
                   the key's reign, when there were `size` entries with this root (base64)

Rules that this module keeps:
1. A revocation counts if its entry is signed by another key than the one it names. Of several, the one from the least index does.
2. An entry of the key at or after that index fails, unless an attestation of it counts.
3. An attestation counts if its root is that of the tree at the end of the key's reign, and its own entry is signed by another
   key, and is not itself among what is revoked.
4. What names no key of the log, the key that signs it, or an index at which the key was not in force, is a failure itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from selfheal.errors import Invalid
from selfheal.leaves import read
from selfheal.signing import b64

REVOKE_ACTION = "log.revoked"
ATTEST_ACTION = "log.attested"
# How a leaf with one of these actions begins: its canonical form has the names sorted.
_BEGINS = tuple(f'{{"action":"{action}",'.encode() for action in (REVOKE_ACTION, ATTEST_ACTION))


@dataclass(frozen=True)
class Said:
    """What an entry says of a key. `size` and `root` are those of an attestation."""

    entry: int
    key: str
    since: int
    reason: str
    attests: bool = False
    size: int = 0
    root: str = ""


@dataclass(frozen=True)
class Reign:
    """A key was in force from entry `start` on and before entry `end`."""

    key: str
    start: int
    end: int

    def covers(self, index: int) -> bool:
        return self.start <= index < self.end


@dataclass(frozen=True)
class Problem:
    """`count` entries from `index` on are in question."""

    index: int
    message: str
    count: int = 1


def said_by(index: int, leaf: bytes) -> Said | None:
    """What the leaf of an entry says of a key; None: nothing. Raises Invalid for one that says it badly."""
    if not leaf.startswith(_BEGINS):
        return None
    value = read(leaf)
    payload, attests = value["payload"], value["action"] == ATTEST_ACTION
    key, since, reason = payload.get("key"), payload.get("from"), payload.get("reason", "")
    size, root = payload.get("size", 0), payload.get("root", "")
    if not (isinstance(key, str) and isinstance(reason, str) and isinstance(root, str)):
        raise Invalid("names no key")
    if not (_is_index(since) and _is_index(size)):
        raise Invalid("names no index")
    return Said(index, key, since, reason, attests, size, root)


def in_force(said: Sequence[Said]) -> dict[str, Said]:
    """Key id → the revocation that counts: of several, the one from the least index."""
    found: dict[str, Said] = {}
    for each in said:
        if not each.attests and (each.key not in found or each.since < found[each.key].since):
            found[each.key] = each
    return found


def judge(said: Sequence[Said], reigns: Sequence[Reign], roots: Mapping[int, bytes]) -> Iterator[Problem]:
    """What is wrong, by the rules above; `roots` of the tree at the ends of reigns, by size."""
    good: list[Said] = []
    for each in said:
        problem = _misplaced(each, reigns)
        if problem:
            yield Problem(each.entry, f"entry {each.entry} {problem}")
        else:
            good.append(each)
    revoked = in_force(good)
    ends = {reign.key: reign for reign in reigns}
    for each in revoked.values():
        reign = ends[each.key]
        attested = [a for a in good if a.attests and a.key == each.key and _counts(a, reign, reigns, revoked, roots)]
        until = min((a.since for a in attested), default=reign.end)
        if each.since < until:
            yield Problem(each.since, f"{message(each, each.since, until)}, and no later key attests it", until - each.since)


def message(revocation: Said, index: int, end: int) -> str:
    """`index` to `end`, half-open, in words."""
    which = f"entry {index} is" if end - index == 1 else f"entries {index} to {end - 1} are"
    reason = f" ({revocation.reason})" if revocation.reason else ""
    return (
        f"{which} signed by key {revocation.key}, which entry {revocation.entry} revokes from entry {revocation.since} on{reason}"
    )


def _counts(
    attestation: Said, reign: Reign, reigns: Sequence[Reign], revoked: Mapping[str, Said], roots: Mapping[int, bytes]
) -> bool:
    signer = next(each.key for each in reigns if each.covers(attestation.entry))
    stolen = signer in revoked and attestation.entry >= revoked[signer].since
    return not stolen and attestation.size == reign.end and attestation.root == b64(roots.get(reign.end, b""))


def _misplaced(said: Said, reigns: Sequence[Reign]) -> str:
    """What keeps it from counting at all; empty: nothing."""
    what = "attests" if said.attests else "revokes"
    reign = next((each for each in reigns if each.key == said.key), None)
    if reign is None:
        return f"{what} key {said.key!r}, which this log never had"
    if reign.covers(said.entry):
        return f"{what} key {said.key}, which signs it itself"
    if not reign.covers(said.since):
        return f"{what} key {said.key} from entry {said.since} on, and it was in force from {reign.start} to {reign.end - 1}"
    return ""


def _is_index(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
