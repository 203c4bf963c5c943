from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfheal.correlation import WINDOW, Group, Trouble, correlate
from selfheal.graph import dependents, needs

AT = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
SHOP = {"web": ["api", "cache"], "api": ["db"], "jobs": ["db"], "db": [], "cache": [], "wiki": []}


def troubles(text: str) -> list[Trouble]:
    """`web@3 db`: web after three minutes, db at once."""
    parsed = [part.partition("@") for part in text.split()]
    return [Trouble(f"{name}-{n}", name, AT + timedelta(minutes=int(after or 0))) for n, (name, _, after) in enumerate(parsed)]


def said(groups: tuple[Group, ...]) -> str:
    """`db*: api web`; a star: by a trouble of its own."""
    return "; ".join(
        f"{g.root}{'*' if g.root_key else ''}: {' '.join(sorted(key.partition('-')[0] for key in g.parts))}" for g in groups
    )


@pytest.mark.parametrize(
    ("unwell", "expected"),
    [
        ("", ""),
        ("web", ""),
        ("web wiki", ""),
        ("web api", "api*: web"),
        ("web db", "db*: web"),
        ("web@1 api@2 db@3", "db*: api web"),
        ("web db@5", "db*: web"),
        ("web db@6", ""),
        ("web api@4 db@8", "db*: api web"),  # by way of api, which is near to both
        ("web web db", "db*: web web"),
        ("db db web", "db*: web"),
        ("web@1 cache db@2", "cache*: web"),  # both explain one: the first
        ("web cache api db", "db*: api web"),  # db explains more
        ("web cache wiki", "cache*: web"),
        ("api jobs", "db: api jobs"),  # nobody complains of db, and both that need it are unwell
        ("api jobs@6", ""),
        ("web api jobs", "db: api jobs web"),
    ],
)
def test_the_probable_root(unwell: str, expected: str) -> None:
    assert said(correlate(troubles(unwell), SHOP)) == expected


def test_a_service_that_many_need_is_not_blamed_by_a_few_of_them() -> None:
    graph = {f"app-{n}": ["dns"] for n in range(5)}
    assert correlate(troubles("app-0 app-1"), {**graph, "dns": []}) == ()
    (found,) = correlate([Trouble(str(n), f"app-{n}", AT) for n in range(3)], {**graph, "dns": []})
    assert (found.root, found.root_key) == ("dns", "")


def test_of_two_that_need_each_other_the_first_is_the_root() -> None:
    graph = {"a": ["b"], "b": ["a"]}
    assert said(correlate(troubles("a@1 b"), graph)) == "b*: a"
    assert said(correlate(troubles("a b"), graph)) == "a*: b"


def test_what_nobody_declared_belongs_to_nothing() -> None:
    assert correlate(troubles("web unknown"), SHOP) == ()


NAMES = "abcdefg"
GRAPHS = st.dictionaries(st.sampled_from(NAMES), st.lists(st.sampled_from(NAMES), max_size=3, unique=True)).map(
    lambda edges: {name: [other for other in edges.get(name, []) if other != name] for name in NAMES}
)
TROUBLES = st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 12)), max_size=8).map(
    lambda rows: [Trouble(str(n), name, AT + timedelta(minutes=after)) for n, (name, after) in enumerate(rows)]
)


@given(GRAPHS, TROUBLES, st.randoms())
def test_any_troubles_in_any_graph(graph: dict, given_: list[Trouble], random: object) -> None:
    found = correlate(given_, graph)
    shuffled = list(given_)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert correlate(shuffled, graph) == found
    by_key = {each.key: each for each in given_}
    parts = [key for group in found for key in group.parts]
    assert len(parts) == len(set(parts))
    assert not set(parts) & {group.root_key for group in found}
    for group in found:
        services = {by_key[key].service for key in group.parts}
        assert services
        assert group.root not in services
        assert services <= dependents(graph, group.root)
        assert bool(group.root_key) == (group.root in {each.service for each in given_})
        if not group.root_key:
            direct = {name for name in services if group.root in graph[name]}
            assert len(direct) >= 2


@given(GRAPHS, TROUBLES)
def test_who_needs_nothing_unwell_and_shares_nothing_stays_by_itself(graph: dict, given_: list[Trouble]) -> None:
    unwell = {each.service for each in given_}
    parts = {key for group in correlate(given_, graph) for key in group.parts}
    for each in given_:
        near = {other.service for other in given_ if abs(other.opened_at - each.opened_at) <= 4 * WINDOW}
        shared = any(set(graph[each.service]) & set(graph[other]) for other in unwell - {each.service})
        if not needs(graph, each.service) & near and not shared:
            assert each.key not in parts
