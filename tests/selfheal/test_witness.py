from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfheal.errors import LedgerError
from selfheal.signing import Signer, split_note
from selfheal.witness import Cosignature, Witness, WitnessSigner, request

SIGNER = Signer("example.com/log", bytes(range(32)))
WITNESS = WitnessSigner("witness.example.com/w1", bytes(range(1, 33)))
NOTE = SIGNER.sign_checkpoint(7, bytes(32))
TEXT = split_note(NOTE)[0]
LINE = WITNESS.cosign(TEXT, 1_679_315_147)

# The checkpoint of c2sp.org/tlog-cosignature, with its two lines; the public keys are not published.
PUBLISHED = """example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==
"""


def test_the_published_cosignature_has_the_published_shape():
    _, (_, (name, signature)) = split_note(PUBLISHED)
    assert name == "witness.example.com/w1"
    assert len(signature) == 4 + 8 + 64
    assert int.from_bytes(signature[4:12]) == 1_679_315_147


def test_a_cosigned_note_is_good_for_the_log_and_for_the_witness():
    note = NOTE + LINE
    assert SIGNER.verifier.open_checkpoint(note).size == 7
    assert WITNESS.witness.find_in(note) == Cosignature(1_679_315_147, LINE)
    assert WITNESS.witness.find_in(NOTE) is None


def test_the_key_of_a_witness_is_no_key_of_a_log_and_the_other_way_round():
    vkey = WITNESS.witness.vkey
    assert Witness.parse(vkey) == WITNESS.witness
    with pytest.raises(LedgerError, match="type 04"):
        Witness.parse(SIGNER.verifier.vkey)
    with pytest.raises(LedgerError, match="type 01"):
        type(SIGNER.verifier).parse(vkey)


def test_of_several_cosignatures_the_newest_counts():
    assert WITNESS.witness.answered(NOTE, LINE + WITNESS.cosign(TEXT, 1_700_000_000)).time == 1_700_000_000


@given(st.data())
def test_any_changed_bit_of_a_cosignature_makes_it_wrong_or_another_key_s(data):
    _, signatures = split_note(NOTE + LINE)
    name, signature = signatures[-1]
    bit = data.draw(st.integers(0, len(signature) * 8 - 1))
    changed = bytearray(signature)
    changed[bit // 8] ^= 1 << bit % 8
    if bit < 32:  # of the key hash
        assert WITNESS.witness.find(TEXT, [(name, bytes(changed))]) is None
    else:
        with pytest.raises(LedgerError, match="does not fit the tree head"):
            WITNESS.witness.find(TEXT, [(name, bytes(changed))])


def test_a_cosignature_of_another_head_is_wrong():
    with pytest.raises(LedgerError, match="does not fit"):
        WITNESS.witness.find_in(SIGNER.sign_checkpoint(8, bytes(32)) + LINE)


@pytest.mark.parametrize("body", ["", "no line", LINE.rstrip("\n"), LINE.replace("w1", "w2")])
def test_an_answer_without_a_cosignature_is_refused(body):
    with pytest.raises(LedgerError):
        WITNESS.witness.answered(NOTE, body)


def test_a_request_is_the_old_size_the_proof_and_the_note():
    body = request(3, [b"a" * 32, b"b" * 32], NOTE).decode()
    assert body.startswith("old 3\nYWFh")
    assert body.endswith(f"=\n\n{NOTE}")
    assert request(0, [], NOTE).decode() == f"old 0\n\n{NOTE}"
