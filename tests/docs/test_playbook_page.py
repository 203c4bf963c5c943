"""The example in docs/reference/playbooks.md is a playbook, and its tests hold."""

from __future__ import annotations

import re
from pathlib import Path

from healing.actions import ACTIONS
from healing.checks import CHECKS
from selfheal.playbooks import Vocabulary, parse, rehearse

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "playbooks.md"


def test_the_tests_of_the_example_hold() -> None:
    playbook, *others = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    tests = next(block for block in others if block.startswith("tests:"))
    vocabulary = Vocabulary(ACTIONS, CHECKS, {}, {})
    results = rehearse(parse(playbook + tests, PAGE.name, vocabulary), vocabulary)
    assert len(results) == 2
    assert [result.mismatches for result in results if not result.passed] == []
