"""Merkle trees as RFC 6962 has them: SHA-256, leaves prefixed 0x00, nodes 0x01.

A tree of n leaves is known by its *edge*: the roots of the perfect subtrees that n's binary digits
name, largest first, at most 64 hashes. Leaves are pushed one by one; nothing else is held.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

HASH_BYTES = 32
LEAF, NODE = b"\x00", b"\x01"
EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(data: bytes) -> bytes:
    """The hash of a leaf. O(bytes)."""
    return hashlib.sha256(LEAF + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of a node over its two children. O(1)."""
    return hashlib.sha256(NODE + left + right).digest()


class Tree:
    """A growing tree: its size and its edge."""

    def __init__(self, size: int = 0, edge: Iterable[bytes] = ()) -> None:
        self.size = size
        self._edge = list(edge)
        if len(self._edge) != size.bit_count():
            raise ValueError(f"a tree of {size} leaves has {size.bit_count()} subtrees in its edge")

    @property
    def edge(self) -> tuple[bytes, ...]:
        """The roots of its perfect subtrees, from the left. O(log n)."""
        return tuple(self._edge)

    def push(self, leaf: bytes) -> None:
        """Adds the hash of the next leaf. O(1) amortized."""
        edge, size = self._edge, self.size
        while size & 1:
            leaf = node_hash(edge.pop(), leaf)
            size >>= 1
        edge.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        """The root; that of no leaves is the hash of nothing. O(log n)."""
        return root_of(self._edge)


def root_of(edge: Sequence[bytes]) -> bytes:
    """The root over an edge. O(hashes)."""
    if not edge:
        return EMPTY_ROOT
    root = edge[-1]
    for left in reversed(edge[:-1]):
        root = node_hash(left, root)
    return root


def starts(size: int) -> list[int]:
    """Where each subtree of the edge of a tree begins. O(log n)."""
    found, at = [], 0
    for bit in reversed(range(size.bit_length())):
        if size >> bit & 1:
            found.append(at)
            at += 1 << bit
    return found


def siblings(index: int, size: int) -> list[tuple[int, int]]:
    """The spans [begin, end) whose roots prove leaf `index` in a tree, from the leaf up. O(log n).

    ValueError unless 0 <= index < size.
    """
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size}")
    spans, begin, end = [], 0, size
    while end - begin > 1:
        middle = begin + (1 << (end - begin - 1).bit_length() - 1)
        if index < middle:
            spans.append((middle, end))
            end = middle
        else:
            spans.append((begin, middle))
            begin = middle
    return spans[::-1]


def root_from(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """The root that a leaf's hash and its path give (RFC 9162, 2.1.3.2). O(log n).

    ValueError when the path has not the length that index and size ask for.
    """
    spans = siblings(index, size)
    if len(path) != len(spans):
        raise ValueError(f"leaf {index} of {size} has a path of {len(spans)}, not {len(path)}")
    root = leaf
    for (begin, _), sibling in zip(spans, path, strict=True):
        root = node_hash(sibling, root) if begin < index else node_hash(root, sibling)
    return root
