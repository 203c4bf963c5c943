from __future__ import annotations

import pytest
from django.db import connection

from healing.ledger import guards, selectors
from healing.ledger.export import export
from healing.ledger.tiles import Nodes
from healing.ledger.verify import verify_database
from healing.models import LedgerEntry, LedgerHead, LedgerKey, LedgerOutbox, LedgerTile
from selfheal.__main__ import main
from selfheal.errors import Invalid, LedgerError
from selfheal.merkle import root, verify_consistency, verify_inclusion
from selfheal.signing import Verifier, b64

pytestmark = pytest.mark.django_db


@pytest.fixture
def tamper(grow):
    """A log of 600 entries under a few heads, and a way to change it past the guards."""
    for count in (3, 297, 300):
        grow(count)
    guards.remove()
    yield lambda model, key, **changes: model.objects.filter(pk=key).update(**changes)
    guards.install()


def said(**options) -> list[tuple[str, int]]:
    return [(failure.kind, failure.index) for failure in verify_database(**options).failures]


def test_a_log_as_the_sequencer_writes_it_is_good(grow):
    assert verify_database().ok
    for count in (1, 255, 1, 2000):
        grow(count)
    sizes: list[int] = []
    report = verify_database(sizes.append)
    assert (report.ok, report.size, report.failures) == (True, 2257, [])
    assert report.root == bytes(LedgerHead.objects.first().root)
    assert sizes == [1000, 2000, 2257]


def test_leaves_that_wait_are_no_fault(grow, write):
    grow(3)
    write(2)
    assert verify_database().ok
    assert LedgerOutbox.objects.count() == 2


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"leaf": b"{}"}, "content"),
        ({"leaf_hash": b"\0" * 32}, "content"),
        ({"signature": b"\0" * 64}, "signature"),
        ({"key_id": "00000000"}, "signature"),
        ({"actor": "mallory"}, "content"),
        ({"action": "other"}, "content"),
        ({"resource": "other"}, "content"),
        ({"subsystem": "other"}, "content"),
        ({"at": "2020-01-01T00:00:00Z"}, "content"),
    ],
)
def test_a_changed_row_is_named_and_no_other_is(tamper, changes, kind):
    tamper(LedgerEntry, 299, **changes)
    assert said() == [(kind, 299)]


def test_a_removed_row_is_named(tamper):
    LedgerEntry.objects.filter(index=100).delete()
    assert said() == [("gap", 100)]


def test_rows_cut_off_at_the_end_are_named(tamper):
    LedgerEntry.objects.filter(index__gte=590).delete()
    assert said() == [("gap", 590)]


def test_a_changed_tile_a_missing_and_a_surplus_one_are_named(tamper):
    first = LedgerTile.objects.get(index=0)
    tamper(LedgerTile, first.pk, hashes=b"\0" * 8192)
    LedgerTile.objects.filter(index=1).delete()
    assert said() == [("tile", 0), ("tile", 1)]
    tamper(LedgerTile, first.pk, hashes=first.hashes)
    second = _list(256, 512)
    LedgerTile.objects.create(level=0, index=1, hashes=b"".join(second), root=root(second))
    assert said() == []
    LedgerTile.objects.create(level=0, index=2, hashes=b"", root=b"\0" * 32)
    assert said() == [("tile", 0)]


def _list(start: int, end: int) -> list[bytes]:
    rows = LedgerEntry.objects.filter(index__gte=start, index__lt=end).order_by("index")
    return [bytes(hash_) for hash_ in rows.values_list("leaf_hash", flat=True)]


def test_a_changed_head_and_a_changed_key_are_named(tamper):
    tamper(LedgerHead, 300, root=b"\0" * 32)
    assert said() == [("head", 300)]
    key = LedgerKey.objects.get()
    tamper(LedgerKey, key.pk, vkey=Verifier(key.origin, bytes(32)).vkey)
    assert ("signature", 0) in said()
    tamper(LedgerKey, key.pk, vkey="nonsense")
    assert said() == [("key", 0)]


def test_a_missing_last_head_is_named(tamper):
    LedgerHead.objects.filter(size=600).delete()
    assert said() == [("head", 600)]


def test_without_signatures_the_heads_still_tell(tamper):
    tamper(LedgerEntry, 5, signature=b"\0" * 64)
    assert said(signatures=False) == []
    tamper(LedgerEntry, 5, leaf=b"{}", leaf_hash=bytes(32))
    assert ("head", 300) in said(signatures=False)


def test_an_index_far_away_is_a_gap_and_no_endless_walk(tamper):
    tamper(LedgerEntry, 599, index=10**15)
    assert said() == [("signature", 10**15), ("gap", 599), ("head", 10**15 + 1)]


def test_a_row_whose_columns_hold_another_type_is_a_failure_and_no_crash(tamper):
    if connection.vendor == "postgresql":
        return  # its columns hold nothing but their own type
    with connection.cursor() as cursor:
        cursor.execute("UPDATE healing_ledgerentry SET leaf = 7, at = 'noon' WHERE \"index\" = 9")
        cursor.execute("UPDATE healing_ledgerentry SET leaf = replace(leaf, 'tester', 'mallory') WHERE \"index\" = 10")
        cursor.execute("UPDATE healing_ledgerentry SET signature = 'x', key_id = 3 WHERE \"index\" = 11")
        cursor.execute("UPDATE healing_ledgerentry SET at = '2026-99-99 00:00:00' WHERE \"index\" = 12")
    assert said() == [("content", 9), ("content", 10), ("signature", 11), ("content", 12)]


def test_any_subtree_and_any_proof_comes_from_tiles_and_partial_tiles(grow, django_assert_max_num_queries):
    grow(700)
    leaves = _list(0, 700)
    for level, index in [(0, 0), (0, 699), (3, 80), (7, 3), (8, 0), (8, 1), (9, 0)]:
        assert Nodes()(level, index) == root(leaves[index << level : index + 1 << level]), (level, index)
    with pytest.raises(LedgerError):
        Nodes()(8, 2)
    for index, size in [(0, 1), (0, 700), (511, 700), (512, 513), (699, 700), (255, 257)]:
        with django_assert_max_num_queries(8):
            proof = selectors.inclusion(index, size)
        verify_inclusion(index, size, leaves[index], proof, root(leaves[:size]))
    for first, second in [(1, 700), (256, 700), (511, 512), (699, 700), (700, 700)]:
        with django_assert_max_num_queries(8):
            proof = selectors.consistency(first, second)
        verify_consistency(first, second, root(leaves[:first]), root(leaves[:second]), proof)


@pytest.mark.parametrize(("index", "size", "field"), [(0, 0, "size"), (0, 4, "size"), (3, 3, "index"), (-1, 3, "index")])
def test_a_proof_out_of_range_names_the_field(grow, index, size, field):
    grow(3)
    with pytest.raises(Invalid) as raised:
        selectors.inclusion(index, size)
    assert raised.value.field == field


def test_an_export_is_verified_by_the_library_alone(grow, tmp_path, capsys):
    grow(1200)
    assert export(tmp_path / "out") == 1200
    assert main(["verify", str(tmp_path / "out")]) == 0
    assert "1,200 entries" in capsys.readouterr().out
    with pytest.raises(LedgerError, match="not empty"):
        export(tmp_path / "out")


def test_an_empty_log_has_nothing_to_export(db, tmp_path):
    with pytest.raises(LedgerError, match="no signed head yet"):
        export(tmp_path / "out")


def test_a_proof_text_is_that_of_c2sp_tlog_proof(grow):
    grow(5)
    lines = selectors.proof_text(4).split("\n")
    leaf = bytes(LedgerEntry.objects.get(index=4).leaf)
    assert lines[:3] == ["c2sp.org/tlog-proof@v1", f"extra {b64(leaf)}", "index 4"]
    assert len(lines[3]) == 44
    assert "\n".join(lines[5:]) == LedgerHead.objects.first().note
