"""Saving and loading a book of a million resting orders."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.engine.runs import clock, opened
from benchmarks.figures import Target
from benchmarks.workload import deep, frame
from matching import compiled
from matching.layout import COMMAND, COUNT_MAX, Command, OrderType, Side, TimeInForce

RESTING, LEVELS = 1_000_000, 50_000


class Snapshots:
    """One million resting orders, saved and loaded; with or without a client order id each."""

    def __init__(self, labels: bool) -> None:
        plan = deep(RESTING, LEVELS, cancels=0, labels=labels, is_book=True)
        self._engine = opened(plan.framed(COUNT_MAX))
        self._hash = self._engine.state_hash()
        ids = ", with ids" if labels else ""
        self.targets = [
            Target(f"saving 1,000,000 orders{ids}", "s", 1, is_ceiling=True),
            Target(f"loading 1,000,000 orders{ids}", "s", 1, is_ceiling=True),
        ]
        self._size = 0

    def round(self) -> dict[str, float]:
        """Seconds of each; AssertionError unless the loaded engine has the same hash."""
        begin = clock()
        data = self._engine.snapshot()
        saved = clock()
        loaded = compiled.Engine.restore(data)
        end = clock()
        assert loaded.state_hash() == self._hash
        self._size = len(data)
        names = [target.name for target in self.targets]
        return {names[0]: (saved - begin) / 1e9, names[1]: (end - saved) / 1e9}

    def check(self) -> dict[str, Any]:
        """The loaded book has the same queues: the same orders are taken, in the same order."""
        loaded = compiled.Engine.restore(self._engine.snapshot())
        sweep = _sweep()
        offset = self._engine.next_offset
        said = self._engine.apply(offset, 0, sweep)
        assert loaded.apply(offset, 0, sweep) == said
        assert loaded.state_hash() == self._engine.state_hash()
        return {"bytes": self._size, "events_of_a_sweep": len(said) // 64}


def _sweep() -> bytes:
    """Two orders, one a side, that take about twenty thousand orders each."""
    table = np.zeros(2, COMMAND)
    table["kind"] = Command.NEW_ORDER
    table["instrument_id"] = table["account_id"] = 1
    table["side"] = [Side.BUY, Side.SELL]
    table["order_type"] = OrderType.LIMIT
    table["time_in_force"] = TimeInForce.IOC
    table["quantity"] = 1_000_000
    table["price"] = [150_000, 50_000]
    return frame(table.tobytes())
