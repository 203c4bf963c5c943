from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from healing import findings, tasks
from healing.ledger import patrol
from healing.models import LedgerEntry, LedgerHead, LedgerOutbox, LedgerPatrol, LedgerTile
from selfheal.merkle import EMPTY_ROOT
from tests.healing.ledger.test_verify import tamper  # noqa: F401

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


@pytest.fixture
def short(monkeypatch) -> None:
    """A stretch is one tile."""
    monkeypatch.setattr(patrol, "STRETCH", 256)


def a_pass(at: datetime) -> LedgerPatrol:
    """Look until a pass is through."""
    for minute in range(20):
        patrol.look(at + minute * MINUTE)
        row = patrol.state()
        if row.next_index >= row.size:
            return row
    raise AssertionError("the pass does not end")


def kinds(row: LedgerPatrol) -> set[tuple[str, int]]:
    return {(failure["kind"], failure["index"]) for failure in row.standing}


def test_a_pass_goes_over_the_whole_log_a_stretch_after_the_other(short, grow, at):
    grow(600)
    done = []
    for minute in range(4):
        patrol.look(at + minute * MINUTE)
        done.append(patrol.state().next_index)
    row = patrol.state()
    assert done == [256, 512, 600, 256]
    assert (row.passed_size, row.passed_at, row.is_wrong) == (600, at + 2 * MINUTE, False)


def test_a_pass_goes_to_the_head_of_its_beginning_whatever_comes_meanwhile(short, grow, at):
    grow(300)
    patrol.look(at)
    grow(300)
    patrol.look(at + MINUTE)
    assert (patrol.state().passed_size, patrol.state().is_wrong) == (300, False)


def test_an_empty_log_is_good(db, at):
    assert patrol.look(at) is False
    assert (patrol.state().passed_size, patrol.state().is_wrong) == (0, False)


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 700])
def test_a_log_of_any_size_is_good(short, grow, at, size):
    grow(size)
    assert (a_pass(at).standing, patrol.state().passed_size) == ([], size)


@pytest.mark.parametrize(
    ("model", "key", "changes", "expected"),
    [
        (LedgerEntry, 300, {"leaf": b"{}"}, ("content", 300)),
        (LedgerEntry, 300, {"signature": b"\0" * 64}, ("signature", 300)),
        (LedgerEntry, 300, {"actor": "mallory"}, ("content", 300)),
        (LedgerEntry, 599, {"leaf_hash": b"\0" * 32}, ("content", 599)),
        (LedgerHead, 300, {"root": EMPTY_ROOT}, ("head", 300)),
        (LedgerHead, 300, {"note": "none"}, ("head", 300)),
    ],
)
def test_whatever_is_changed_is_found(short, tamper, at, model, key, changes, expected):  # noqa: F811
    tamper(model, key, **changes)
    assert expected in kinds(a_pass(at))


def test_a_missing_entry_is_found(short, tamper, at):  # noqa: F811
    LedgerEntry.objects.filter(index__in=[7, 8]).delete()
    row = a_pass(at)
    assert ("gap", 7) in kinds(row)
    assert "entry 7 and 1 more" in next(f["message"] for f in row.standing if f["kind"] == "gap")


def test_a_changed_tile_is_found(short, tamper, at):  # noqa: F811
    LedgerTile.objects.filter(level=0, index=1).update(hashes=b"\0" * 256 * 32)
    assert ("tile", 1) in kinds(a_pass(at))


def test_an_entry_that_is_signed_but_under_no_head_is_found(short, tamper, signer, at):  # noqa: F811
    """Whoever has the key signs another leaf; the head that was signed before does not have it."""
    from selfheal.merkle import leaf_hash

    old = LedgerEntry.objects.get(index=520)
    leaf = bytes(old.leaf).replace(b"test.written", b"test.another")
    digest = leaf_hash(leaf)
    signature = signer.sign_entry(520, digest)
    tamper(LedgerEntry, 520, leaf=leaf, leaf_hash=digest, signature=signature, action="test.another")
    assert {kind for kind, _ in kinds(a_pass(at))} == {"head"}


def test_what_is_wrong_is_an_entry_and_said_once(short, tamper, at):  # noqa: F811
    tamper(LedgerEntry, 3, actor="mallory")
    a_pass(at)
    a_pass(at + 30 * MINUTE)
    waiting = [bytes(leaf) for leaf in LedgerOutbox.objects.values_list("leaf", flat=True)]
    assert sum(b'"log.damaged"' in leaf for leaf in waiting) == 1


def test_it_stands_until_a_whole_pass_has_found_nothing(short, tamper, at):  # noqa: F811
    actor = LedgerEntry.objects.get(index=3).actor
    tamper(LedgerEntry, 3, actor="mallory")
    a_pass(at)
    tamper(LedgerEntry, 3, actor=actor)
    patrol.look(at + 30 * MINUTE)
    assert (patrol.state().is_wrong, findings.log_patrol(at + 30 * MINUTE).ok) == (True, False)
    patrol.look(at + 31 * MINUTE)
    patrol.look(at + 32 * MINUTE)
    assert (patrol.state().is_wrong, findings.log_patrol(at + 32 * MINUTE).ok) == (False, True)


def test_who_asks_begins_a_pass_whose_looks_follow_one_another(short, grow, at):
    grow(600)
    patrol.look(at)
    patrol.ask("ann", at + MINUTE)
    assert [patrol.look(at + MINUTE) for _ in range(3)] == [True, True, False]
    assert (patrol.state().passed_at, patrol.state().asked_by) == (at + MINUTE, "")


def test_of_two_that_look_at_once_one_has_looked_in_vain(short, grow, at, monkeypatch):
    grow(600)
    beside = patrol._stretch

    def meanwhile(*arguments):
        monkeypatch.setattr(patrol, "_stretch", beside)
        patrol.look(at)
        return beside(*arguments)

    monkeypatch.setattr(patrol, "_stretch", meanwhile)
    patrol.look(at + MINUTE)
    assert (patrol.state().next_index, patrol.state().looked_at) == (256, at)


def test_a_look_reads_no_more_of_a_longer_log(short, grow, at, django_assert_max_num_queries):
    grow(300)
    for _ in range(3):
        grow(700)
        LedgerPatrol.objects.all().delete()
        with django_assert_max_num_queries(40):
            patrol.look(at)


def test_a_patrol_that_stands_still_is_a_finding(grow, at):
    grow(5)
    patrol.look(at)
    assert findings.log_patrol(at + 5 * MINUTE).ok
    assert "stands still" in findings.log_patrol(at + 11 * MINUTE).found


def test_the_beat_looks_once_a_slot_and_at_once_for_whoever_asks(short, grow, at, monkeypatch):
    grow(600)
    sent: list[bool] = []
    monkeypatch.setattr(tasks.patrol_log, "delay", lambda: sent.append(True))
    monkeypatch.setattr(tasks.timezone, "now", lambda: at)
    tasks.patrol_log()
    tasks.patrol_log()
    assert (patrol.state().next_index, sent) == (256, [])
    patrol.ask("ann", at)
    tasks.patrol_log()
    assert (patrol.state().next_index, sent) == (256, [True])
