"""Commands and queries that a playbook names, held against commands.yaml and queries.yaml."""

from __future__ import annotations

from dataclasses import replace

import pytest

from selfheal.errors import InvalidDocument
from selfheal.playbooks import parse
from selfheal.queries import Query

from .conftest import Fake, named
from .texts import with_step

FREE = Query.model_validate({"promql": "free{host=${args.host}}", "args": {"host": {"type": "string", "pattern": "[a-z]+"}}})


@pytest.fixture
def known(vocabulary):
    checks = {**vocabulary.checks, **named(Fake("metrics_threshold"), Fake("metrics_trend"), Fake("command"))}
    return replace(vocabulary, checks=checks, queries={"free": FREE})


def verify(check: str) -> str:
    return with_step("{id: a, action: wait}") + f"verify:\n  - {check}\n"


def test_what_is_listed_is_read(known):
    check = '{check: metrics_threshold, query: free, args: {host: "${target.name}"}, gte: 5}'
    assert parse(verify(check), "p.yaml", known).verify[0].arguments["query"] == "free"


@pytest.mark.parametrize(
    ("check", "said"),
    [
        ("{check: metrics_threshold, query: fre, args: {}}", "p.yaml:9:39: query 'fre' is not in queries.yaml"),
        ("{check: metrics_trend, query: free, args: {hots: x}}", "p.yaml:9:48: unknown key 'hots'; did you mean 'host'?"),
        ("{check: metrics_trend, query: free}", "argument 'host' of query 'free' is missing"),
        ("{check: command, command: nope}", "command 'nope' is not in commands.yaml"),
        ("{check: command, command: rotate, args: {n: 1, m: 2}}", "unknown key 'm'"),
    ],
)
def test_what_is_not_is_told_where_it_stands(known, check, said):
    with pytest.raises(InvalidDocument) as caught:
        parse(verify(check), "p.yaml", known)
    assert any(said in str(fault) for fault in caught.value.errors), caught.value.errors


def test_where_the_queries_are_not_known_none_is_judged(known):
    assert parse(verify("{check: metrics_trend, query: fre}"), "p.yaml", replace(known, queries=None))
