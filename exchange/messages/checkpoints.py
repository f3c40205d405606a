"""What stands on `checkpoints`: the text of one checkpoint of a market, before it is signed.

A checkpoint says of each topic how many records it had and the root of the Merkle tree (RFC 6962)
over them, and names the checkpoint before it by hash. It is plain text, one fact a line, so that
whoever keeps it can read it without our programs; `exchange.audit.signed_note` puts the signature
under it.
"""

from __future__ import annotations

import hashlib
from typing import Literal, NamedTuple

HEAD = "carbon-exchange checkpoint v1"
FIRST = bytes(32)
"""Stands for the checkpoint before the first one."""

Cause = Literal["interval", "day", "request"]


class TreeHead(NamedTuple):
    """One topic: records 0 to size - 1."""

    topic: str
    size: int
    root: bytes
    edge: tuple[bytes, ...]  # roots of the perfect subtrees of that size, from the left


class Checkpoint(NamedTuple):
    """One statement about a market's log."""

    venue: str
    market: str
    number: int  # 1, 2, ... in a market
    time_ns: int  # wall clock of the writer, UTC
    trading_date: int  # YYYYMMDD of the last day that began on `events`, 0 before the first
    cause: str  # of `Cause`
    previous: bytes  # hash of the text before
    trees: tuple[TreeHead, ...]

    def size_of(self, topic: str) -> int:
        """Records of a topic that it covers; 0 of one that it does not name. O(topics)."""
        return next((tree.size for tree in self.trees if tree.topic == topic), 0)

    def text(self) -> str:
        """One fact a line. O(topics)."""
        lines = [
            HEAD,
            f"venue {self.venue}",
            f"market {self.market}",
            f"number {self.number}",
            f"time_ns {self.time_ns}",
            f"trading_date {self.trading_date}",
            f"cause {self.cause}",
            f"previous {self.previous.hex()}",
        ]
        for tree in self.trees:
            lines.append(f"tree {tree.topic} {tree.size} {tree.root.hex()}")
            lines.append(" ".join(["edge", tree.topic, *(part.hex() for part in tree.edge)]))
        return "\n".join(lines) + "\n"

    def digest(self) -> bytes:
        """What the next one calls `previous`: SHA-256 of the text. O(bytes)."""
        return hashlib.sha256(self.text().encode()).digest()


def parse_checkpoint(text: str) -> Checkpoint:
    """A checkpoint from its text; ValueError names the line that is wrong. O(bytes)."""
    lines = text.splitlines()
    if not lines or lines[0] != HEAD:
        raise ValueError(f"this is no checkpoint: its first line is not {HEAD!r}")
    facts, trees, at = {}, [], 1
    try:
        while at < len(lines) and not lines[at].startswith("tree "):
            name, _, facts_value = lines[at].partition(" ")
            facts[name] = facts_value
            at += 1
        while at < len(lines):
            _, topic, size, root = lines[at].split(" ")
            edge, same, *parts = lines[at + 1].split(" ")
            if (edge, same) != ("edge", topic):
                raise ValueError(lines[at + 1])
            hashes = tuple(bytes.fromhex(part) for part in parts)
            trees.append(TreeHead(topic, int(size), bytes.fromhex(root), hashes))
            at += 2
        found = Checkpoint(
            facts["venue"],
            facts["market"],
            int(facts["number"]),
            int(facts["time_ns"]),
            int(facts["trading_date"]),
            facts["cause"],
            bytes.fromhex(facts["previous"]),
            tuple(trees),
        )
    except (ValueError, KeyError, IndexError) as error:
        raise ValueError(f"line {at + 1} of the checkpoint is wrong: {error}") from None
    if found.text() != text:
        raise ValueError("the checkpoint is not written as its fields are")
    return found
