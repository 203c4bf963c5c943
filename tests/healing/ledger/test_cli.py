from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from config.cli import run
from config.cli.log import _open
from healing.ledger import guards, seals
from healing.ledger.reading import Reader, spread
from healing.ledger.sequencer import sequence_once
from healing.models import LedgerEntry, LedgerHead
from selfheal.verify import Key, Ring

pytestmark = pytest.mark.django_db


ROOT = Path(__file__).parents[3]
MAKE = """
import django; django.setup()
from datetime import UTC, datetime
from django.core.management import call_command
from django.db import transaction
from healing import ledger
from healing.ledger import keys, sequencer
call_command("migrate", verbosity=0)
with transaction.atomic():
    for n in range(50):
        ledger.append(actor="scheduler", action="run.started", resource=f"run:{n}", at=datetime.now(UTC))
sequencer.sequence_once(keys.load(), datetime.now(UTC))
"""


def python(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"DJANGO_SETTINGS_MODULE": "config.settings", "SELF_HEAL_HOME": str(home), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def selfheal(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return python(home, "-c", "from config.cli import main; main()", *arguments)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of a SQLite file with a log of 51 entries."""
    made = python(tmp_path / "made", "-c", MAKE)
    assert made.returncode == 0, made.stderr
    return Path(shutil.copy(tmp_path / "made" / "selfheal.sqlite3", tmp_path / "copy.sqlite3"))


def test_a_good_log_is_said_to_be_whole(signer, at, capsys):
    sequence_once(signer, at)
    assert run(["log", "verify"]) == 0
    assert "✓ the log is whole: 1 entries, 1 signed heads" in capsys.readouterr().out


def test_a_row_changed_in_a_copy_is_noticed_and_named(copied, tmp_path):
    def verify(*options: str) -> subprocess.CompletedProcess[str]:
        return selfheal(tmp_path / "home", "log", "verify", "--database", str(copied), *options)

    good = verify()
    assert (good.returncode, good.stderr) == (0, "")
    assert "the log is whole: 51 entries" in good.stdout
    with sqlite3.connect(copied) as database:
        with pytest.raises(sqlite3.IntegrityError, match="refuses UPDATE"):
            database.execute("UPDATE healing_ledgerentry SET actor = 'nobody' WHERE \"index\" = 17")
        database.execute("DROP TRIGGER healing_ledgerentry_no_update")
        change = "CAST(replace(leaf, 'scheduler', 'somebody!') AS BLOB)"
        database.execute(f'UPDATE healing_ledgerentry SET leaf = {change} WHERE "index" = 17')
    database.close()
    bad = verify()
    assert bad.returncode == 1
    assert "✗ content: entry 17 has another leaf than the one that was signed" in bad.stdout
    assert "tampered with or damaged: 1 failures" in bad.stdout
    document = json.loads(verify("--json").stdout)
    assert (document["ok"], document["size"]) == (False, 51)
    assert [(failure["kind"], failure["index"]) for failure in document["failures"]] == [("content", 17)]


def test_what_was_verified_before_is_known_again_until_a_bit_changes(grow, settings, tmp_path, capsys):
    settings.SELF_HEAL_HOME = tmp_path
    grow(5)
    assert run(["log", "verify"]) == run(["log", "verify"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert "5 entries, 1 signed heads" in first
    assert "5 entries (5 as verified before), 1 signed heads" in second
    assert run(["log", "verify", "--full"]) == 0
    assert "before" not in capsys.readouterr().out
    guards.remove()
    LedgerEntry.objects.filter(index=3).update(signature=bytes(64))
    guards.install()
    assert run(["log", "verify"]) == 1
    assert "signature: entry 3" in capsys.readouterr().out


def test_seals_that_others_may_write_are_not_believed(settings, tmp_path):
    settings.SELF_HEAL_HOME = tmp_path
    assert seals.known() == frozenset()
    seals.remember([b"a" * 32, b"b" * 32])
    assert seals.known() == {b"a" * 32, b"b" * 32}
    (tmp_path / seals.NAME).chmod(0o620)
    assert seals.known() == frozenset()


def test_processes_read_and_check_by_themselves_and_answer_in_order(copied):
    with sqlite3.connect(copied) as database:
        database.execute("DROP TRIGGER healing_ledgerentry_no_update")
        database.execute("UPDATE healing_ledgerentry SET actor = 'mallory' WHERE \"index\" = 45")
        database.execute("UPDATE healing_ledgerentry SET signature = x'' WHERE \"index\" = 3")
        ring = Ring(Key(*row) for row in database.execute("SELECT vkey, since_index FROM healing_ledgerkey"))
    database.close()
    ranges = [(None, 10), *((start, start + 10) for start in range(10, 60, 10))]
    answers = list(spread(Reader(_open(str(copied)), ring), ranges, processes=2))
    assert [index for answer in answers for index, _ in answer.leaves] == list(range(51))
    assert [(f.kind, f.index) for answer in answers for f in answer.failures] == [("signature", 3), ("content", 45)]
    assert [bool(answer.seal) for answer in answers] == [False, True, True, True, False, True]


def test_a_file_that_is_not_there_is_used_wrongly_and_one_that_is_no_log_failed(tmp_path):
    absent = selfheal(tmp_path / "home", "log", "verify", "--database", str(tmp_path / "none.sqlite3"))
    assert absent.returncode == 2
    assert "there is no file" in absent.stderr
    (tmp_path / "some.sqlite3").write_bytes(b"")
    other = selfheal(tmp_path / "home", "log", "verify", "--database", str(tmp_path / "some.sqlite3"))
    assert (other.returncode, other.stdout) == (1, "")
    assert "no such table" in other.stderr


def test_a_head_kept_elsewhere_shows_a_log_that_was_written_anew(signer, at, write, tmp_path, capsys):
    sequence_once(signer, at)
    kept = tmp_path / "checkpoint"
    kept.write_text(LedgerHead.objects.get().note)
    write(3)
    sequence_once(signer, at)
    assert run(["log", "verify", "--checkpoint", str(kept)]) == 0
    kept.write_text(signer.sign_checkpoint(1, bytes(32)))
    assert run(["log", "verify", "--checkpoint", str(kept)]) == 1
    assert "it was written anew" in capsys.readouterr().out
    kept.write_text("no head")
    assert run(["log", "verify", "--checkpoint", str(kept)]) == 1


def test_a_proof_is_printed_and_an_export_is_verified(signer, at, write, tmp_path, capsys):
    write(4)
    sequence_once(signer, at)
    assert run(["log", "prove", "2"]) == 0
    assert capsys.readouterr().out.startswith("c2sp.org/tlog-proof@v1\nextra ")
    assert run(["log", "prove", "5"]) == 1
    assert run(["log", "export", str(tmp_path / "out")]) == 0
    done = python(tmp_path, "-m", "selfheal", "verify", str(tmp_path / "out"))
    assert (done.returncode, done.stdout) == (0, "5 entries, 1 signed heads: good\n")
    capsys.readouterr()
    assert run(["log", "verify", str(tmp_path / "out"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["ok"], found["size"], found["failures"]) == (True, 5, [])


def test_an_export_is_verified_without_a_home_and_what_is_wrong_with_it_is_said(signer, at, write, tmp_path):
    write(4)
    sequence_once(signer, at)
    assert run(["log", "export", str(tmp_path / "out")]) == 0
    good = selfheal(tmp_path / "none", "log", "verify", str(tmp_path / "out"))
    assert (good.returncode, good.stderr) == (0, "")
    assert "✓ the log is whole: 5 entries, 1 signed heads" in good.stdout
    lines = (tmp_path / "out/entries.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "out/entries.jsonl").write_text("".join([*lines[:2], *lines[3:]]))
    bad = selfheal(tmp_path / "none", "log", "verify", str(tmp_path / "out"))
    assert bad.returncode == 1
    assert "entry 2 is missing" in bad.stdout
    assert selfheal(tmp_path / "none", "log", "verify", str(tmp_path / "nowhere")).returncode == 1
    assert not (tmp_path / "none").exists()
    assert selfheal(tmp_path / "none", "log", "verify", str(tmp_path / "out"), "--heads-only").returncode == 2
