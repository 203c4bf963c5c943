from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest
from django.db import transaction

from healing import ledger
from healing.ledger.outbox import MAX_LEAF_BYTES
from healing.models import LedgerOutbox
from selfheal import leaves
from selfheal.canonical import dumps
from selfheal.errors import Invalid, LedgerError


def test_a_leaf_without_the_transaction_of_its_change_is_refused(transactional_db, at):
    with pytest.raises(LedgerError, match="there is none"):
        ledger.append(actor="a", action="b", resource="c", at=at)


@pytest.mark.django_db
def test_a_leaf_is_canonical_and_has_every_field(at):
    ledger.append(actor="ann", action="run.approved", resource="run:1", at=at, payload={"ü": [1, None, True]})
    leaf = bytes(LedgerOutbox.objects.get().leaf)
    assert leaf.decode() == (
        '{"action":"run.approved","actor":"ann","at":"2026-11-25T12:00:00.000000Z","payload":{"ü":[1,null,true]},'
        '"resource":"run:1","result":"ok","subsystem":"healing"}'
    )
    assert leaves.read(leaf)["actor"] == "ann"


@pytest.mark.django_db
def test_times_are_written_in_utc():
    ledger.append(actor="a", action="b", resource="c", at=datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))))
    assert leaves.read(bytes(LedgerOutbox.objects.get().leaf))["at"] == "2026-01-01T00:00:00.000000Z"


@pytest.mark.django_db
@pytest.mark.parametrize("value", [1.5, 2**53, "\ud800", Decimal("1"), {1: 2}, b"x", float("nan")])
def test_a_value_that_two_programs_could_write_differently_is_refused(at, value):
    with pytest.raises(Invalid) as raised, transaction.atomic():
        ledger.append(actor="a", action="b", resource="c", at=at, payload={"x": [value]})
    assert raised.value.field.startswith("payload.x.0")


@pytest.mark.django_db
def test_a_leaf_has_at_most_65535_bytes(at):
    bare = len(dumps({"action": "b", "actor": "a", "at": ledger.instant(at), "payload": {"x": ""}, "resource": "c"}))
    bare += len(',"result":"ok","subsystem":"healing"')
    ledger.append(actor="a", action="b", resource="c", at=at, payload={"x": "y" * (MAX_LEAF_BYTES - bare)})
    with pytest.raises(LedgerError, match="65,536 bytes"):
        ledger.append(actor="a", action="b", resource="c", at=at, payload={"x": "y" * (MAX_LEAF_BYTES - bare + 1)})
