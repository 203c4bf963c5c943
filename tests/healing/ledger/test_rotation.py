from __future__ import annotations

import pytest

from config.cli import run
from healing.ledger import keys, selectors
from healing.ledger.export import export
from healing.ledger.sequencer import Sequencer, sequence_once
from healing.ledger.verify import verify_database
from healing.models import LedgerEntry, LedgerKey
from selfheal.__main__ import main
from selfheal.signing import Verifier

pytestmark = pytest.mark.django_db


def test_the_log_goes_on_with_a_new_key_and_the_old_one_stays_listed(grow, write, signer, key_file, at, tmp_path):
    grow(5)
    keys.make_successor()
    write(2)
    sequencer = Sequencer()
    sequencer.look(at)
    write(1)
    sequencer.look(at)
    fresh = keys.load()
    document = selectors.key_document()
    assert fresh.verifier.key_id != signer.verifier.key_id
    assert (document["vkey"], document["since_index"]) == (fresh.verifier.vkey, 5)
    assert document["retired"] == [{"vkey": signer.verifier.vkey, "since_index": 0}]
    assert list(LedgerEntry.objects.order_by("index").values_list("action", flat=True)[4:7]) == [
        "test.written",
        "log.key",
        "test.written",
    ]
    assert {entry.key_id for entry in LedgerEntry.objects.filter(index__gte=5)} == {fresh.verifier.key_id}
    assert Verifier.parse(document["vkey"]).open_checkpoint(selectors.last_head().note).size == 9
    assert verify_database().ok
    export(tmp_path / "out")
    assert main(["verify", str(tmp_path / "out")]) == 0
    assert [path.name for path in key_file.parent.iterdir()] == [key_file.name]


def test_a_crash_before_the_file_has_its_place_changes_nothing(grow, signer, key_file, at):
    grow(3)
    keys.make_successor()
    waiting = keys.successor(signer.verifier.name)
    sequence_once(signer, at, None, waiting)
    assert keys.successor_waits()
    sequencer = Sequencer()
    sequencer.look(at)
    assert not keys.successor_waits()
    assert keys.load().verifier == waiting.verifier
    assert LedgerKey.objects.count() == 2
    assert verify_database().ok


def test_a_new_log_begins_with_its_first_key_before_another_succeeds_it(write, signer, key_file, at):
    keys._make(keys._waiting())
    write(1)
    sequencer = Sequencer()
    sequencer.look(at)
    sequencer.look(at)
    assert list(LedgerKey.objects.values_list("since_index", flat=True)) == [2, 0]
    assert verify_database().ok


def test_one_successor_waits_at_a_time_and_none_before_the_log(grow, key_file, capsys):
    assert run(["log", "rotate"]) == 1
    assert "has not begun" in capsys.readouterr().err
    grow(1)
    assert run(["log", "rotate"]) == 0
    assert run(["log", "rotate"]) == 1
    assert "waits already" in capsys.readouterr().err
    assert (key_file.parent / "signing.key.next").stat().st_mode & 0o777 == 0o600
