"""A book that fills and empties, and the pages that the system had to give for it."""

from __future__ import annotations

from resource import RUSAGE_THREAD, getrusage

import numpy as np

from benchmarks.workload import frame as framed
from benchmarks.workload import opening
from matching import compiled
from matching.layout import COMMAND, INDEX_BITS, Command, OrderType, Side, TimeInForce

BATCH = 64


def market() -> compiled.Engine:
    """An engine with an instrument and an account."""
    engine = compiled.Engine()
    engine.apply(0, 0, framed(opening(1, 1).tobytes()))
    return engine


def fill_and_empty(engine: compiled.Engine, orders: int) -> int:
    """So many bids at a hundred prices, then all cancelled; pages that the system had to give.

    A record follows, for what an empty book gives back goes with the next one.
    """
    place = np.arange(orders)
    new = np.zeros(orders, COMMAND)
    new["account_id"] = new["instrument_id"] = new["quantity"] = 1
    new["kind"], new["side"], new["price"] = Command.NEW_ORDER, Side.BUY, 1 + place % 100
    new["order_type"], new["time_in_force"] = OrderType.LIMIT, TimeInForce.GTC
    gone = np.zeros(orders, COMMAND)
    gone["kind"], gone["account_id"] = Command.CANCEL_ORDER, 1
    gone["order_id"] = engine.next_offset + place // BATCH << INDEX_BITS | place % BATCH
    frames = [
        framed(rows[at : at + BATCH].tobytes())
        for rows in (new, gone)
        for at in range(0, orders, BATCH)
    ]
    after = np.zeros(1, COMMAND)
    after["kind"] = Command.NOTE
    frames.append(framed(after.tobytes()))
    before = getrusage(RUSAGE_THREAD).ru_minflt
    for offset, data in enumerate(frames, engine.next_offset):
        engine.apply(offset, 0, data)
    return getrusage(RUSAGE_THREAD).ru_minflt - before
