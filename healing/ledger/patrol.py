"""The patrol: the log is looked at all the time, a stretch after the other, so that damage is found without being asked for.

Rules that this module keeps:
1. A look costs the same, however long the log is. A pass goes from the first entry to the head that was the last at its start;
   when it is through, the next one begins.
2. Of each entry of the stretch: its content, its signature, that none is missing, and that it is under the head of this pass
   (inclusion proof, RFC 9162 §2.1.3). Of each head: its signature, and that the head of this pass goes on from it (§2.1.4).
3. What is wrong stands until a whole pass has found nothing; that it was found is an entry and a message to people, once.
4. Nothing is locked while it looks. Of two that look at once, one has looked in vain.

What needs the whole log at once, `selfheal log verify` looks at: revoked keys, tiles and heads that should not be there. Whether
the log was written anew or rolled back, places and witnesses tell (`pushing`).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from django.db import DEFAULT_DB_ALIAS, transaction

from healing import ledger
from healing.ledger import selectors
from healing.ledger.reading import Reader, as_bytes
from healing.ledger.tiles import Nodes
from healing.models import LedgerHead, LedgerPatrol, LedgerTile
from healing.notifications import links
from healing.notifications.writing import listening, tell
from selfheal.errors import LedgerError
from selfheal.merkle import TILE, consistency_proof, inclusion_proof, verify_consistency, verify_inclusion
from selfheal.messages import Facts
from selfheal.verify import KEPT, Checked, Failure, Ring

EVERY = 60  # seconds between two looks
STRETCH = 8 * TILE  # entries, a multiple of a tile: 10⁶ are through in about eight hours


def state() -> LedgerPatrol:
    """How it stands, also where it has never looked."""
    return LedgerPatrol.objects.filter(pk=1).first() or LedgerPatrol(pk=1)


def ask(by: str, at: datetime) -> None:
    """Begin a pass now; one look follows the other until it is through."""
    afresh = {"next_index": 0, "size": 0, "asked_by": by, "asked_at": at}
    LedgerPatrol.objects.update_or_create(pk=1, defaults=afresh)


def is_asked() -> bool:
    return LedgerPatrol.objects.filter(pk=1, asked_at__isnull=False).exists()


def look(at: datetime) -> bool:
    """Look at the next stretch. True: somebody waits for this pass, so the next look should follow at once."""
    row, _ = LedgerPatrol.objects.get_or_create(pk=1)
    before = {"looked_at": row.looked_at, "asked_at": row.asked_at}
    standing = row.is_wrong
    found = _go_on(row, at)
    with transaction.atomic():
        if not LedgerPatrol.objects.filter(pk=1, **before).update(looked_at=at):
            return False
        row.looked_at = at
        row.save()
        if found and not standing:
            _tell(found[0], at)
    return row.asked_at is not None


def _go_on(row: LedgerPatrol, at: datetime) -> list[Failure]:
    """Look at the next stretch, or the first of a new pass, and note in the row how far that is and what was found."""
    if row.next_index >= row.size:
        head = selectors.last_head()
        row.next_index, row.size, row.root = 0, head.size if head else 0, as_bytes(head.root) if head else b""
        row.began_at, row.wrong, row.failures = at, 0, []
    end = min(row.next_index + STRETCH, row.size)
    found = list(_stretch(row.next_index, end, row.size, as_bytes(row.root)))
    row.next_index = end
    row.wrong += len(found)
    room = KEPT - len(row.failures)
    row.failures += [{"kind": f.kind, "index": f.index, "message": f.message} for f in found[:room]]
    if end == row.size:
        row.passed_at, row.passed_size, row.passed_wrong, row.passed_failures = at, row.size, row.wrong, row.failures
        row.asked_at, row.asked_by = None, ""
    return found


def _tell(first: Failure, at: datetime) -> None:
    payload = {"kind": first.kind, "index": first.index, "reason": first.message}
    ledger.append(actor="log", action="log.damaged", resource="log", payload=payload, subsystem="ledger", result="failed", at=at)
    if listening():
        tell("log.damaged", Facts(what="the log", why=first.message, link=links.page("log")), subject="log", at=at)


def _stretch(start: int, end: int, size: int, root: bytes) -> Iterator[Failure]:
    """What is wrong with the entries [start, end) and with the heads over them, for the tree of `size` with that root."""
    try:
        ring = Ring(selectors.keys())
    except LedgerError as error:
        yield Failure("key", start, str(error))
        return
    nodes = Nodes()
    checked = Reader(DEFAULT_DB_ALIAS, ring)((start, end))
    yield from checked.failures
    yield from _gaps(checked, start, end)
    yield from _under(dict(checked.leaves), start, end, size, root, nodes)
    yield from _heads(ring, start, end, size, root, nodes)


def _gaps(checked: Checked, start: int, end: int) -> Iterator[Failure]:
    there = {index for index, _ in checked.leaves}
    missing = [index for index in range(start, end) if index not in there]
    if missing:
        more = f" and {len(missing) - 1:,} more" if missing[1:] else ""
        yield Failure("gap", missing[0], f"entry {missing[0]}{more} is missing")


def _under(leaves: dict[int, bytes], start: int, end: int, size: int, root: bytes, nodes: Nodes) -> Iterator[Failure]:
    """Each tile has the hashes of its entries, and leads to the root: one proof a tile, whose lower part are its hashes."""
    for first in range(start, end, TILE):
        last = min(first + TILE, end)
        full = LedgerTile.objects.filter(level=0, index=first // TILE).values_list("hashes", flat=True).first()
        mine = b"".join(leaves.get(index, b"") for index in range(first, last))
        if last % TILE == 0 and (full is None or as_bytes(full) != mine):
            what = "missing" if full is None else "not that of the entries here"
            yield Failure("tile", first // TILE, f"tile 0/{first // TILE} is {what}")
        elif first in leaves:
            try:
                verify_inclusion(first, size, leaves[first], inclusion_proof(first, size, nodes), root)
            except LedgerError as error:
                yield Failure("head", size, f"entries {first} to {last - 1} are not under the head of size {size}: {error}")


def _heads(ring: Ring, start: int, end: int, size: int, root: bytes, nodes: Nodes) -> Iterator[Failure]:
    for head in LedgerHead.objects.filter(size__gt=start, size__lte=end).order_by("size"):
        key = ring.at(head.size - 1)
        try:
            if key is None:
                raise LedgerError("it is older than every key")
            signed = key.open_checkpoint(head.note)
            if (signed.size, signed.root) != (head.size, as_bytes(head.root)):
                raise LedgerError("it has another size or root than its note")
            verify_consistency(head.size, size, signed.root, root, consistency_proof(head.size, size, nodes))
        except LedgerError as error:
            yield Failure("head", head.size, f"the head of size {head.size} is not good: {error}")
