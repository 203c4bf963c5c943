"""Advisers are found by their entry points, and each keeps the contract."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from learning.advisers import load, names
from selfheal.advice import GROUP
from selfheal.errors import Invalid

DECLARED = tomllib.loads((Path(__file__).resolve().parents[3] / "pyproject.toml").read_text())["project"]["entry-points"][GROUP]


def test_the_advisers_that_are_installed_are_those_declared() -> None:
    assert names() == sorted(DECLARED), "make install reads pyproject.toml again"


@pytest.mark.parametrize("name", sorted(DECLARED))
def test_facts_without_what_an_adviser_needs_are_refused_with_the_name_of_the_fact(name: str) -> None:
    with pytest.raises(Invalid) as raised:
        load(name)({})
    assert raised.value.field


def test_an_adviser_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(Invalid, match="anomaly"):
        load("oracle")
