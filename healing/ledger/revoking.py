"""A key that somebody else may have is revoked from an entry on, and what it signed is attested again, by entries of a later key.

Rules that this module keeps:
1. Only a key that is not in force any more can be revoked: `selfheal log rotate` comes first.
2. Nothing is changed or taken back: both are entries, and `selfheal.revocation` says what follows from them.
"""

from __future__ import annotations

from datetime import datetime

from django.db import DEFAULT_DB_ALIAS, transaction

from healing import ledger
from healing.ledger import selectors
from healing.models import LedgerEntry, LedgerHead
from selfheal.errors import Conflict, Invalid, LedgerError
from selfheal.revocation import ATTEST_ACTION, REVOKE_ACTION, Reign, Said, in_force, said_by
from selfheal.signing import b64
from selfheal.verify import Ring


def revoke(key: str, since: int, reason: str, actor: str, at: datetime) -> None:
    """Revoke what the key signed from entry `since` on. Raises Invalid for what is not so, Conflict for the key in force."""
    reign = _past(key)
    if not reign.covers(since):
        raise Invalid(f"must be from {reign.start} to {reign.end - 1}, where key {key} was in force", field="--from")
    before = in_force(said()).get(key)
    if before and before.since <= since:
        raise Conflict(f"entry {before.entry} revokes key {key} already, from entry {before.since} on")
    _append(REVOKE_ACTION, key, reason, actor, at, {"from": since})


def attest(key: str, reason: str, actor: str, at: datetime) -> tuple[int, int]:
    """Stand up for all that is revoked of the key: entries from the first number on and before the second.

    Raises Invalid for a key that is not known, Conflict for one that is not revoked.
    """
    reign, revoked = _past(key), in_force(said()).get(key)
    if revoked is None:
        raise Conflict(f"key {key} is not revoked: what it signed counts")
    head = LedgerHead.objects.filter(size=reign.end).first()
    if head is None:
        raise LedgerError(
            f"there is no signed head of {reign.end:,} entries, where the next key began: see `selfheal log verify`"
        )
    more: dict[str, str | int] = {"from": revoked.since, "size": reign.end, "root": b64(bytes(head.root))}
    _append(ATTEST_ACTION, key, reason, actor, at, more)
    return revoked.since, reign.end


def said(using: str = DEFAULT_DB_ALIAS) -> list[Said]:
    """What entries say of keys, the oldest first; what nobody can read is left to `selfheal log verify`."""
    rows = LedgerEntry.objects.using(using).filter(action__in=(REVOKE_ACTION, ATTEST_ACTION)).order_by("index")
    found = []
    for index, leaf in rows.values_list("index", "leaf"):
        try:
            found.append(said_by(index, bytes(leaf)))
        except Invalid:
            continue
    return [each for each in found if each]


def _past(key: str) -> Reign:
    """The reign of a key that is over."""
    reigns = Ring(selectors.keys()).reigns(selectors.size())
    reign = next((each for each in reigns if each.key == key), None)
    if reign is None:
        raise Invalid(f"this log has no key {key!r}; it has {', '.join(each.key for each in reigns) or 'none yet'}", field="KEY")
    if reign is reigns[-1]:
        raise Conflict(f"key {key} is in force, so its own word would revoke it: `selfheal log rotate` first, then this again")
    return reign


def _append(action: str, key: str, reason: str, actor: str, at: datetime, more: dict[str, str | int]) -> None:
    if not reason.strip():
        raise Invalid("must say why: others will ask", field="--reason")
    payload = {"key": key, "reason": reason.strip()[:1000], **more}
    with transaction.atomic():
        ledger.append(actor=actor, action=action, resource=f"key:{key}", payload=payload, subsystem="ledger", at=at)
