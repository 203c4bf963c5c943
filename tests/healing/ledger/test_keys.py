from __future__ import annotations

import logging
import stat

import pytest

from healing.ledger import keys
from healing.ledger.sequencer import sequence_once
from healing.models import LedgerEntry, LedgerKey
from selfheal.errors import Invalid, LedgerError
from selfheal.signing import Verifier

pytestmark = pytest.mark.django_db


def test_the_key_is_made_once_for_its_owner_alone(key_file):
    signer = keys.load()
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    assert [path.name for path in key_file.parent.iterdir()] == [key_file.name]
    assert keys.load().verifier == signer.verifier


def test_the_origin_is_made_from_the_first_key_unless_one_is_set(key_file, settings):
    name = keys.load().verifier.name
    assert name.startswith("selfheal.local/")
    assert len(name) == len("selfheal.local/") + 16
    settings.SELF_HEAL_LOG_ORIGIN = "example.com/log"
    assert keys.load().verifier.name == "example.com/log"


@pytest.mark.parametrize("origin", ["two words", "a+b", "a\nb", "x" * 201])
def test_an_origin_that_no_note_could_carry_is_refused(key_file, settings, origin):
    settings.SELF_HEAL_LOG_ORIGIN = origin
    with pytest.raises(Invalid, match="cannot be a log's origin"):
        keys.load()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_may_read_is_refused(key_file, mode):
    keys.load()
    key_file.chmod(mode)
    with pytest.raises(LedgerError, match=f"chmod 600 {key_file}"):
        keys.load()


@pytest.mark.parametrize("content", [b"", b"no base64!", b"c2hvcnQ=", b"\xff" * 44])
def test_a_file_that_is_no_seed_is_refused(key_file, content):
    keys.load()
    key_file.write_bytes(content)
    with pytest.raises(LedgerError):
        keys.load()


def test_a_lost_key_is_never_replaced_silently(signer, key_file, at):
    sequence_once(signer, at)
    key_file.unlink()
    with pytest.raises(LedgerError, match="put the file back from a backup"):
        keys.load()
    assert not key_file.exists()


def test_another_log_s_key_is_refused(signer, key_file, at):
    sequence_once(signer, at)
    key_file.unlink()
    key_file.write_text("A" * 43 + "=\n")
    key_file.chmod(0o600)
    with pytest.raises(LedgerError, match="is not the key of this log"):
        keys.load()


def test_a_log_keeps_the_origin_that_it_was_begun_with(signer, settings, at, caplog):
    sequence_once(signer, at)
    settings.SELF_HEAL_LOG_ORIGIN = "example.com/other"
    with caplog.at_level(logging.WARNING):
        assert keys.load().verifier.name == signer.verifier.name
    assert "goes on so" in caplog.text


def test_a_key_file_without_a_log_begins_one_with_that_key(key_file, at):
    signer = keys.load()
    sequence_once(keys.load(), at)
    assert Verifier.parse(LedgerKey.objects.get().vkey) == signer.verifier
    assert LedgerEntry.objects.get().key_id == signer.verifier.key_id
