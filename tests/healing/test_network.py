"""The service graph as a picture: everybody has a place, who depends stands above, and pointing shows who is hurt."""

from __future__ import annotations

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healing.network import MOST, Network, network
from selfheal.states import Health

NAMES = st.text("abcdef", min_size=1, max_size=2)
OK, BAD = Health.HEALTHY, Health.CRITICAL


def drawn(graph: dict[str, set[str]], health: dict[str, Health] | None = None) -> Network:
    health = health or dict.fromkeys(graph, OK)
    return network(graph, health, {name: f"/service/{name}" for name in health})


def places(found: Network) -> dict[str, tuple[float, float]]:
    """Where each service stands, by its words."""
    root = ElementTree.fromstring(found.svg)
    circles = {node.attrib["aria-label"].partition(":")[0]: node.findall("circle")[-1].attrib for node in root.findall("a")}
    return {name: (float(circle["cx"]), float(circle["cy"])) for name, circle in circles.items()}


def test_whoever_depends_on_others_stands_above_them() -> None:
    at = places(drawn({"shop": {"web", "db"}, "web": {"db"}, "db": set()}))
    assert at["shop"][1] < at["web"][1] < at["db"][1]


@given(st.dictionaries(NAMES, st.sets(NAMES, max_size=4), max_size=20))
def test_everybody_has_a_place_of_their_own_whatever_circles_there_are(graph: dict[str, set[str]]) -> None:
    found = drawn(graph)
    at = places(found)
    assert at.keys() == graph.keys()
    assert len(set(at.values())) == len(at)
    height = float(ElementTree.fromstring(found.svg).attrib["viewBox"].split()[3])
    assert all(0 < x < 760 and 0 < y < height for x, y in at.values())


def test_pointing_at_a_service_rings_everybody_who_depends_on_it() -> None:
    found = drawn({"shop": {"web"}, "web": {"db"}, "db": set(), "mail": set()})
    nodes = ElementTree.fromstring(found.svg).findall("a")
    rings = {node.attrib["aria-label"]: len(node.findall("circle[@class='sh-ring']")) for node in nodes}
    assert rings == {
        "db: healthy; its blast radius is 2: shop, web": 2,
        "web: healthy; its blast radius is 1: shop": 1,
        "shop: healthy; nobody needs it": 0,
        "mail: healthy; nobody needs it": 0,
    }


@pytest.mark.parametrize(
    ("health", "colour"),
    [(Health.HEALTHY, "good"), (Health.DEGRADED, "ask"), (Health.CRITICAL, "bad"), (Health.UNKNOWN, "unknown")],
)
def test_each_health_has_its_colour(health: Health, colour: str) -> None:
    assert f'class="sh-plot-{colour}"' in drawn({"db": set()}, {"db": health}).svg


def test_of_too_many_the_unwell_and_those_beside_them_are_drawn() -> None:
    graph = {f"s{n:03}": {f"s{n + 1:03}"} for n in range(200)} | {"s200": set()}
    found = drawn(graph, dict.fromkeys(graph, OK) | {"s150": BAD})
    assert len(found.nodes) == MOST
    assert found.left == 201 - MOST
    assert found.nodes[0].name == "s150"
    assert {"s149", "s150", "s151"} <= {node.name for node in found.nodes}


def test_names_are_escaped_and_long_ones_cut() -> None:
    name = '<script>"&' + "x" * 80
    svg = drawn({name: set()}).svg
    assert "<script>" not in svg
    assert ElementTree.fromstring(svg).findtext("a/text") == f"{name[:13]}…"


def test_the_same_is_drawn_the_same() -> None:
    graph = {"a": {"b", "c", "d"}, "b": {"d"}, "c": {"d"}, "d": set()}
    assert all(one == other for one, other in pairwise(re.sub(r"\s+", " ", drawn(graph).svg) for _ in range(3)))
