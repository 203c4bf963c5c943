from __future__ import annotations

import json
from pathlib import Path

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from selfheal import leaves
from selfheal.canonical import MAX_INTEGER, digest, dumps
from selfheal.errors import Invalid

VECTORS = Path(__file__).resolve().parents[3] / "shared" / "data" / "vectors" / "jcs"
LEAF = {
    "actor": "a",
    "action": "b",
    "resource": "c",
    "subsystem": "d",
    "result": "ok",
    "payload": {},
    "at": "2026-11-25T12:00:00.000000Z",
}

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


def has_float(value) -> bool:
    if isinstance(value, dict):
        return any(map(has_float, value.values()))
    return isinstance(value, float) or (isinstance(value, list) and any(map(has_float, value)))


def test_the_vectors_of_rfc_8785_come_out_byte_for_byte():
    if not VECTORS.exists():
        pytest.skip(f"{VECTORS} is not here")
    seen = 0
    for path in sorted((VECTORS / "input").iterdir()):
        value = json.loads(path.read_text())
        if has_float(value):
            with pytest.raises(Invalid, match="decimal string"):
                dumps(value)
            continue
        assert dumps(value) == (VECTORS / "output" / path.name).read_bytes().strip(), path.name
        seen += 1
    assert seen >= 4


def test_keys_are_sorted_by_utf_16_units_and_not_by_code_points():
    assert dumps({"\ufb33": 1, "\U0001f600": 2}) == '{"😀":2,"\ufb33":1}'.encode()


@given(VALUES)
def test_the_short_way_writes_what_the_reference_writes(value):
    assert dumps(value) == rfc8785.dumps(value)


@given(VALUES)
def test_what_is_written_reads_back_and_is_written_the_same(value):
    assert dumps(json.loads(dumps(value))) == dumps(value)


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ({"a": [1, {"b": 0.5}]}, "a.1.b"),
        ({"a": MAX_INTEGER + 1}, "a"),
        ([-MAX_INTEGER - 1], "0"),
        ({"a": {1: 2}}, "a"),
        ("\udfff", ""),
    ],
)
def test_what_cannot_stand_in_it_is_named_by_its_path(value, field):
    with pytest.raises(Invalid) as raised:
        dumps(value)
    assert raised.value.field == field


def test_a_digest_is_the_sha_256_of_the_canonical_form():
    assert (
        digest({"b": 1, "a": "x"})
        == digest({"a": "x", "b": 1})
        == "cdab067e9f3beb32d1252cfd63e492592fecbf591b0d08cadb24bb17f3864246"
    )


@given(VALUES)
def test_a_leaf_with_any_payload_is_read_back(value):
    leaf = dumps(LEAF | {"payload": {"value": value}})
    assert leaves.read(leaf)["payload"] == {"value": value}


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1}',
        "[1]",
        '"x"',
        "",
        "\ufeff{}",
        json.dumps(LEAF),  # spaces
        json.dumps(LEAF, separators=(",", ":")),  # order of keys
        dumps(LEAF).decode() + "\n",
        dumps(LEAF).decode().replace('"b"', '"\\u0062"'),
        dumps(LEAF).decode().replace('"payload":{}', '"payload":{"x":1.0}'),
        dumps(LEAF).decode().replace('"payload":{}', '"payload":{"x":-0}'),
        dumps(LEAF).decode().replace('"payload":{}', '"payload":{"x":1,"x":1}'),
        dumps(LEAF).decode().replace('"payload":{}', '"payload":{"x":NaN}'),
        dumps(LEAF).decode().replace('"payload":{}', '"payload":{"x":9007199254740992}'),
        dumps(LEAF).decode().replace('"payload":{}', '"payload":{"x":"\\ud800"}'),
        dumps(LEAF).decode().replace('"payload":{}', '"payload":[]'),
        dumps(LEAF).decode().replace('"payload":{}', '"payload":' + "[" * 100_000 + "]" * 100_000),
        dumps(LEAF | {"actor": None}).decode(),
        dumps(LEAF | {"more": 1}).decode(),
    ],
)
def test_bytes_that_are_no_canonical_leaf_are_refused(text):
    with pytest.raises(Invalid):
        leaves.read(text.encode())


@given(VALUES, st.data())
def test_what_is_read_quickly_is_what_the_strict_way_reads(value, data):
    leaf = bytearray(dumps(LEAF | {"payload": {"value": value}}))
    if data.draw(st.booleans()):
        leaf[data.draw(st.integers(0, len(leaf) - 1))] = data.draw(st.sampled_from(b'0123456789-.eE{}[],:"\\ unt\x00\xf0\xff'))
    quick = leaves._quickly(bytes(leaf))
    assert quick is None or quick == leaves._strictly(bytes(leaf))


def test_a_usual_leaf_is_read_quickly():
    assert leaves._quickly(dumps(LEAF | {"payload": {"→": [1, None, True, "\x7f\u2028"]}})) is not None


def test_keys_that_are_sorted_by_code_points_are_refused():
    leaf = dumps(LEAF | {"payload": {"\ufb33": 1, "\U0001f600": 2}}).decode()
    other = leaf.replace('"😀":2,"\ufb33":1', '"\ufb33":1,"😀":2')
    assert other != leaf
    assert leaves.read(leaf.encode())
    with pytest.raises(Invalid):
        leaves.read(other.encode())


def test_bytes_that_are_no_utf_8_are_refused():
    with pytest.raises(Invalid):
        leaves.read(dumps(LEAF)[:-1] + b"\xff}")


@pytest.mark.parametrize("at", ["", "noon", "2026-11-25T12:00:00", "2026-13-25T12:00:00Z"])
def test_an_instant_needs_an_offset(at):
    with pytest.raises(Invalid) as raised:
        leaves.columns(LEAF | {"at": at})
    assert raised.value.field == "at"
