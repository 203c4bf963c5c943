from __future__ import annotations

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction

from healing.ledger import guards
from healing.models import LedgerEntry, LedgerHead, LedgerKey, LedgerOutbox, LedgerTile

pytestmark = pytest.mark.django_db

MODELS = [LedgerEntry, LedgerTile, LedgerHead, LedgerKey]


def refused(act) -> bool:
    try:
        with transaction.atomic():
            act()
    except DatabaseError as error:
        return "refuses" in str(error)
    return False


def test_every_guard_is_there_after_migrate():
    assert guards.missing() == []


@pytest.mark.parametrize("model", MODELS)
def test_what_the_log_holds_cannot_be_changed_or_deleted(grow, model):
    grow(257)
    key = model._meta.pk.name
    row = model.objects.order_by(key).first()
    assert refused(lambda: model.objects.filter(pk=row.pk).update(**{_some_field(model): getattr(row, _some_field(model))}))
    assert refused(lambda: model.objects.filter(pk=row.pk).delete())


def _some_field(model) -> str:
    return next(f.name for f in model._meta.fields if not f.primary_key)


def test_a_waiting_leaf_cannot_be_changed_or_deleted(write):
    (waiting,) = write(1)
    assert refused(lambda: LedgerOutbox.objects.filter(pk=waiting).update(leaf=b"{}"))
    assert refused(lambda: LedgerOutbox.objects.filter(pk=waiting).delete())


def test_an_outbox_row_goes_only_when_an_entry_has_its_leaf(grow):
    grow(2)
    moved = LedgerEntry.objects.get(index=1)
    LedgerOutbox.objects.create(pk=moved.outbox_id, leaf=bytes(moved.leaf) + b" ")
    assert refused(lambda: LedgerOutbox.objects.filter(pk=moved.outbox_id).delete())
    guards.remove()
    LedgerOutbox.objects.filter(pk=moved.outbox_id).update(leaf=bytes(moved.leaf))
    guards.install()
    assert not refused(lambda: LedgerOutbox.objects.filter(pk=moved.outbox_id).delete())


def test_a_lost_guard_is_named_and_put_back(db):
    name = "healing_ledgerentry_no_update"
    with connection.cursor() as cursor:
        cursor.execute(guards._drop(connection, name, "healing_ledgerentry"))
    assert guards.missing() == [name]
    guards.after_migrate(using="default")
    assert guards.missing() == []


def test_a_guard_that_does_nothing_counts_as_missing(db):
    name, table = "healing_ledgerentry_no_update", "healing_ledgerentry"
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER {name}")
        else:
            cursor.execute(f"DROP TRIGGER {name}")
            cursor.execute(f"CREATE TRIGGER {name} BEFORE UPDATE ON {table} WHEN 0 BEGIN SELECT 1; END")
    assert guards.missing() == [name]
    guards.install()
    assert guards.missing() == []


def test_tables_cannot_be_emptied_at_once(grow):
    grow(2)
    empty = "TRUNCATE healing_ledgerhead CASCADE" if connection.vendor == "postgresql" else "DELETE FROM healing_ledgerhead"
    assert refused(lambda: connection.cursor().execute(empty))


@pytest.mark.django_db(transaction=True)
def test_the_guards_go_with_their_migration_and_come_back_with_it():
    call_command("migrate", "healing", "0001", verbosity=0)
    assert len(guards.missing()) == len(guards._wanted(connection))
    call_command("migrate", verbosity=0)  # what stands on healing went back with it
    assert guards.missing() == []


@pytest.mark.django_db(transaction=True)
def test_the_guards_outlive_the_emptying_of_tables_in_tests():
    assert guards.missing() == []
    assert not LedgerEntry.objects.exists()
