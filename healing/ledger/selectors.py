"""Reads of the log: heads, keys, entries, proofs, and where an outbox row stands by now."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime

from django.db import DEFAULT_DB_ALIAS
from django.db.models import QuerySet

from healing.ledger.tiles import Nodes
from healing.models import LedgerCosignature, LedgerEntry, LedgerHead, LedgerKey, LedgerOutbox
from selfheal.errors import Invalid
from selfheal.merkle import consistency_proof, inclusion_proof
from selfheal.revocation import in_force
from selfheal.signing import b64
from selfheal.verify import Key

MOST = 1000  # entries that are given at once


def last_head(using: str = DEFAULT_DB_ALIAS) -> LedgerHead | None:
    return LedgerHead.objects.using(using).first()


def size(using: str = DEFAULT_DB_ALIAS) -> int:
    """Leaves under the last signed head."""
    head = last_head(using)
    return head.size if head else 0


def last_witnessed(using: str = DEFAULT_DB_ALIAS) -> LedgerHead | None:
    """The newest head that a witness has signed for."""
    newest = LedgerCosignature.objects.using(using).order_by("-head").first()
    return newest.head if newest else None


def witnessed(head: LedgerHead) -> str:
    """The note of a head with the lines of its witnesses."""
    return head.note + "".join(head.cosignatures.order_by("witness", "key_id").values_list("line", flat=True))


def keys(using: str = DEFAULT_DB_ALIAS) -> list[Key]:
    """Every key that the log has had, newest first."""
    return [Key(vkey, since) for vkey, since in LedgerKey.objects.using(using).values_list("vkey", "since_index")]


def waiting_since() -> datetime | None:
    """When the oldest leaf that has no index yet was written, by the leaf itself: an outbox row has no time of its own."""
    row = LedgerOutbox.objects.order_by("pk").first()
    return datetime.fromisoformat(json.loads(bytes(row.leaf))["at"]) if row else None


def key_document(using: str = DEFAULT_DB_ALIAS) -> dict | None:
    """`/api/log/key`: the key in force and those before it; None while the log has not begun."""
    known = keys(using)
    if not known:
        return None
    first = {"vkey": known[0].vkey, "origin": known[0].vkey.partition("+")[0], "since_index": known[0].since_index}
    revoked = _revoked(using) if known[1:] else {}
    retired = [{"vkey": key.vkey, "since_index": key.since_index} | revoked.get(key.vkey.split("+")[1], {}) for key in known[1:]]
    return {**first, "retired": retired}


def _revoked(using: str) -> dict[str, dict]:
    """Key id → from which entry on it is revoked, by which entry, why, and by which entry it is attested again, if it is."""
    from healing.ledger.revoking import said

    heard = said(using)
    attested = {each.key: each.entry for each in heard if each.attests}
    return {
        key: {"revoked": {"from": by.since, "entry": by.entry, "reason": by.reason, "attested": attested.get(key)}}
        for key, by in in_force(heard).items()
    }


def entries(start: int, end: int, using: str = DEFAULT_DB_ALIAS) -> list[dict]:
    """`/api/log/entries`: those of [start, end) that there are. Raises Invalid for a range that is none, or over 1,000."""
    if start < 0:
        raise Invalid("must be 0 or more", field="start")
    if not start <= end <= start + MOST:
        raise Invalid(f"must be from start to start + {MOST:,}", field="end")
    rows = LedgerEntry.objects.using(using).filter(index__gte=start, index__lt=end).order_by("index")
    return [shown(entry) for entry in rows.only("index", "leaf", "signature", "key_id")]


def shown(entry: LedgerEntry) -> dict:
    leaf, signature = b64(bytes(entry.leaf)), b64(bytes(entry.signature))
    return {"index": entry.index, "leaf": leaf, "signature": signature, "key_id": entry.key_id}


def found(asked: dict[str, str], since: datetime | None = None, until: datetime | None = None) -> QuerySet[LedgerEntry]:
    """The entries whose columns are what is `asked` (of ENTRY_FILTERS), from `since` on and before `until`, by their time.

    By their time, and not by their index, so that an index finds a stretch of the time of whoever is in most of the log.
    """
    rows = LedgerEntry.objects.filter(**asked).order_by("at", "index")
    rows = rows.filter(at__gte=since) if since else rows
    return rows.filter(at__lt=until) if until else rows


def inclusion(index: int, tree_size: int, using: str = DEFAULT_DB_ALIAS) -> list[bytes]:
    """The inclusion proof of an entry in the tree of that size. Raises Invalid naming what is out of range."""
    _within(tree_size, "size", 1, size(using))
    _within(index, "index", 0, tree_size - 1)
    return inclusion_proof(index, tree_size, Nodes(using))


def consistency(first: int, second: int, using: str = DEFAULT_DB_ALIAS) -> list[bytes]:
    """The proof that the tree of size `first` begins the one of size `second`. Raises Invalid naming what is out of range."""
    _within(second, "second", 1, size(using))
    _within(first, "first", 1, second)
    return consistency_proof(first, second, Nodes(using))


def proof_text(index: int, using: str = DEFAULT_DB_ALIAS) -> str:
    """A C2SP tlog-proof of an entry: what a .tlog-proof file holds. Its extra data is the leaf.

    It is proved under the newest head that a witness has signed for, or the last head, where there is none that covers it.
    """
    head = last_witnessed(using)
    if head is None or head.size <= index:
        head = last_head(using)
    hashes = inclusion(index, head.size if head else 0, using)
    leaf = bytes(LedgerEntry.objects.using(using).values_list("leaf", flat=True).get(index=index))
    lines = [
        "c2sp.org/tlog-proof@v1",
        f"extra {b64(leaf)}",
        f"index {index}",
        *map(b64, hashes),
        "",
        witnessed(head) if head else "",
    ]
    return "\n".join(lines)


def indexes(outbox_ids: Iterable[int]) -> dict[int, int]:
    """Outbox id → index in the log, of those that are sequenced by now."""
    return dict(LedgerEntry.objects.filter(outbox_id__in=list(outbox_ids)).values_list("outbox_id", "index"))


def is_covered(outbox_id: int) -> bool:
    """Whether a signed head covers this leaf: a head is written in the transaction of its entries."""
    return LedgerEntry.objects.filter(outbox_id=outbox_id).exists()


def _within(value: int, name: str, low: int, high: int) -> None:
    if not low <= value <= high:
        raise Invalid(f"must be from {low} to {high}" if low <= high else "is asked of a log that has nothing yet", field=name)
