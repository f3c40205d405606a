"""The tree of RFC 6962 against its published vectors, and against its definition."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.audit.merkle import EMPTY_ROOT, Tree, leaf_hash, root_from, root_of, siblings, starts

# The inputs and roots that implementations of Certificate Transparency test with.
INPUTS = [
    bytes.fromhex(text)
    for text in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]  # fmt: skip
ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)


def grown(leaves: list[bytes]) -> Tree:
    tree = Tree()
    for leaf in leaves:
        tree.push(leaf)
    return tree


def defined(inputs: list[bytes]) -> bytes:
    """RFC 6962, 2.1, word for word."""
    if not inputs:
        return hashlib.sha256(b"").digest()
    if len(inputs) == 1:
        return hashlib.sha256(b"\x00" + inputs[0]).digest()
    k = 1
    while 2 * k < len(inputs):
        k *= 2
    return hashlib.sha256(b"\x01" + defined(inputs[:k]) + defined(inputs[k:])).digest()


def test_published_roots() -> None:
    assert Tree().root() == EMPTY_ROOT
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    tree = Tree()
    for item, root in zip(INPUTS, ROOTS, strict=True):
        tree.push(leaf_hash(item))
        assert tree.root().hex() == root


def test_published_path() -> None:
    """The audit path of leaf 5 of 8, as the same vectors give it."""
    leaves = [leaf_hash(item) for item in INPUTS]
    path = [grown(leaves[begin:end]).root() for begin, end in siblings(5, 8)]
    assert [part.hex()[:16] for part in path] == [
        "bc1a0643b12e4d2d", "ca854ea128ed050b", "d37ee418976dd957",
    ]  # fmt: skip
    assert root_from(leaves[5], 5, 8, path).hex() == ROOTS[7]


@given(st.lists(st.binary(max_size=4), max_size=70), st.data())
def test_a_tree_is_what_its_definition_says(inputs: list[bytes], data: st.DataObject) -> None:
    leaves = [leaf_hash(item) for item in inputs]
    cut = data.draw(st.integers(0, len(leaves)))
    tree = grown(leaves[:cut])
    again = Tree(tree.size, tree.edge)  # what a restart has
    for leaf in leaves[cut:]:
        again.push(leaf)
    assert again.root() == defined(inputs)
    assert again.edge == grown(leaves).edge
    bounds = [*starts(len(leaves)), len(leaves)]
    for count, end in enumerate(bounds[1:], 1):
        assert root_of(again.edge[:count]) == defined(inputs[:end])


@given(st.lists(st.binary(max_size=3), min_size=1, max_size=40), st.data())
def test_a_path_proves_its_leaf_and_no_other(inputs: list[bytes], data: st.DataObject) -> None:
    leaves, size = [leaf_hash(item) for item in inputs], len(inputs)
    index = data.draw(st.integers(0, size - 1))
    path = [grown(leaves[begin:end]).root() for begin, end in siblings(index, size)]
    root = defined(inputs)
    assert root_from(leaves[index], index, size, path) == root
    assert root_from(leaf_hash(b"another"), index, size, path) != root
    if path:
        wrong = data.draw(st.integers(0, len(path) - 1))
        bent = [*path[:wrong], bytes([path[wrong][0] ^ 1]) + path[wrong][1:], *path[wrong + 1 :]]
        assert root_from(leaves[index], index, size, bent) != root
        with pytest.raises(ValueError, match="has a path of"):
            root_from(leaves[index], index, size, path[1:])
    with pytest.raises(ValueError, match="not in a tree"):
        siblings(size, size)


def test_an_edge_has_a_hash_for_each_binary_digit() -> None:
    with pytest.raises(ValueError, match="5 leaves has 2 subtrees"):
        Tree(5, [EMPTY_ROOT])
