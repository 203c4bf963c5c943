from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.db import IntegrityError, OperationalError, connection, transaction

from healing import heartbeats, ledger
from healing.ledger import lease, selectors, sequencer
from healing.ledger.sequencer import LEASE, Sequencer, sequence_once
from healing.ledger.verify import verify_database
from healing.models import Heartbeat, Lease, LedgerEntry, LedgerHead, LedgerKey, LedgerOutbox, LedgerTile
from selfheal import merkle
from selfheal.errors import Conflict, LedgerError
from selfheal.leaves import Columns
from selfheal.signing import Verifier

pytestmark = pytest.mark.django_db


def test_the_first_entry_introduces_the_key_even_when_leaves_wait_already(write, signer, at):
    write(2)
    assert sequence_once(signer, at) == 3
    first = LedgerEntry.objects.get(index=0)
    assert first.action == "log.key"
    assert json.loads(bytes(first.leaf))["payload"]["vkey"] == signer.verifier.vkey == LedgerKey.objects.get().vkey
    assert list(LedgerEntry.objects.order_by("index").values_list("resource", flat=True)[1:]) == ["thing:0", "thing:1"]


def test_a_leaf_becomes_an_entry_byte_for_byte_and_leaves_the_outbox(write, signer, at):
    (outbox_id,) = write(1, actor="ann", resource="run:1")
    leaf = bytes(LedgerOutbox.objects.get().leaf)
    sequence_once(signer, at)
    entry = LedgerEntry.objects.get(outbox_id=outbox_id)
    assert bytes(entry.leaf) == leaf
    assert bytes(entry.leaf_hash) == merkle.leaf_hash(leaf)
    assert signer.verifier.verify_entry(1, bytes(entry.leaf_hash), bytes(entry.signature))
    assert (entry.index, entry.key_id, entry.actor, entry.resource, entry.at) == (1, signer.verifier.key_id, "ann", "run:1", at)
    assert not LedgerOutbox.objects.exists()


def test_each_batch_is_under_a_head_that_the_key_signed(grow, signer):
    grow(3)
    grow(4)
    sizes = list(LedgerHead.objects.values_list("size", flat=True))
    assert sizes == [7, 3]
    for head in LedgerHead.objects.all():
        checkpoint = Verifier.parse(LedgerKey.objects.get().vkey).open_checkpoint(head.note)
        hashes = [
            bytes(h)
            for h in LedgerEntry.objects.filter(index__lt=head.size).order_by("index").values_list("leaf_hash", flat=True)
        ]
        assert (checkpoint.size, checkpoint.root, bytes(head.root)) == (head.size, merkle.root(hashes), merkle.root(hashes))


def test_a_batch_takes_a_thousand_at_most(write, signer, at):
    write(1001)
    assert [sequence_once(signer, at) for _ in range(3)] == [1001, 1, 0]


def test_full_tiles_are_stored_as_they_fill(grow):
    grow(255)
    assert not LedgerTile.objects.exists()
    grow(260)
    assert list(LedgerTile.objects.order_by("index").values_list("level", "index")) == [(0, 0), (0, 1)]
    hashes = [bytes(h) for h in LedgerEntry.objects.filter(index__lt=512).order_by("index").values_list("leaf_hash", flat=True)]
    second = LedgerTile.objects.get(level=0, index=1)
    assert bytes(second.hashes) == b"".join(hashes[256:])
    assert bytes(second.root) == merkle.root(hashes[256:])


def test_what_is_rolled_back_with_its_change_is_never_an_entry(write, signer, at):
    with transaction.atomic():
        write(1)
        transaction.set_rollback(True)
    assert sequence_once(signer, at) == 1  # the key's own


def test_a_long_actor_and_a_nul_do_not_stop_the_log(write, signer, at):
    write(1, actor="a" * 400, resource="x\x00y")
    sequence_once(signer, at)
    entry = LedgerEntry.objects.get(index=1)
    assert (entry.actor, entry.resource) == ("a" * 150, "x�y")
    assert verify_database().ok


def test_an_outbox_row_that_is_no_leaf_stops_the_log_and_is_named(signer, at, db):
    row = LedgerOutbox.objects.create(leaf=b'{"actor": 1}')
    with pytest.raises(LedgerError, match=f"outbox row {row.pk}"):
        sequence_once(signer, at)
    assert not LedgerEntry.objects.exists()


def test_nothing_is_signed_over_a_tree_that_is_not_the_one_before(grow, write, signer, at):
    from healing.ledger import guards

    grow(3)
    guards.remove()
    LedgerEntry.objects.filter(index=1).update(leaf_hash=b"\0" * 32)
    guards.install()
    write(1)
    with pytest.raises(LedgerError, match="not the one that was signed at size 3"):
        sequence_once(signer, at)
    assert LedgerHead.objects.count() == 1


def test_only_one_sequencer_holds_the_lease(at, db):
    held = lease.acquire("sequencer", "one", at, LEASE)
    assert held == lease.Held("sequencer", "one", 1)
    assert lease.acquire("sequencer", "two", at + LEASE / 2, LEASE) is None
    assert lease.acquire("sequencer", "two", at + LEASE, LEASE) == lease.Held("sequencer", "two", 2)


def test_a_stale_sequencer_writes_nothing(write, signer, at):
    stale = lease.acquire("sequencer", "one", at, LEASE)
    write(1)
    lease.acquire("sequencer", "two", at + LEASE, LEASE)
    with pytest.raises(Conflict, match="no longer holds"), transaction.atomic():
        sequence_once(signer, at + LEASE, stale)
    assert LedgerOutbox.objects.count() == 1
    assert not LedgerEntry.objects.exists()


def test_one_batch_by_hand_waits_for_no_running_sequencer(signer, at, db):
    lease.acquire("sequencer", "one", at, LEASE)
    with pytest.raises(Conflict, match="a sequencer is running"):
        sequence_once(signer, at)


def test_a_look_sequences_renews_and_beats(write, at):
    write(1)
    process = Sequencer()
    assert process.look(at) == sequencer.POLL
    assert LedgerEntry.objects.count() == 2
    assert Heartbeat.objects.get(role="sequencer").at == at
    later = at + timedelta(seconds=6)
    process.look(later)
    assert Lease.objects.get().expires_at == later + LEASE
    assert "sequencer" not in heartbeats.missing(later)
    process.end(later)
    assert Lease.objects.get().expires_at == later
    assert not Heartbeat.objects.exists()


def test_a_second_sequencer_stands_by_and_takes_over(write, at):
    first, second = Sequencer(), Sequencer()
    second.name = "other"
    first.look(at)
    write(1)
    second.look(at)
    assert LedgerOutbox.objects.count() == 1
    second.look(at + LEASE)
    assert not LedgerOutbox.objects.exists()
    write(1)
    assert first.look(at + LEASE) == sequencer.AGAIN  # its lease is gone, and with it its batch
    assert first.held is None
    assert LedgerOutbox.objects.count() == 1


def test_a_database_that_is_away_is_waited_for(write, at, monkeypatch, caplog):
    write(1)
    process = Sequencer()
    with monkeypatch.context() as patch:
        patch.setattr(connection, "close", lambda: None)

        def away(*_, **__):
            raise OperationalError("the database system is shutting down")

        patch.setattr(sequencer, "sequence_once", away)
        assert process.look(at) == sequencer.AGAIN
    assert "the database failed" in caplog.text
    process.look(at + timedelta(seconds=1))
    assert LedgerEntry.objects.count() == 2


def test_run_stops_when_it_is_told_to_and_releases_the_lease(transactional_db, at):
    with transaction.atomic():
        ledger.append(actor="a", action="b", resource="c", at=at)
    left = iter([False, False, True])
    sequencer.run(lambda: next(left))
    assert LedgerEntry.objects.count() == 2
    assert Lease.objects.get().expires_at <= LedgerHead.objects.first().at + timedelta(seconds=5)


def test_timeline_rows_find_their_index(write, signer, at):
    ids = write(2)
    assert selectors.indexes(ids) == {}
    assert not selectors.is_covered(ids[0])
    sequence_once(signer, at)
    assert selectors.indexes(ids) == {ids[0]: 1, ids[1]: 2}
    assert selectors.is_covered(ids[0])


def test_what_is_kept_beside_a_leaf_is_what_it_says(grow, at):
    grow(2)
    entry = LedgerEntry.objects.get(index=1)
    assert Columns(entry.actor, entry.action, entry.resource, entry.subsystem, entry.at) == Columns(
        "tester", "test.written", "thing:0", "healing", at
    )


def test_no_outbox_row_becomes_two_entries(grow):
    grow(2)
    row = LedgerEntry.objects.get(index=1)
    row.index = 2
    with pytest.raises(IntegrityError), transaction.atomic():
        row.save(force_insert=True)
