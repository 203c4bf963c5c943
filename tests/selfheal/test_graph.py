from __future__ import annotations

from selfheal.graph import blast_radius, chain, dependents

GRAPH = {"web": {"api"}, "api": {"db", "cache"}, "db": set(), "cache": set(), "batch": {"db"}, "wiki": set()}


def test_dependents_are_transitive() -> None:
    assert dependents(GRAPH, "db") == {"api", "web", "batch"}


def test_nobody_depends_on_a_leaf() -> None:
    assert blast_radius(GRAPH, "web") == 0


def test_an_unknown_service_counts_as_five() -> None:
    assert blast_radius(GRAPH, "nobody") == 5


def test_a_chain_goes_both_ways_but_not_sideways() -> None:
    assert chain(GRAPH, "api") == {"api", "db", "cache", "web"}


def test_a_cycle_ends() -> None:
    assert blast_radius({"a": {"b"}, "b": {"a"}}, "a") == 1
