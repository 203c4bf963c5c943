"""The root of what a target suffers, in small worlds whose faults are known."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfheal.errors import Invalid
from selfheal.graph import Graph, needs
from selfheal.rootcause import Metrics, Target, rank
from tests.selfheal.rootcause.worlds import (
    BEGAN,
    CHAIN,
    CYCLE,
    DIAMOND,
    STEP,
    availability,
    incident,
    latency,
    metrics,
    normal,
    ranking,
    without,
)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Graph, str]:
    """A graph without cycles in which `a` reaches everything, and one of its nodes."""
    names = "abcdefg"[: draw(st.integers(2, 7))]
    graph: dict[str, list[str]] = {name: [] for name in names}
    for index, name in enumerate(names[1:], 1):
        for caller in draw(st.sets(st.sampled_from(names[:index]), min_size=1, max_size=2)):
            graph[caller].append(name)
    return graph, draw(st.sampled_from(names))


@pytest.mark.parametrize("root", ["a", "b", "c"])
def test_each_node_of_a_chain_is_found_when_it_is_the_slow_one(root: str) -> None:
    assert ranking(CHAIN, {root: 1.0})[0].node == root


@pytest.mark.parametrize("root", ["a", "b", "c", "d"])
def test_each_node_of_a_diamond_is_found_when_it_is_the_slow_one(root: str) -> None:
    assert ranking(DIAMOND, {root: 1.0})[0].node == root


@pytest.mark.parametrize("root", ["a", "b", "c", "d"])
def test_each_node_of_a_diamond_is_found_when_its_calls_fail(root: str) -> None:
    found = rank(DIAMOND, normal(DIAMOND), incident(DIAMOND, failing={root: 0.2}), availability())
    assert found[0].node == root


def test_in_a_cycle_the_two_that_call_each_other_come_before_the_target() -> None:
    assert {each.node for each in ranking(CYCLE, {"c": 1.0})[:2]} == {"b", "c"}


@settings(max_examples=60, deadline=None)
@given(worlds())
def test_the_slow_node_of_any_graph_is_the_first(world: tuple[Graph, str]) -> None:
    graph, root = world
    assert ranking(graph, {root: 1.0})[0].node == root


@settings(max_examples=30, deadline=None)
@given(worlds(), st.sets(st.sampled_from("abcdefg")))
def test_what_the_target_suffers_is_shared_out_in_full(world: tuple[Graph, str], slow: set[str]) -> None:
    found = ranking(world[0], dict.fromkeys(slow, 0.5))
    assert math.isclose(sum(each.score for each in found), 1, abs_tol=1e-4)


ODD = st.sampled_from([0.0, -1.0, 1.0, 1e-320, 1e300, -1e300, math.nan])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(ODD, ODD, ODD), min_size=2, max_size=4), st.sampled_from(["latency", "availability", "depth"]))
def test_whatever_is_measured_the_scores_are_numbers_that_add_up(rows: list[tuple[float, ...]], metric: str) -> None:
    times = [BEGAN + STEP * index for index in range(len(rows))]
    columns = {(node, metric, "Average"): list(values) for node, values in zip("abc", zip(*rows, strict=True), strict=True)}
    requests = {(node, "requests", "Sum"): list(rows[0][:1]) * len(rows) for node in "ab"}
    measured = Metrics(times, columns | requests)
    found = rank(CHAIN, measured, measured, Target("a", metric, "Average", BEGAN + STEP))
    assert math.isclose(sum(each.score for each in found), 1, abs_tol=1e-4)


@settings(max_examples=30, deadline=None)
@given(worlds())
def test_the_target_and_all_that_it_needs_are_ranked_once(world: tuple[Graph, str]) -> None:
    found = [each.node for each in ranking(world[0], {world[1]: 1.0})]
    assert sorted(found) == sorted({"a"} | needs(world[0], "a"))


@settings(max_examples=30, deadline=None)
@given(worlds(), st.permutations("abcdefg"))
def test_names_of_nodes_mean_nothing(world: tuple[Graph, str], names: list[str]) -> None:
    graph, root = world
    new = dict(zip("abcdefg", [f"n{name}" for name in names], strict=True))
    renamed = {new[node]: [new[each] for each in below] for node, below in graph.items()}

    def under(found: Metrics) -> Metrics:
        return replace(found, columns={(new[node], *rest): values for (node, *rest), values in found.columns.items()})

    was = {new[each.node]: each.score for each in ranking(graph, {root: 1.0})}
    found = rank(renamed, under(normal(graph)), under(incident(graph, {root: 1.0})), replace(latency(), node=new["a"]))
    assert {each.node: each.score for each in found} == pytest.approx(was, abs=1e-5)


def test_the_unit_of_the_metric_means_nothing() -> None:
    def in_ms(found: Metrics) -> Metrics:
        return replace(
            found,
            columns={
                key: [1000 * each if key[1] == "latency" else each for each in values] for key, values in found.columns.items()
            },
        )

    found = rank(DIAMOND, in_ms(normal(DIAMOND)), in_ms(incident(DIAMOND, {"d": 1.0})), latency())
    assert [each.score for each in found] == pytest.approx([each.score for each in ranking(DIAMOND, {"d": 1.0})], abs=1e-5)


def test_availability_may_be_a_share_as_well_as_percent() -> None:
    def share(found: Metrics) -> Metrics:
        return replace(
            found,
            columns={
                key: [each / 100 if key[1] == "availability" else each for each in values]
                for key, values in found.columns.items()
            },
        )

    found = rank(CHAIN, share(normal(CHAIN)), share(incident(CHAIN, failing={"b": 0.1})), availability())
    same = rank(CHAIN, normal(CHAIN), incident(CHAIN, failing={"b": 0.1}), availability())
    assert [each.score for each in found] == pytest.approx([each.score for each in same], abs=1e-5)


def test_of_two_faults_the_one_that_costs_the_target_more_is_first() -> None:
    found = ranking({"a": ["b", "c"], "b": [], "c": []}, {"b": 0.3, "c": 0.9})
    assert [each.node for each in found[:2]] == ["c", "b"]


def test_a_node_that_is_not_measured_is_looked_through() -> None:
    assert ranking(CHAIN, {"c": 1.0}, hidden=["b"])[0].node == "c"


def test_when_the_root_is_not_measured_its_caller_is_named() -> None:
    assert ranking(CHAIN, {"c": 1.0}, hidden=["c"])[0].node == "b"


def test_a_root_that_falls_silent_comes_after_its_caller() -> None:
    def cut(found: Metrics) -> Metrics:
        gone = [
            value if at < BEGAN else math.nan
            for at, value in zip(found.times, found.columns["c", "latency", "Average"], strict=True)
        ]
        return replace(found, columns={**found.columns, ("c", "latency", "Average"): gone})

    found = rank(CHAIN, normal(CHAIN), cut(incident(CHAIN, {"b": 1.0})), latency())
    assert (found[1].node, found[1].reasons[0]) == ("c", "its latency was measured before, and is not since")


def test_a_dependency_that_fails_is_suspect_when_the_target_is_slow() -> None:
    found = rank(CHAIN, normal(CHAIN), incident(CHAIN, slow={"b": 1.0}, failing={"c": 0.5}), latency())
    assert [each.node for each in found[:2]] == ["b", "c"]


def test_what_has_always_been_out_of_order_explains_nothing() -> None:
    graph = {"a": ["b", "c"], "b": [], "c": []}
    found = metrics(graph, 5, BEGAN - 2 * STEP, {"b": 1.0})
    drifted = replace(found, columns={**found.columns, ("c", "latency", "Average"): [5.0] * 5})
    assert next(each for each in rank(graph, normal(graph), drifted, latency()) if each.node == "c").score == 0


def test_the_root_is_found_without_the_normal_days() -> None:
    assert rank(CHAIN, without(normal(CHAIN), *CHAIN), incident(CHAIN, {"c": 1.0}), latency())[0].node == "c"


def test_the_root_is_found_in_a_file_that_begins_with_the_incident() -> None:
    assert rank(CHAIN, normal(CHAIN), metrics(CHAIN, 3, BEGAN, {"b": 1.0}), latency())[0].node == "b"


def test_the_root_is_found_in_a_single_row() -> None:
    assert rank(CHAIN, normal(CHAIN), metrics(CHAIN, 1, BEGAN, {"b": 1.0}), latency(BEGAN + 60))[0].node == "b"


def test_the_root_is_found_without_the_requests() -> None:
    found = rank(CHAIN, normal(CHAIN), without(incident(CHAIN, {"b": 1.0}), *CHAIN, metric="requests"), latency())
    assert found[0].node == "b"


def test_a_percentile_of_the_target_is_followed_by_means_as_they_add_up() -> None:
    def with_p99(found: Metrics) -> Metrics:
        flat = {(node, "latency", "p99"): [5.0 if node == "a" and at >= BEGAN else 1.0 for at in found.times] for node in CHAIN}
        return replace(found, columns={**found.columns, **flat})

    target = replace(latency(), agg="p99")
    assert rank(CHAIN, with_p99(normal(CHAIN)), with_p99(incident(CHAIN, {"c": 1.0})), target)[0].node == "c"


def test_a_node_whose_requests_are_not_measured_is_taken_for_one_like_the_others() -> None:
    found = rank(CHAIN, normal(CHAIN), without(incident(CHAIN, {"c": 1.0}), "c", metric="requests"), latency())
    assert found[0].node == "c"


def test_a_healthy_target_has_nothing_that_explains_it() -> None:
    found = rank(CHAIN, normal(CHAIN), incident(CHAIN), latency())
    assert all("usual" in each.reasons[0] for each in found)


def test_a_metric_whose_name_says_nothing_is_bad_where_the_target_went() -> None:
    def free(found: Metrics, low: bool) -> Metrics:
        columns = {(node, "memory_free", "Average"): [80.0, 79.0, 81.0, 80.0, 80.0] for node in CHAIN}
        if low:
            columns |= {(node, "memory_free", "Average"): [80.0, 80.0, 10.0, 10.0, 10.0] for node in "ab"}
        return Metrics(found.times[:5], columns)

    found = rank(CHAIN, free(normal(CHAIN), False), free(incident(CHAIN), True), Target("a", "memory_free", "Average", BEGAN))
    assert found[0].node == "b"


def test_the_reasons_say_how_far_out_of_order_and_by_which_way() -> None:
    first = ranking(CHAIN, {"c": 1.0})[0]
    assert re.fullmatch(r"its latency is 1\.\d+, usually 0\.1\d*: \d+ times its usual spread", first.reasons[0])
    assert first.reasons[1].endswith("by a → b → c")


def test_more_requests_than_ever_are_named_as_perhaps_load() -> None:
    found = rank(CHAIN, normal(CHAIN), metrics(CHAIN, 5, BEGAN - 2 * STEP, {"c": 1.0}, requests=300), latency())
    assert "3.0 times the most requests" in found[0].reasons[-1]


@pytest.mark.parametrize(
    ("target", "field"),
    [
        (Target("z", "latency", "Average", BEGAN), "target.node"),
        (Target("a", "colour", "Average", BEGAN), "target.metric"),
        (Target("a", "latency", "p42", BEGAN), "target.agg"),
        (Target("a", "latency", "Average", BEGAN + 86400), "target.timestamp"),
        (Target("a", "latency", "Average", BEGAN - 86400), "target.timestamp"),
    ],
)
def test_a_target_that_is_not_there_is_refused_by_its_field(target: Target, field: str) -> None:
    with pytest.raises(Invalid) as raised:
        rank(CHAIN, normal(CHAIN), incident(CHAIN), target)
    assert raised.value.field == field
