"""Blocks: ranges of serial numbers that stay together, and splitting them.

A block's range never changes. A split ends one block and begins two; what changes is who holds a
block, where, and whether it still lives. Ranges are inclusive at both ends, so a block holds
`last - first + 1` tonnes.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple

from exchange.messages.registry import Range
from exchange.settings import REGISTRY_RANGES_MAX


class Position(IntEnum):
    """Where an account's units lie."""

    NONE = 0  # before issuance, after surrender or cancellation
    REGISTRY = 1
    TRADING = 2
    FROZEN = 3  # by the authority
    PLEDGED = 4  # to a lender
    PENDING = 5  # on the way to another account, or to be surrendered in another registry


class State(IntEnum):
    """Whether a block still lives."""

    HELD = 1
    SURRENDERED = 2
    CANCELLED = 3


class HistoryKind(IntEnum):
    """What happened to a block."""

    ISSUED = 1
    SPLIT = 2
    MOVED = 3
    SURRENDERED = 4
    CANCELLED = 5
    REVERSED = 6  # a surrender or cancellation undone
    RETURNED = 7  # allocated too much, and cancelled
    CARRIED_OVER = 8  # cancelled for as many of a new vintage
    EXCHANGED = 9  # credits, cancelled for as many allowances


class Block(NamedTuple):
    """A row of `block` after `market`."""

    block_id: int
    programme: str
    first_serial: int
    last_serial: int
    instrument_id: int
    vintage: int
    account: int
    position: int
    state: int
    acquired: int  # settlement number at which it came to this place
    lender: int = 0  # PLEDGED: the account to which; FROZEN: for which; PENDING: the instruction
    project: int = 0  # of credits: its number; 0 = not stated
    period_from: int = 0  # YYYYMMDD, first and last day of the reductions; 0 = not stated
    period_to: int = 0

    @property
    def quantity(self) -> int:
        """Tonnes."""
        return self.last_serial - self.first_serial + 1

    @property
    def range(self) -> Range:
        """The block as messages name it."""
        return Range(self.block_id, self.programme, self.first_serial, self.last_serial)


def split(block: Block, quantity: int, left_id: int, right_id: int) -> tuple[Block, Block]:
    """The two blocks that follow when the first `quantity` tonnes leave a block. O(1).

    ValueError unless both are left with at least one tonne.
    """
    if not 0 < quantity < block.quantity:
        raise ValueError(f"cannot split {quantity} t off a block of {block.quantity} t")
    middle = block.first_serial + quantity
    left = block._replace(block_id=left_id, last_serial=middle - 1)
    right = block._replace(block_id=right_id, first_serial=middle)
    return left, right


def node_of(first: int, last: int) -> int:
    """The number of a range that the highest power of two divides. O(1).

    Ranges that contain a serial have few different ones: `nodes_around`.
    """
    bit = ((first - 1) ^ last).bit_length() - 1
    return last >> bit << bit


def nodes_around(first: int, last: int, end: int) -> list[int]:
    """The nodes that a range around `first..last` may have, none of them above `end`. O(log end).

    Seen as a binary tree, in which a number lies the higher the more often two divides it, these
    are the node of the range itself and those on the way to the root.
    """
    node = node_of(first, last)
    bit = (node & -node).bit_length() - 1
    above = (node >> high + 1 << high + 1 | 1 << high for high in range(bit, end.bit_length()))
    return [number for number in above if number <= end]


def runs(blocks: list[Block]) -> list[list[Block]]:
    """Blocks in runs that fit one item of `registry` each. O(blocks)."""
    return [
        blocks[at : at + REGISTRY_RANGES_MAX] for at in range(0, len(blocks), REGISTRY_RANGES_MAX)
    ]


def tonnes(blocks: Iterable[Block]) -> int:
    """Tonnes of several blocks. O(blocks)."""
    return sum(block.quantity for block in blocks)


def serial_text(item: Range | Block) -> str:
    """Serial numbers as people read them: `CEA-000000000001..000000061728`."""
    if isinstance(item, Block):
        item = item.range
    return f"{item.programme}-{item.first:012d}..{item.last:012d}"


def untiled(blocks: Iterable[Block], issued: dict[str, int]) -> list[str]:
    """Where blocks do not tile the serials 1..issued of each programme, in words; [] is sound.

    O(n log n).
    """
    problems = []
    following = dict.fromkeys(issued, 1)
    for block in sorted(blocks, key=lambda b: (b.programme, b.first_serial)):
        expected = following.get(block.programme, 1)
        if block.first_serial != expected:
            what = "a gap" if block.first_serial > expected else "an overlap"
            problems.append(f"{serial_text(block)}: {what}, expected {expected}")
        following[block.programme] = block.last_serial + 1
    problems += [
        f"{programme}: blocks end at {following[programme] - 1}, issued were {last}"
        for programme, last in issued.items()
        if following[programme] - 1 != last
    ]
    return problems
