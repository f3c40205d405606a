"""Living blocks by place, of which only those that leave next need be in memory.

Blocks leave a place oldest first, by (number acquired, first serial). So of each place the front
is enough: up to a key they are here, the rest are known by their tonnes and are read from the books
when they are wanted. What comes to a place later is younger than all that lies there, and is kept
behind the gap. After what happened was written, the blocks of a place can be let go.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from exchange.registry.blocks import Block
from exchange.registry.rows import Place

Entry = tuple[int, int, Block]
Key = tuple[int, int]  # number acquired, serial
_FRONT = (-1, -1)


class NotInMemoryError(Exception):
    """Blocks of `place` were asked for that nobody had read from the books.

    A defect of who says what is wanted (`wants`); the service reads them and begins again.
    """

    def __init__(self, place: Place, text: str) -> None:
        super().__init__(text)
        self.place = place


class Gap(NamedTuple):
    """Where the blocks of a place are to be read on: after a key, acquired before a number."""

    place: Place
    after: Key
    until: int


class _Queue:
    """The blocks of one place: a heap, and what of it lies in the books only."""

    __slots__ = ("after", "heap", "near", "rest", "until")

    def __init__(self) -> None:
        self.heap: list[Entry] = []
        self.rest = 0  # tonnes in the books only
        self.near = 0  # while there are: tonnes here in front of them
        self.after = _FRONT  # the end of what is in front of them
        self.until = 0  # the settlement number from which on what came is here


class Places:
    """Which blocks lie where, with the tonnes of every place and as many blocks as were wanted."""

    def __init__(self) -> None:
        self.totals: dict[Place, int] = defaultdict(int)
        self.count = 0  # living blocks
        self.in_memory = 0  # of these
        self._queues: dict[Place, _Queue] = {}  # the one used last is the last
        self._lenders: dict[tuple[int, int, int], set[int]] = defaultdict(set)  # of a place

    def lenders(self, account: int, position: int, instrument_id: int) -> list[int]:
        """For whom, or for what, units lie at a place. O(them)."""
        return sorted(self._lenders.get((account, position, instrument_id), ()))

    def holders(self, position: int, instrument_id: int, lender: int) -> list[int]:
        """Accounts where units lie for a lender. O(places that lie for somebody)."""
        return sorted(
            account
            for (account, at, what), lenders in self._lenders.items()
            if (at, what) == (position, instrument_id) and lender in lenders
        )

    def leave(self, place: Place, tonnes: int, blocks: int, until: int) -> None:
        """Takes up a place whose blocks, acquired before `until`, stay in the books. O(1)."""
        queue = self._queues[place] = _Queue()
        queue.rest, queue.until = tonnes, until
        self.totals[place] = tonnes
        self.count += blocks
        if place.lender:
            self._lenders[place[:3]].add(place.lender)

    def push(self, place: Place, block: Block) -> None:
        """A block comes to a place, younger than what was written of it. O(log n)."""
        queue = self._queues.get(place)
        if queue is None:
            queue = self._queues[place] = _Queue()
        if place.lender:
            self._lenders[place[:3]].add(place.lender)
        heapq.heappush(queue.heap, (block.acquired, block.first_serial, block))
        self.totals[place] += block.quantity
        self.count += 1
        self.in_memory += 1

    def lacking(self, place: Place, tonnes: int | None) -> Gap | None:
        """Where to read on so that the first `tonnes` of a place are here, None = all; None: no
        more is needed. O(1)."""
        queue = self._queues.get(place)
        if queue is None:
            return None
        self._queues[place] = self._queues.pop(place)
        if not queue.rest:
            return None
        total = self.totals[place]
        if tonnes is not None and (queue.near >= tonnes or tonnes > total):
            return None  # there, or to be refused
        return Gap(place, queue.after, queue.until)

    def take_up(self, gap: Gap, blocks: Sequence[Block]) -> None:
        """Adds the next blocks of a gap, as the books have them. O(blocks x log n).

        ValueError when they are none, or are more than the tonnes which are missing.
        """
        queue = self._queues[gap.place]
        tonnes = sum(block.quantity for block in blocks)
        if not 0 < tonnes <= queue.rest:
            raise ValueError(f"{tonnes} t were read of the {queue.rest} t still at {gap.place}")
        for block in blocks:
            heapq.heappush(queue.heap, (block.acquired, block.first_serial, block))
        queue.near += tonnes
        queue.rest -= tonnes
        queue.after = (blocks[-1].acquired, blocks[-1].last_serial)  # what is left of it is here
        self.in_memory += len(blocks)

    def let_go(self, most: int, until: int) -> None:
        """Forgets blocks of the places used least lately until no more than `most` are in memory.

        Everything up to settlement number `until` must be written. O(places).
        """
        for place, queue in self._queues.items():
            if self.in_memory <= most:
                return
            if queue.heap:
                self.in_memory -= len(queue.heap)
                empty = self._queues[place] = _Queue()
                empty.rest, empty.until = self.totals[place], until

    def heap(self, place: Place, tonnes: int | None) -> list[Entry]:
        """The blocks of a place, the first `tonnes` of them or (None) all, as a heap. O(1).

        NotInMemoryError when they are not here.
        """
        queue = self._queues.get(place)
        if queue is None:
            return []
        if queue.rest and (tonnes is None or queue.near < tonnes):
            raise NotInMemoryError(
                place,
                f"{tonnes or self.totals[place]} t at {place} were not read: {queue.near} t are "
                f"here, {queue.rest} t in the books",
            )
        return queue.heap

    def taken(self, place: Place, tonnes: int, before: int) -> None:
        """So many tonnes were taken off the heap of a place, which had `before` blocks. O(1)."""
        queue = self._queues[place]
        more = len(queue.heap) - before
        self.count += more
        self.in_memory += more
        queue.near -= tonnes
        self.totals[place] -= tonnes
        if not self.totals[place]:
            del self.totals[place], self._queues[place]
            if place.lender:
                self._lenders[place[:3]].discard(place.lender)
