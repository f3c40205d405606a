"""The records of one market's `orders`, read once for two who need them at different times.

`take` has every record as it is read, to the end of the log; `frame` gives them to who goes through
`events`, each beside what the engine made of it. Between the two, records are kept up to
ORDERS_KEPT_BYTES_MAX; what did not fit has to be read again.

A gateway knows the orders which it wrote itself, so while it writes alone it need not read to
answer: it looks each SWEEP_S, and at once when it wrote anything else, or when `events` answers a
record that it does not know. To follow each record cost it a quarter of its time at 10,000 orders a
second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from exchange.log.protocol import Record
from exchange.messages.frames import Command, kinds_mask
from exchange.messages.scan import command_kinds_of
from exchange.settings import ORDERS_KEPT_BYTES_MAX

SWEEP_S = 0.05
FRAME_BYTES = 256  # what keeping one costs besides its bytes, about
_PLAIN = kinds_mask(
    Command.NEW_ORDER,
    Command.ORDER_TERMS,
    Command.REPLACE_ORDER,
    Command.CANCEL_ORDER,
    Command.MASS_CANCEL,
    Command.QUOTE,
)
"""Commands of which nothing is to be known but who sent them: no notes, nothing of operators."""

Read = Callable[[], Awaitable[Sequence[Record]]]
"""The next records, in order; none when none came for a while."""


class OrderRecords:
    """What is known of `orders`; one `follow` and one caller of `frame` at a time."""

    def __init__(
        self, take: Callable[[Record], None], ended: Callable[[int], None] = lambda _: None
    ) -> None:
        """`take` is given each record in order; `ended` hears how far `orders` is known to go."""
        self.position = 0  # the records below were given to `take`
        self._take = take
        self._ended = ended
        self._end = 0  # `orders` is known to hold the records below
        self._next = 0  # the records below were given by `frame`, or passed
        self._kept: dict[int, bytes] = {}
        self._kept_bytes = 0
        self._wanted = asyncio.Event()  # somebody waits for what is not read yet
        self._moved = asyncio.Event()  # something was read or written since it was cleared
        self._is_over = False

    def reaches(self, end: int) -> None:
        """The log holds the records below `end`. O(1)."""
        if end > self._end:
            self._end = end
            self._ended(end)

    def wrote(self, offset: int, frame: bytes) -> None:
        """The log has this frame of our own. O(commands)."""
        self.reaches(offset + 1)
        if command_kinds_of(frame) & ~_PLAIN:
            self._wanted.set()
        else:
            self._keep(offset, frame)
            self._moved.set()

    def begin(self, position: int, next_frame: int) -> None:
        """The records below `position` were given to `take` before, those below the other by
        `frame`. To be called before anything else. O(1)."""
        self.position, self._next = position, next_frame

    async def follow(self, read: Read, stop: asyncio.Event) -> None:
        """Gives the records that `read` gives, from `position` on, to `take` until `stop`."""
        try:
            while not stop.is_set():
                self._wanted.clear()
                is_new = await self._sweep(read)
                if is_new:
                    await self._rest()
        finally:
            self._is_over = True
            self._moved.set()

    async def frame(self, offset: int) -> bytes | None:
        """The record at `offset`, waited for; None where it was not kept, or `follow` is over.

        To be asked for from the first on, one by one, or after `passed`. O(1).
        """
        while (frame := self._kept.pop(offset, None)) is None:
            if self.position > offset or self._is_over:
                return None
            self._moved.clear()
            self._wanted.set()
            await self._moved.wait()
        self._kept_bytes -= len(frame) + FRAME_BYTES
        self._next = offset + 1
        return frame

    def passed(self, offset: int) -> None:
        """The record at `offset` was had elsewhere. O(1)."""
        frame = self._kept.pop(offset, None)
        if frame is not None:
            self._kept_bytes -= len(frame) + FRAME_BYTES
        self._next = offset + 1

    async def _sweep(self, read: Read) -> bool:
        """Reads once, and on as far as the log is known to go; whether anything was there."""
        found = False
        while records := await read():
            found = True
            for record in records:
                self.reaches(record.offset + 1)
                self._keep(record.offset, record.value)
                self._take(record)
                self.position = record.offset + 1
            self._moved.set()
            await asyncio.sleep(0)
            if self.position >= self._end:
                break
        return found

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(SWEEP_S):
                await self._wanted.wait()
        except TimeoutError:
            return

    def _keep(self, offset: int, frame: bytes) -> None:
        size = len(frame) + FRAME_BYTES
        if offset < self._next or offset in self._kept:
            return
        if self._kept_bytes + size <= ORDERS_KEPT_BYTES_MAX:
            self._kept[offset] = frame
            self._kept_bytes += size
