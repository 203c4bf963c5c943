"""Decisions with every rule reported, against calling the rules one after the other and keeping nothing."""

from __future__ import annotations

from selfheal.policy import RULES, decide
from tests.selfheal.test_policy import AT, CALM, QUIET

from .measure import Row, rate

COUNT = 5_000


def decisions() -> Row:
    return Row("decide() a second", rate(_ours), rate(_bare), "≥ 20,000/s")


def _ours() -> int:
    for _ in range(COUNT):
        decide(QUIET, CALM, AT)
    return COUNT


def _bare() -> int:
    for _ in range(COUNT):
        for rule in RULES.values():
            rule(QUIET, CALM, AT)
    return COUNT
