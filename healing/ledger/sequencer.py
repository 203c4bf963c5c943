"""The sequencer: gives each leaf of the outbox its index, signs it, and signs the head of the tree that it makes.

Rules that this module keeps:
1. One transaction a batch: renewal of the lease, entries, full tiles, the head, and the outbox rows taken away stand or fall
   together. A sequencer whose lease went to another rolls back.
2. Nothing is updated; indexes go on from the last. A leaf waits until it is an entry, whatever dies in between.
3. No head is signed over a tree that is not the one of the head before, grown.
4. A database that is away is waited for. What waiting cannot mend ends the sequencer with LedgerError: a key that cannot be used,
   a stored tree that is not the one that was signed, an outbox row that `append` did not write.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import DatabaseError, InterfaceError, close_old_connections, connection, transaction

from healing import clock, heartbeats
from healing.ledger import keys, lease, selectors, tiles
from healing.ledger.outbox import append
from healing.models import LedgerEntry, LedgerHead, LedgerKey, LedgerOutbox, LedgerTile
from selfheal import leaves
from selfheal.errors import Conflict, Invalid, LedgerError
from selfheal.merkle import Tile, leaf_hash
from selfheal.signing import Signer, b64

logger = logging.getLogger(__name__)

ROLE = "sequencer"
LEASE = timedelta(seconds=15)
BATCH = 1000
POLL = 0.1  # seconds between two looks at the outbox
AGAIN = 1.0  # seconds to the next try after an error
EVERY = timedelta(seconds=heartbeats.EVERY)  # between two signs of life, and two renewals of an idle lease

Row = tuple[int, bytes]  # outbox id, leaf


def sequence_once(signer: Signer, at: datetime, held: lease.Held | None = None, successor: Signer | None = None) -> int:
    """Sequence one batch and return how many entries it made; begin the log if it is new.

    With a `successor` the batch begins with the entry that introduces it, and it signs from there on.

    Raises Conflict if the lease is another's, LedgerError if what is stored is not what was signed. Without `held` the lease is
    taken for this one batch.
    """
    with transaction.atomic():
        if held is None:
            once = lease.acquire(ROLE, f"once-{os.getpid()}", at, LEASE)
            if once is None:
                raise Conflict("a sequencer is running: it does this by itself")
            made = sequence_once(signer, at, once, successor)
            lease.release(once, at)
            return made
        lease.renew(held, at, LEASE)
        rows = [(pk, bytes(leaf)) for pk, leaf in LedgerOutbox.objects.order_by("id").values_list("id", "leaf")[:BATCH]]
        if not LedgerKey.objects.exists():
            rows.insert(0, _introduce(signer, at))
        elif successor:
            rows.insert(0, _introduce(successor, at, signer))
        if rows:
            _write(rows, successor or signer, at)
        return len(rows)


def run(stop: Callable[[], bool]) -> None:
    """Sequence until `stop`. Raises LedgerError, or Invalid for an origin that cannot be one."""
    sequencer = Sequencer()
    while not stop():
        close_old_connections()
        time.sleep(sequencer.look(datetime.now(UTC)))
    sequencer.end(datetime.now(UTC))
    connection.close()


class Sequencer:
    """What a sequencer process knows between two looks: whether it holds the lease, its key, when it last gave a sign."""

    def __init__(self) -> None:
        self.name = heartbeats.name_of(ROLE)
        self.held: lease.Held | None = None
        self._signer: Signer | None = None
        self._beaten = datetime.min.replace(tzinfo=UTC)

    def look(self, at: datetime) -> float:
        """Do what is to do now; return the seconds until the next look. An error of the database costs only time."""
        try:
            return self._work(at)
        except Conflict as error:
            logger.warning("sequencer %s: %s", self.name, error)
            self.held = None
        except (DatabaseError, InterfaceError) as error:
            logger.error("sequencer %s: the database failed, trying again in %.0f s: %s", self.name, AGAIN, error)
            connection.close()
        return AGAIN

    def end(self, at: datetime) -> None:
        """Let the next one in, and take the sign of life along."""
        try:
            if self.held:
                lease.release(self.held, at - clock.ahead())
            heartbeats.forget(self.name)
        except (DatabaseError, InterfaceError) as error:
            logger.error("sequencer %s: ends without releasing its lease, it runs out in 15 s: %s", self.name, error)

    def _work(self, here: datetime) -> float:
        at = here - clock.ahead()  # by its own clock a host that is ahead would keep everybody from the lease
        if self.held is None:
            self.held = lease.acquire(ROLE, self.name, at, LEASE)
            if self.held:
                self._signer = None  # another one may have gone on with another key
                logger.info("sequencer %s: holds the lease, token %d", self.name, self.held.token)
        made = 0
        if self.held and keys.successor_waits():
            self._signer = keys.load()
        if self.held and self._signer and keys.successor_waits():
            made = self._rotate(self._signer, at, self.held)
        elif self.held and (self._signer is None or LedgerOutbox.objects.exists()):
            self._signer = self._signer or keys.load()
            made = sequence_once(self._signer, at, self.held)
        if here - self._beaten >= EVERY:
            self._beat(here, at)
        return 0 if made == BATCH else POLL

    def _rotate(self, signer: Signer, at: datetime, held: lease.Held) -> int:
        """Go on with the key that waits; begin the log first if it is new. Of a crash before `succeed`, `keys.load` knows."""
        if not LedgerKey.objects.exists():
            return sequence_once(signer, at, held)
        successor = keys.successor(signer.verifier.name)
        made = sequence_once(signer, at, held, successor)
        keys.succeed()
        self._signer = successor
        logger.info("sequencer %s: the log goes on with key %s", self.name, successor.verifier.key_id)
        return made

    def _beat(self, here: datetime, at: datetime) -> None:
        if self.held:
            lease.renew(self.held, at, LEASE)
        heartbeats.beat(self.name, ROLE, here)
        self._beaten = here


def _introduce(signer: Signer, at: datetime, before: Signer | None = None) -> Row:
    """Make the key known: its row, and the leaf that it signs first. The key `before` signs for it in that leaf."""
    key, index = signer.verifier, selectors.size() if before else 0
    LedgerKey.objects.create(key_id=key.key_id, vkey=key.vkey, origin=key.name, since_index=index, at=at)
    resource, payload = f"key:{key.key_id}", {"vkey": key.vkey}
    if before:
        payload |= {"before": before.verifier.key_id, "signed_for": b64(before.sign_successor(index, key.vkey))}
    outbox_id = append(actor=ROLE, action=leaves.KEY_ACTION, resource=resource, payload=payload, subsystem="ledger", at=at)
    return outbox_id, bytes(LedgerOutbox.objects.values_list("leaf", flat=True).get(pk=outbox_id))


def _write(rows: list[Row], signer: Signer, at: datetime) -> None:
    head = LedgerHead.objects.first()
    size = head.size if head else 0
    stack = tiles.stack(size)
    if head and stack.root() != bytes(head.root):
        raise LedgerError(f"the stored tree is not the one that was signed at size {size}; see what `selfheal log verify` says")
    entries: list[tuple[Any, ...]] = []
    full: list[Tile] = []
    for index, (outbox_id, leaf) in enumerate(rows, size):
        digest = leaf_hash(leaf)
        entries.append(_entry(index, outbox_id, leaf, digest, signer))
        full += stack.append(digest)
    root = stack.root()
    _insert(entries)
    LedgerTile.objects.bulk_create(LedgerTile(level=t.level, index=t.index, hashes=t.hashes, root=t.root) for t in full)
    LedgerHead.objects.create(size=stack.size, root=root, note=signer.sign_checkpoint(stack.size, root), at=at)
    LedgerOutbox.objects.filter(id__in=[outbox_id for outbox_id, _ in rows]).delete()


COLUMNS = ("index", "outbox_id", "leaf", "leaf_hash", "signature", "key_id", "actor", "action", "resource", "subsystem", "at")


def _entry(index: int, outbox_id: int, leaf: bytes, digest: bytes, signer: Signer) -> tuple[Any, ...]:
    """What goes into COLUMNS."""
    try:
        beside = leaves.columns(leaves.read(leaf))
    except Invalid as error:
        raise LedgerError(f"outbox row {outbox_id} is no leaf and was not written by this program: it {error}") from error
    signed = digest, signer.sign_entry(index, digest), signer.verifier.key_id
    return index, outbox_id, leaf, *signed, beside.actor, beside.action, beside.resource, beside.subsystem, beside.at


def _insert(entries: list[tuple[Any, ...]]) -> None:
    """Without the ORM, which takes as long as the signing: on PostgreSQL by COPY."""
    table, names = LedgerEntry._meta.db_table, ", ".join(f'"{name}"' for name in COLUMNS)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            with cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
                for entry in entries:
                    copy.write_row(entry)
        else:
            marks = ", ".join(["%s"] * len(COLUMNS))
            sql = f"INSERT INTO {table} ({names}) VALUES ({marks})"  # noqa: S608 — names of ours
            at = connection.ops.adapt_datetimefield_value
            cursor.executemany(sql, [(*row[:-1], at(row[-1])) for row in entries])
