from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfheal import merkle
from selfheal.errors import LedgerError
from selfheal.merkle import (
    Frontier,
    TileCutter,
    TileStack,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    tile_path,
    verify_consistency,
    verify_inclusion,
)

VECTORS = Path(__file__).resolve().parents[3] / "shared" / "data" / "vectors" / "rfc6962"
# The eight leaves of the reference implementation's tests, and the roots of the trees that they make.
LEAVES = [
    bytes.fromhex(x) for x in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def vectors(kind: str) -> list[dict]:
    if not VECTORS.exists():
        pytest.skip(f"{VECTORS} is not here")
    return [json.loads(path.read_text()) for path in sorted((VECTORS / kind).rglob("*.json"))]


def unb64(text: str | None) -> bytes:
    return base64.b64decode(text or "")


def hashes(count: int) -> list[bytes]:
    return [leaf_hash(str(n).encode()) for n in range(count)]


def nodes(leaves: list[bytes]) -> merkle.Node:
    return lambda level, index: merkle.root(leaves[index << level : index + 1 << level])


def mth(leaves: list[bytes]) -> bytes:
    """RFC 9162 §2.1.1 word for word."""
    if not leaves:
        return merkle.EMPTY_ROOT
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return node_hash(mth(leaves[:k]), mth(leaves[k:]))


def test_the_roots_of_the_reference_trees_come_out():
    frontier = Frontier()
    for leaf, expected in zip(LEAVES, ROOTS, strict=True):
        frontier.append(leaf_hash(leaf))
        assert frontier.root().hex() == expected
    assert Frontier().root().hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_every_published_inclusion_case_is_judged_right():
    for case in vectors("inclusion"):
        proof = [unb64(p) for p in case["proof"] or []]
        arguments = (case["leafIdx"], case["treeSize"], unb64(case["leafHash"]), proof, unb64(case["root"]))
        assert accepts(verify_inclusion, *arguments) is not case["wantErr"], case["desc"]


def test_every_published_consistency_case_is_judged_right():
    for case in vectors("consistency"):
        proof = [unb64(p) for p in case["proof"] or []]
        arguments = (case["size1"], case["size2"], unb64(case["root1"]), unb64(case["root2"]), proof)
        assert accepts(verify_consistency, *arguments) is not case["wantErr"], case["desc"]


def accepts(verify, *arguments) -> bool:
    try:
        verify(*arguments)
    except LedgerError:
        return False
    return True


@given(st.integers(0, 600))
def test_root_frontier_and_tiles_agree_with_the_definition(size):
    leaves = hashes(size)
    frontier, stack = Frontier(), TileStack()
    for leaf in leaves:
        frontier.append(leaf)
        stack.append(leaf)
    assert mth(leaves) == merkle.root(leaves) == frontier.root() == stack.root()


@given(st.lists(st.integers(0, 700), max_size=6))
def test_leaves_that_are_added_many_at_a_time_make_the_same_tree_and_tiles(counts):
    leaves = hashes(sum(counts))
    frontier, cutter, stack, start, tiles = Frontier(), TileCutter(), TileStack(), 0, []
    for count in counts:
        tiles += cutter.cut(frontier.extend(leaves[start : start + count]))
        start += count
        assert (frontier.size, frontier.root()) == (start, merkle.root(leaves[:start]))
    assert tiles == [tile for leaf in leaves for tile in stack.append(leaf)]


def test_tiles_of_every_level_are_cut_from_one_long_row():
    leaves = hashes(256 * 256 + 1)
    stack = TileStack()
    by_level = sorted((tile for leaf in leaves for tile in stack.append(leaf)), key=lambda tile: (tile.level, tile.index))
    assert TileCutter().cut(Frontier().extend(leaves)) == by_level


def test_tiles_fill_level_by_level():
    stack, full = TileStack(), []
    leaves = hashes(2 * 256 * 256 + 300)
    for leaf in leaves:
        full += stack.append(leaf)
    assert [(t.level, t.index) for t in full if t.level == 1] == [(1, 0), (1, 1)]
    assert [t.index for t in full if t.level == 0] == list(range(513))
    assert full[256].hashes == b"".join(t.root for t in full[:256])
    assert full[256].root == merkle.root(leaves[:65536])
    assert stack.root() == merkle.root(leaves)


@given(st.integers(1, 300).flatmap(lambda size: st.tuples(st.integers(0, size - 1), st.just(size))))
def test_an_inclusion_proof_leads_to_the_root_and_to_no_other(place):
    index, size = place
    leaves = hashes(size)
    proof, root = inclusion_proof(index, size, nodes(leaves)), merkle.root(leaves)
    verify_inclusion(index, size, leaves[index], proof, root)
    assert len(proof) <= (size - 1).bit_length()
    for wrong in range(len(proof)):
        bad = [*proof[:wrong], leaf_hash(b"other"), *proof[wrong + 1 :]]
        assert not accepts(verify_inclusion, index, size, leaves[index], bad, root)
    assert not accepts(verify_inclusion, index, size, leaf_hash(b"other"), proof, root)


@given(st.integers(1, 300).flatmap(lambda size: st.tuples(st.integers(1, size), st.just(size))))
def test_a_consistency_proof_shows_that_one_tree_begins_the_other(sizes):
    first, second = sizes
    leaves = hashes(second)
    proof = consistency_proof(first, second, nodes(leaves))
    old, new = merkle.root(leaves[:first]), merkle.root(leaves)
    verify_consistency(first, second, old, new, proof)
    assert not accepts(verify_consistency, first, second, leaf_hash(b"other"), new, proof)
    assert not accepts(verify_consistency, first, second, old, leaf_hash(b"other"), proof)


@pytest.mark.parametrize(("index", "size"), [(0, 0), (-1, 3), (3, 3)])
def test_there_is_no_proof_of_a_leaf_that_is_not_there(index, size):
    with pytest.raises(LedgerError):
        inclusion_proof(index, size, nodes(hashes(size)))
    with pytest.raises(LedgerError):
        verify_inclusion(index, size, b"", [], b"")


@pytest.mark.parametrize(("first", "second"), [(0, 3), (4, 3), (-1, 3)])
def test_there_is_no_proof_between_sizes_that_are_none(first, second):
    with pytest.raises(LedgerError):
        consistency_proof(first, second, nodes(hashes(3)))


def test_a_proof_asks_for_few_nodes():
    leaves, asked = hashes(1000), []

    def node(level: int, index: int) -> bytes:
        asked.append((level, index))
        return nodes(leaves)(level, index)

    inclusion_proof(400, 1000, node)
    consistency_proof(777, 1000, node)
    assert len(asked) < 4 * 10


@pytest.mark.parametrize(
    ("kind", "index", "width", "path"),
    [
        ("0", 0, 256, "tile/0/000"),
        ("1", 7, 3, "tile/1/007.p/3"),
        ("entries", 1_234_067, 256, "tile/entries/x001/x234/067"),
        ("0", 1000, 1, "tile/0/x001/000.p/1"),
    ],
)
def test_a_tile_lies_where_c2sp_has_it(kind, index, width, path):
    assert tile_path(kind, index, width) == path


def test_the_example_of_rfc_9162_section_2_1_5():
    """Seven leaves; the nodes have the names of the figure."""
    a, b, c, d, e, f, j = leaves = hashes(7)
    g, h, i = node_hash(a, b), node_hash(c, d), node_hash(e, f)
    k = node_hash(g, h)
    rest = node_hash(i, j)
    whole = node_hash(k, rest)
    node = nodes(leaves)
    assert merkle.root(leaves) == whole
    paths = {0: [b, h, rest], 3: [c, g, rest], 4: [f, j, k], 6: [i, k]}
    assert {index: inclusion_proof(index, 7, node) for index in paths} == paths
    assert consistency_proof(3, 7, node) == [c, d, g, rest]
    assert consistency_proof(4, 7, node) == [rest]
    assert consistency_proof(6, 7, node) == [i, j, k]
