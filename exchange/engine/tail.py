"""The end of `events`, as an engine finds it at its start.

Every part carries a hash over all that was said before it. So who computes `orders` anew and comes
to the chain of the furthest part need not read the parts before: it would say the same, and all of
them stand there, since who publishes a part has seen those before it. What was altered on a disk
in between is found by every reader of `events`, each of which walks the chain, and by `exchange
verify`.
"""

from __future__ import annotations

from typing import NamedTuple

from exchange.engine.outbox import place_of
from exchange.log.protocol import Log, Partition, read_at
from exchange.messages.frames import chain_of_part
from exchange.settings import READ_RECORDS_MAX


class Tail(NamedTuple):
    """The furthest part on `events`."""

    input_offset: int
    part: int
    chain: bytes
    offset: int  # of `events`


async def find_tail(log: Log, events: Partition) -> Tail | None:
    """The furthest part among the last READ_RECORDS_MAX; None when there are none. O(bytes).

    A zombie may have repeated more than that at the end: then it is an earlier one, and what
    follows is compared part by part. Raises LogError, and HistoryMismatchError for what is no part.
    """
    end = await log.end(events)
    best: Tail | None = None
    for record in await read_at(log, events, max(end - READ_RECORDS_MAX, 0), end):
        input_offset, part = place_of(record.offset, record.value)
        if best is None or (input_offset, part) > (best.input_offset, best.part):
            best = Tail(input_offset, part, chain_of_part(record.value), record.offset)
    return best
