from __future__ import annotations

import base64
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfheal.errors import Invalid, LedgerError
from selfheal.merkle import EMPTY_ROOT, leaf_hash
from selfheal.signing import Checkpoint, Signer, Verifier, entry_message

# The example of the signed-note format, with its published key.
SEED = base64.b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]
VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
LINE = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
NOTE = f"{TEXT}\n{LINE}"


@pytest.fixture
def signer() -> Signer:
    return Signer("example.com/log", bytes(range(32)))


def test_the_published_note_comes_out_byte_for_byte():
    signer = Signer("PeterNeumann", SEED)
    assert signer.verifier.vkey == VKEY
    assert signer.sign_note(TEXT) == NOTE
    assert Verifier.parse(VKEY).open_note(NOTE) == TEXT


def test_lines_of_other_keys_are_left_alone(signer):
    both = NOTE + signer.sign_note(TEXT).removeprefix(f"{TEXT}\n")
    assert Verifier.parse(VKEY).open_note(both) == TEXT
    assert signer.verifier.open_note(both) == TEXT


@pytest.mark.parametrize(
    "note",
    [
        "",
        TEXT,
        f"{TEXT}\n",
        NOTE.rstrip("\n"),
        NOTE.replace("answer", "anwser"),
        NOTE.replace("— ", "- "),
        NOTE.replace("PeterNeumann", "NeterPeumann"),
        NOTE.replace("x08go", "y08go"),
        NOTE.replace("JnAM=", "JnAN="),
        NOTE.replace("JnAM=", "JnAM"),
        NOTE.replace("your problem,", "your\tproblem,"),
        NOTE.replace(LINE, "— PeterNeumann x08g\n"),
        NOTE + LINE.replace("JnAM=", "JnAA="),
    ],
)
def test_any_other_note_is_refused(note):
    with pytest.raises(LedgerError):
        Verifier.parse(VKEY).open_note(note)


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        "name",
        VKEY.replace("c74f20a3", "c74f20a4"),
        VKEY.replace("Peter", "Pater"),
        VKEY[:-4],
        VKEY.replace("+ARpc", "+BRpc"),
        VKEY + "!",
    ],
)
def test_a_text_that_is_no_vkey_is_refused(vkey):
    with pytest.raises(LedgerError):
        Verifier.parse(vkey)


def test_a_checkpoint_is_origin_size_and_root(signer):
    note = signer.sign_checkpoint(0, EMPTY_ROOT)
    assert note.startswith("example.com/log\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n— example.com/log ")
    assert signer.verifier.open_checkpoint(note) == Checkpoint("example.com/log", 0, EMPTY_ROOT)


@pytest.mark.parametrize(
    "body",
    [
        "a\n",
        "a\n1\n",
        "a\n01\nAAAA\n",
        "a\n-1\nAAAA\n",
        "a\n1\nAAAA\n",
        "a\n1\n????\n",
        "\n1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",
    ],
)
def test_a_text_that_is_no_checkpoint_is_refused(body):
    with pytest.raises(LedgerError):
        Checkpoint.parse(body)


def test_extension_lines_are_allowed():
    assert Checkpoint.parse(Checkpoint("a", 1, EMPTY_ROOT).body() + "more\n").size == 1


def test_a_checkpoint_of_another_log_is_refused(signer):
    note = signer.sign_note(Checkpoint("example.com/other", 0, EMPTY_ROOT).body())
    with pytest.raises(LedgerError, match="other"):
        signer.verifier.open_checkpoint(note)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u00a0b", "a\x00b", "x" * 201])
def test_a_name_that_no_note_can_carry_is_refused(name):
    with pytest.raises(Invalid):
        Signer(name, SEED)


def test_a_seed_of_another_length_is_refused():
    with pytest.raises(LedgerError, match="32 bytes"):
        Signer("a", b"short")


def test_an_entry_signature_covers_origin_index_and_leaf_hash(signer):
    digest = leaf_hash(b"leaf")
    assert entry_message("example.com/log", 7, b"\x00") == b"selfheal/entry/v1\nexample.com/log\n7\nAA==\n"
    signature = signer.sign_entry(7, digest)
    assert signer.verifier.verify_entry(7, digest, signature)
    assert not signer.verifier.verify_entry(8, digest, signature)
    assert not signer.verifier.verify_entry(7, leaf_hash(b"other"), signature)
    assert not Verifier("example.com/other", signer.verifier.public).verify_entry(7, digest, signature)


@given(st.integers(0, 64 * 8 - 1))
def test_a_signature_with_any_bit_changed_is_no_signature(bit):
    signer = Signer("example.com/log", bytes(range(32)))
    signature = bytearray(signer.sign_entry(0, EMPTY_ROOT))
    signature[bit // 8] ^= 1 << bit % 8
    assert not signer.verifier.verify_entry(0, EMPTY_ROOT, bytes(signature))


@pytest.mark.parametrize("signature", [b"", b"short", b"\0" * 64, b"\xff" * 65])
def test_bytes_that_are_no_signature_do_not_verify(signer, signature):
    assert not signer.verifier.verify_entry(0, EMPTY_ROOT, signature)


def test_a_public_key_travels_to_other_processes_and_a_seed_is_not_shown(signer):
    assert pickle.loads(pickle.dumps(signer.verifier)) == signer.verifier
    assert bytes(range(32)).hex() not in repr(signer)
