"""A snapshot written while trading goes on: a forked child describes the state as it was.

The parent forks between two records of `orders` and goes on at once (`exchange.forked`). The child
sorts, hashes and writes for as long as it takes. It renames nothing until the parent has told it
where on `events` the output of the last record applied stands; if the parent dies before, the child
leaves without a trace.
"""

from __future__ import annotations

import os
import struct
from typing import NamedTuple

from exchange.engine.snapshots import EngineSnapshot, SnapshotStore
from exchange.forked import Child, close_files
from matching import EngineProtocol

_PLACE = struct.Struct("<q")


class Mark(NamedTuple):
    """A place in the log at which a state was taken."""

    next_offset: int  # of `orders`: the first record that is not in the state
    next_event: int
    chain: bytes  # of `events`, there


class Draft:
    """One child of this process, on its way to a snapshot file."""

    def __init__(self, mark: Mark, store: SnapshotStore, engine: EngineProtocol, writer: int):
        """Forks: the state is the engine's now. Call between two records; raises OSError."""
        self.mark = mark
        self._go = os.pipe()

        def describe() -> None:
            state = engine.snapshot()
            place = os.read(self._go[0], _PLACE.size)
            if len(place) != _PLACE.size:
                raise RuntimeError("the engine ended before its output stood on events")
            (events_offset,) = _PLACE.unpack(place)
            snapshot = EngineSnapshot(
                mark.next_offset, mark.next_event, events_offset, mark.chain, state
            )
            store.save(snapshot, writer=writer)

        try:
            self._child = Child(describe, self._go[0])
        except OSError:
            close_files(*self._go)
            raise
        os.close(self._go[0])
        self._is_confirmed = False

    def confirm(self, events_offset: int) -> None:
        """`events` holds, before this place, all that led to the state: it may be kept. O(1)."""
        self._is_confirmed = True
        try:
            os.write(self._go[1], _PLACE.pack(events_offset))
        except BrokenPipeError:
            return  # it has failed; `ended` says how

    def drop(self) -> None:
        """Ends a draft that was not confirmed. O(1)."""
        if not self._is_confirmed:
            self._child.kill()

    async def ended(self) -> str | None:
        """Waits for the child: None when the file stands, else what went wrong."""
        try:
            return await self._child.ended()
        finally:
            os.close(self._go[1])
