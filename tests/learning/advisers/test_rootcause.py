"""The root-cause adviser, on the issues of a real application (PetShop)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from learning.advisers import load
from selfheal.errors import Invalid
from tests.advisers import petshop

FACTS: dict[str, Any] = {
    "graph": {"shop": ["search", "pay"], "search": [], "pay": []},
    "normal": {
        "times": [60 * index for index in range(1, 21)],
        "columns": [
            {"node": node, "metric": "latency", "agg": "p90", "values": [0.1, 0.11] * 10} for node in ("shop", "search", "pay")
        ],
    },
    "incident": {
        "times": [6000, 6060, 6120],
        "columns": [
            {"node": "shop", "metric": "latency", "agg": "p90", "values": [0.1, 0.9, 1.1]},
            {"node": "search", "metric": "latency", "agg": "p90", "values": [0.1, 0.1, None]},
            {"node": "pay", "metric": "latency", "agg": "p90", "values": [0.11, 0.8, 1.0]},
        ],
    },
    "target": {"node": "shop", "metric": "latency", "agg": "p90", "timestamp": 6060},
}


def test_the_reasons_begin_with_the_node_that_is_probably_the_root() -> None:
    assert load("rootcause")(FACTS).why[0].startswith("the root is probably pay, ")


def test_the_facts_may_come_as_json() -> None:
    assert load("rootcause")(json.loads(json.dumps(FACTS))) == load("rootcause")(FACTS)


@pytest.mark.parametrize("name", sorted(FACTS))
def test_a_fact_that_is_missing_is_named(name: str) -> None:
    with pytest.raises(Invalid) as raised:
        load("rootcause")({key: value for key, value in FACTS.items() if key != name})
    assert raised.value.field == name


@pytest.fixture(scope="module", params=petshop.TRAFFIC)
def found(request: pytest.FixtureRequest) -> list[petshop.Judged]:
    if not petshop.FOLDER.exists():
        pytest.skip("needs ../shared/data/petshop")
    return petshop.judged(request.param)


def test_the_true_root_is_the_first_in_most_issues(found: list[petshop.Judged]) -> None:
    assert petshop.share(found, within=1) >= petshop.FIRST


def test_the_true_root_is_among_the_first_three_in_nearly_all_issues(found: list[petshop.Judged]) -> None:
    assert petshop.share(found, within=3) >= petshop.THREE
