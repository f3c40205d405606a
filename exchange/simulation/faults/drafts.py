"""The engine's draft of a snapshot without a child: the state is taken at once, written later."""

from __future__ import annotations

import asyncio

from exchange.engine.drafts import Draft, Mark
from exchange.engine.snapshots import EngineSnapshot, SnapshotStore
from matching import EngineProtocol


class InlineDraft(Draft):
    """A `Draft` in one process: everything a child would do happens in the loop's own time."""

    def __init__(self, mark: Mark, store: SnapshotStore, engine: EngineProtocol, writer: int):
        """Takes the engine's state as it is now. O(state)."""
        self.mark = mark
        self._store = store
        self._state = engine.snapshot()
        self._writer = writer
        self._place: int | None = None
        self._is_decided = asyncio.Event()

    def confirm(self, events_offset: int) -> None:
        """`events` holds, before this place, all that led to the state: it may be kept. O(1)."""
        self._place = events_offset
        self._is_decided.set()

    def drop(self) -> None:
        """Ends a draft that was not confirmed. O(1)."""
        self._is_decided.set()

    async def ended(self) -> str | None:
        """Waits for the decision, then writes: None when the file stands, else what went wrong."""
        await self._is_decided.wait()
        if self._place is None:
            return "the engine ended before its output stood on events"
        mark = self.mark
        snapshot = EngineSnapshot(
            mark.next_offset, mark.next_event, self._place, mark.chain, self._state
        )
        try:
            await asyncio.to_thread(self._store.save, snapshot, writer=self._writer)
        except OSError as error:
            return str(error)
        return None
