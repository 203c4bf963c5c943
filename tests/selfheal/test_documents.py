from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from selfheal.bounds import Strict
from selfheal.canonical import dumps
from selfheal.documents import read, shaped
from selfheal.errors import Invalid, InvalidDocument, TooLarge

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


class Leaf(Strict):
    port: int
    protocol: str = "tcp"


class Tree(Strict):
    name: str
    leaves: list[Leaf] = []
    by_name: dict[str, Leaf] = {}
    maybe: Leaf | None = None


def fault(text: str) -> str:
    with pytest.raises(Invalid) as caught:
        read(text, "f.yaml")
    return str(caught.value)


def faults(text: str, model: type[BaseModel] = Tree) -> list[str]:
    with pytest.raises(InvalidDocument) as caught:
        shaped(read(text, "f.yaml"), model)
    return [str(each) for each in caught.value.errors]


def test_values_keep_their_line_and_column():
    document = read("a:\n  - b: 1\n    c: [x, 'y']\n", "f.yaml")
    assert document.value == {"a": [{"b": 1, "c": ["x", "y"]}]}
    assert document.place(("a", 0, "c", 1)) == (3, 12)
    assert document.place(("a", 0, "c"), key=True) == (3, 5)


def test_what_is_not_there_stands_where_its_parent_does():
    assert read("a:\n  b: 1\n", "f").place(("a", "x", "y")) == (2, 3)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("on", "on"),
        ("true", True),
        ("FALSE", False),
        ("tRue", "tRue"),
        ("null", None),
        ("~", None),
        ("", None),
        ("'1'", "1"),
        ("-7", -7),
        ("0x10", "0x10"),
        ("010", "010"),
        ("1_000", "1_000"),
        ("2026-11-25", "2026-11-25"),
        ("12:30", "12:30"),
        ("60s", "60s"),
        ("<<", "<<"),
    ],
)
def test_a_plain_word_is_what_it_looks_like(text, value):
    assert read(f"a: {text}\n", "f").value == {"a": value}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: &x 1\nb: *x", "f.yaml:1:4: anchors and aliases are refused"),
        ("a: *x", "f.yaml:1:4: anchors and aliases are refused"),
        ("a: !!python/object/apply:os.system [id]", "f.yaml:1:4: tags are refused"),
        ("a: !secret x", "f.yaml:1:4: tags are refused"),
        ("a: 1\nb: 2\na: 3", "f.yaml:3:1: the key 'a' stands here twice, first in line 1"),
        ("1: a", "f.yaml:1:1: a key is a string"),
        ("[a]: b", "f.yaml:1:1: a key is a string"),
        ("a: 1.5", "f.yaml:1:4: fractions are written as strings here: '1.5'"),
        ("a: 1e9", "f.yaml:1:4: fractions are written as strings"),
        ("a: .nan", "f.yaml:1:4: fractions are written as strings"),
        ("a: 9007199254740993", "f.yaml:1:4: is outside"),
        ("a: " + "9" * 5000, "f.yaml:1:4: is outside"),
        ("a: 1\n---\nb: 2", "f.yaml:2:1: one file holds one document"),
        ("a: [1", "f.yaml:1:6: is no YAML"),
        ("a:\tb", "f.yaml:1:3: is no YAML"),
        ("a: \x00", "f.yaml:1:1: is no YAML"),
        ('a: "\\UFFFFFFFF"', "f.yaml:1:1: is no YAML"),
        ("[" * 40 + "]" * 40, "f.yaml:1:33: is nested deeper than 32 levels"),
    ],
)
def test_what_is_refused_is_refused_where_it_stands(text, said):
    assert fault(text).startswith(said)


def test_an_alias_bomb_fails_at_once():
    started = time.process_time()
    assert "anchors and aliases are refused" in fault(BOMB)
    assert time.process_time() - started < 5


def test_a_hundred_thousand_brackets_fail_at_once():
    started = time.process_time()
    assert "deeper than 32" in fault("[" * 100_000)
    assert time.process_time() - started < 5


def test_more_than_256_kib_are_not_read():
    with pytest.raises(TooLarge, match="256 KiB"):
        read("x" * 262_145, "f.yaml")


def test_32_levels_are_allowed():
    assert read("[" * 32 + "]" * 32, "f").value


def test_every_fault_is_told_in_the_order_of_the_file():
    text = "nmae: x\nleaves:\n  - port: '80'\n  - {port: 1, protokol: udp}\nby_name:\n  a: {protocol: 5}\n"
    assert faults(text) == [
        "f.yaml:1:1: 'name' is missing",
        "f.yaml:1:1: unknown key 'nmae'; did you mean 'name'?",
        "f.yaml:3:11: port: expected a whole number, got '80'",
        "f.yaml:4:15: unknown key 'protokol'; did you mean 'protocol'?",
        "f.yaml:6:6: 'port' is missing",
        "f.yaml:6:17: protocol: expected a string, got 5",
    ]


def test_an_unknown_key_with_no_near_one_names_all():
    assert faults("name: x\nmaybe: {port: 1, zzz: 1}\n") == ["f.yaml:2:18: unknown key 'zzz'; known here: port, protocol"]


@pytest.mark.parametrize("text", ["", "5", "[a]", "text"])
def test_a_document_that_is_no_mapping_says_so(text):
    assert "expected a mapping" in faults(text)[0]


def value_or_fault(text: str) -> str:
    """The fault of a text, or nothing if it has a value that can be digested."""
    try:
        dumps(read(text, "f.yaml").value)
    except Invalid as error:
        return str(error)
    return ""


@given(st.text())
def test_arbitrary_text_is_a_value_or_invalid(text):
    assert re.match(r"f\.yaml:[1-9]\d*:[1-9]\d*: .|$", value_or_fault(text))


@given(st.text(alphabet="ab01:-[]{},&*!|>'\"#%@`?\n \t~<."))
def test_text_made_of_yaml_signs_is_a_value_or_invalid(text):
    assert re.match(r"f\.yaml:[1-9]\d*:[1-9]\d*: .|$", value_or_fault(text))
