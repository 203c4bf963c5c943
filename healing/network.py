"""The service graph as inline SVG: who depends on whom, from the top down, coloured by health.

Rules that this module keeps:
1. Whoever depends on others stands above them; a circle of dependencies is broken where it closes.
2. Pointing at a service shows its blast radius: rings around all that depend on it, directly or not. The stylesheet does it.
3. More than `MOST` services are not drawn: the unwell ones and those beside them are, and it says how many are not.
4. Nothing here asks a database or a clock. Every text is escaped, and a table with the same stands beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from selfheal.graph import Graph, dependents_of
from selfheal.states import Health

MOST = 60
WIDE, COLUMNS = 760.0, 8  # of a row
ROW, TOP, RADIUS = 74.0, 26.0, 11.0
LETTERS = 14  # of a name, under its circle
COLOURS = {Health.HEALTHY: "good", Health.DEGRADED: "ask", Health.CRITICAL: "bad", Health.UNKNOWN: "unknown"}
RANKS = (Health.CRITICAL, Health.DEGRADED, Health.UNKNOWN, Health.HEALTHY)

Place = tuple[float, float]


@dataclass(frozen=True)
class Node:
    """A service: its health, what it depends on, and who depends on it, directly or not."""

    name: str
    health: Health
    needs: tuple[str, ...]
    dependents: tuple[str, ...]

    @property
    def said(self) -> str:
        """`db: critical; its blast radius is 2: shop, web`"""
        radius = (
            f"its blast radius is {len(self.dependents)}: {_short(self.dependents)}" if self.dependents else "nobody needs it"
        )
        return f"{self.name}: {self.health}; {radius}"


@dataclass(frozen=True)
class Network:
    svg: SafeString
    nodes: tuple[Node, ...]  # those that are drawn, the unwell ones first
    left: int  # that are not drawn


def network(graph: Graph, health: Mapping[str, Health], addresses: Mapping[str, str]) -> Network:
    """`graph`: service → what it depends on; `addresses`: where a click on a service leads."""
    shown = _chosen(graph, health)
    inside = {name: sorted(set(graph.get(name, ())) & shown) for name in sorted(shown)}
    hurt = dependents_of(graph, shown)
    nodes = [Node(name, health[name], tuple(needs), tuple(sorted(hurt[name]))) for name, needs in inside.items()]
    nodes.sort(key=lambda node: (RANKS.index(node.health), -len(node.dependents), node.name))
    return Network(_drawn(nodes, inside, addresses), tuple(nodes), len(health) - len(shown))


def _chosen(graph: Graph, health: Mapping[str, Health]) -> set[str]:
    """All, if they are few; else the unwell ones, those beside them, and as many others as there is room for."""
    if len(health) <= MOST:
        return set(health)
    unwell = [name for name in sorted(health, key=lambda name: (RANKS.index(health[name]), name)) if health[name] in RANKS[:2]]
    beside = [need for name in unwell for need in sorted(graph.get(name, ()))]
    bad = set(unwell)
    beside += [name for name, needs in sorted(graph.items()) if bad & set(needs)]
    ordered = dict.fromkeys([*unwell, *beside, *sorted(health)])
    return {name for name in list(ordered)[:MOST] if name in health}


def _drawn(nodes: Iterable[Node], needs: Mapping[str, list[str]], addresses: Mapping[str, str]) -> SafeString:
    places, height = _placed(needs)
    edges = format_html_join(
        "", '<path class="sh-edge" d="{}"/>', ((_edge(places[a], places[b]),) for a in needs for b in needs[a])
    )
    circles = format_html_join("", "{}", ((_node(node, places, addresses),) for node in nodes))
    return format_html(
        '<svg class="sh-plot sh-network" viewBox="0 0 {} {}" role="group" aria-label="Services and what they need">{}{}</svg>',
        _n(WIDE), _n(height), edges, circles,
    )  # fmt: skip


def _node(node: Node, places: Mapping[str, Place], addresses: Mapping[str, str]) -> SafeString:
    x, y = places[node.name]
    name = node.name if len(node.name) <= LETTERS else f"{node.name[: LETTERS - 1]}…"
    rings = format_html_join(
        "", '<circle class="sh-ring" cx="{}" cy="{}" r="{}"/>',
        ((_n(places[other][0]), _n(places[other][1]), _n(RADIUS + 5)) for other in node.dependents if other in places),
    )  # fmt: skip
    return format_html(
        '<a class="sh-node" href="{}" aria-label="{}"><title>{}</title>{}'
        '<circle class="sh-plot-{}" cx="{}" cy="{}" r="{}"/><text x="{}" y="{}" text-anchor="middle">{}</text></a>',
        addresses[node.name], node.said, node.said, rings, COLOURS[node.health], _n(x), _n(y), _n(RADIUS), _n(x),
        _n(y + RADIUS + 13), name,
    )  # fmt: skip


def _placed(needs: Mapping[str, list[str]]) -> tuple[dict[str, Place], float]:
    """Where each stands, and how high the whole is."""
    depth = _depths(needs)
    places: dict[str, Place] = {}
    y = TOP
    for level in range(max(depth.values(), default=0) + 1):
        names = _below_theirs([name for name, each in depth.items() if each == level], needs, places)
        for start in range(0, len(names), COLUMNS):
            row = names[start : start + COLUMNS]
            places |= {name: (WIDE * (column + 0.5) / len(row), y) for column, name in enumerate(row)}
            y += ROW
    return places, max(y, TOP + ROW) - RADIUS


def _below_theirs(names: Iterable[str], needs: Mapping[str, list[str]], places: Mapping[str, Place]) -> list[str]:
    """The names of a row, each near to below those that depend on it, so that fewer lines cross."""

    def middle(name: str) -> float:
        above = [places[other][0] for other in places if name in needs[other]]
        return sum(above) / len(above) if above else 0.0

    return sorted(names, key=lambda name: (middle(name), name))


def _depths(needs: Mapping[str, list[str]]) -> dict[str, int]:
    """How far below the top each stands: one below the lowest of those that depend on it."""
    depth = dict.fromkeys(needs, 0)
    for name in _in_order(needs):
        for need in needs[name]:
            depth[need] = max(depth[need], depth[name] + 1) if need != name else depth[need]
    return depth


def _in_order(needs: Mapping[str, list[str]]) -> list[str]:
    """Whoever depends on others before them, as far as there is no circle (depth first, backwards)."""
    done: dict[str, None] = {}
    for start in needs:
        waiting = [(start, iter(needs[start]))] if start not in done else []
        under_way = {start}
        while waiting:
            name, rest = waiting[-1]
            nxt = next((need for need in rest if need not in done and need not in under_way), None)
            if nxt is None:
                done[name] = None
                waiting.pop()
            else:
                under_way.add(nxt)
                waiting.append((nxt, iter(needs[nxt])))
    return list(reversed(done))


def _edge(start: Place, end: Place) -> str:
    (x1, y1), (x2, y2) = start, end
    middle = (y1 + y2) / 2
    return f"M{_n(x1)} {_n(y1)}C{_n(x1)} {_n(middle)} {_n(x2)} {_n(middle)} {_n(x2)} {_n(y2)}"


def _short(names: tuple[str, ...]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
