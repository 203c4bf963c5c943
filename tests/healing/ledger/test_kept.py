from __future__ import annotations

from pathlib import Path

import pytest

from config.cli import run
from healing.ledger import guards, kept
from healing.models import LedgerHead
from selfheal.errors import LedgerError

pytestmark = pytest.mark.django_db


@pytest.fixture
def elsewhere(tmp_path) -> Path:
    return tmp_path / "elsewhere"


def test_heads_are_added_while_the_log_goes_on(grow, elsewhere, capsys):
    with pytest.raises(LedgerError, match="no signed head yet"):
        kept.keep(elsewhere)
    for count in (3, 9):
        grow(count)
        assert run(["log", "keep", str(elsewhere)]) == 0
    assert run(["log", "keep", str(elsewhere)]) == 0
    assert [path.name for path in kept.files(elsewhere)] == ["3.checkpoint", "12.checkpoint"]
    assert (elsewhere / "12.checkpoint").read_text() == LedgerHead.objects.first().note
    assert run(["log", "verify", "--checkpoint", str(elsewhere)]) == 0


def test_a_log_that_was_written_anew_is_noticed_and_nothing_is_added(grow, signer, elsewhere, capsys):
    grow(3)
    elsewhere.mkdir()
    (elsewhere / "2.checkpoint").write_text(signer.sign_checkpoint(2, bytes(32)))
    assert run(["log", "keep", str(elsewhere)]) == 1
    assert "the log was written anew" in capsys.readouterr().err
    assert run(["log", "verify", "--checkpoint", str(elsewhere)]) == 1
    assert [path.name for path in elsewhere.iterdir()] == ["2.checkpoint"]


def test_a_log_that_was_rolled_back_is_noticed(grow, elsewhere, capsys):
    grow(3)
    grow(4)
    kept.keep(elsewhere)
    guards.remove()
    LedgerHead.objects.filter(size=7).delete()
    guards.install()
    assert run(["log", "keep", str(elsewhere)]) == 1
    assert "rolled back: it has 3 entries" in capsys.readouterr().err


def test_a_head_of_another_key_and_a_file_that_is_none_are_refused(grow, elsewhere):
    grow(3)
    elsewhere.mkdir()
    for text in ("", "x\n1\n", "x\n" + "9" * 5000 + "\n", "x\n-1\n", LedgerHead.objects.first().note.replace("— ", "— other")):
        (elsewhere / "1.checkpoint").write_text(text)
        with pytest.raises(LedgerError):
            kept.keep(elsewhere)
