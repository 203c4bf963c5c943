"""What the explanations say is shown by a test is shown by one that exists, and their figures are those of the code."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from selfheal.graph import UNKNOWN_BLAST_RADIUS
from selfheal.guardrails import FAILURES
from selfheal.trust import HELD_NEEDED
from tests.docs.pages import DOCS, ROOT

PAGE = (DOCS / "explanation/threat-model.md").read_text()
NAMED = sorted(set(re.findall(r"`([\w/]+\.py)::(test_\w+)`", PAGE)))
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith(("| threat", "| what happened"))]


@cache
def functions_of(file: str) -> set[str]:
    path = ROOT / "tests" / file
    if not path.exists():
        return set()
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize(("file", "name"), NAMED, ids=[name for _, name in NAMED])
def test_what_answers_a_threat_is_shown_by_a_test_that_exists(file: str, name: str) -> None:
    assert name in functions_of(file)


def test_every_threat_has_a_test() -> None:
    assert len(ROWS) > 45
    assert [row for row in ROWS if "::test_" not in row] == []


def test_every_kind_of_threat_of_the_acronym_has_its_part() -> None:
    assert len(re.findall(r"^## ", PAGE, re.MULTILINE)) == 8  # the six of STRIDE, the keys, what happened to others


def test_a_row_has_three_cells() -> None:
    assert {row.count(" | ") for row in ROWS} == {2}


def test_the_figures_of_governance_are_those_of_the_rules() -> None:
    text = " ".join((DOCS / "explanation/governance.md").read_text().split())
    words = {3: "three", 5: "five"}
    assert f"counts as {words[UNKNOWN_BLAST_RADIUS]}" in text
    assert f"asks until {words[HELD_NEEDED]} runs in a row have *held*" in text
    assert f"The same playbook failing {words[FAILURES]} times within an hour" in text
