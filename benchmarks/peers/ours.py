"""Our engine on the peers' flow, complete: accounts, holds, fees, sessions, client order ids.

An operation that replaces is two commands, a cancel and a new order, as it is for the peers.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from benchmarks.engine.runs import opened
from benchmarks.engine.throughput import arguments, call
from benchmarks.peers.driven import Driven, Peer
from benchmarks.peers.flow import BUY, CANCEL, NEW, Operation, Trade
from benchmarks.workload import START_NS, Commands, Workload, frame, opening
from matching.layout import (
    COMMAND,
    COUNT_MAX,
    EVENT,
    FILL,
    INDEX_BITS,
    RECORD_SIZE,
    Command,
    Event,
    Liquidity,
    OrderType,
    Side,
    TimeInForce,
)

Fills = Sequence[tuple[int, int, int]]  # contra order id, quantity, price

ACCOUNTS = 5_000
RESTING = 20_000  # at once, twice as many as the flow keeps
CHUNK = 250_000  # made beforehand with numpy, which would leave cold caches each time


class Packed:
    """Operations as command records; order ids are places on the log, so they are kept here."""

    def __init__(self, id_max: int, batch: int) -> None:
        self._batch = batch
        market = opening(1, ACCOUNTS).tobytes()
        step = COUNT_MAX * RECORD_SIZE
        frames = [frame(market[at : at + step], at // step) for at in range(0, len(market), step)]
        self.engine = opened(Workload(frames, [], 0, orders=RESTING, labels=id_max))
        self.next_offset = self.engine.next_offset
        self._ref = 0
        self._positions = np.zeros(id_max + 1, np.uint64)

    def commands(self, operations: Sequence[Operation]) -> Commands:
        """The records, in the order of the log. O(operations)."""
        kind, side, order, price, quantity, old = np.array(operations, np.int64).T
        named = np.where(kind == CANCEL, order, old)
        is_ended = kind != NEW
        is_new = kind != CANCEL
        # The cancel of an operation comes before its new order.
        rank = np.cumsum(is_ended.astype(np.int64) + is_new)
        total = int(rank[-1])
        table = np.zeros(total, COMMAND)
        place = np.arange(total)
        position = (self.next_offset + place // self._batch).astype(np.uint64) << np.uint64(
            INDEX_BITS
        )
        position |= (place % self._batch).astype(np.uint64)
        new, ended = (rank - 1)[is_new], (rank - 1 - is_new)[is_ended]
        self._positions[order[is_new]] = position[new]
        table["kind"][new] = Command.NEW_ORDER
        table["side"][new] = np.where(side[is_new] == BUY, Side.BUY, Side.SELL)
        table["order_type"][new] = OrderType.LIMIT
        table["time_in_force"][new] = TimeInForce.GTC
        table["instrument_id"][new] = 1
        table["quantity"][new], table["price"][new] = quantity[is_new], price[is_new]
        table["client_order_id"][new] = np.char.mod("%016d", order[is_new])
        table["account_id"][new] = order[is_new] % ACCOUNTS + 1
        table["kind"][ended] = Command.CANCEL_ORDER
        table["order_id"][ended] = self._positions[named[is_ended]]
        table["account_id"][ended] = named[is_ended] % ACCOUNTS + 1
        table["session_id"] = table["account_id"]
        table["ref"] = self._ref + place + 1
        self._ref += total
        self.next_offset += -(-total // self._batch)
        return table

    def frames(self, operations: Sequence[Operation]) -> list[tuple[int, int, bytes]]:
        """What `apply` takes, one by one. O(operations)."""
        first = self.next_offset
        data, step = self.commands(operations).tobytes(), self._batch * RECORD_SIZE
        return [
            (first + nth, START_NS, frame(data[at : at + step], first + nth))
            for nth, at in enumerate(range(0, len(data), step))
        ]

    def ids(self) -> dict[int, int]:
        """The flow's id of each order id. O(orders)."""
        return {int(at): order for order, at in enumerate(self._positions) if at}


def by_frames(id_max: int, is_kept: bool, batch: int) -> Driven:
    """Frames of so many commands made beforehand; what is said comes as packed records."""
    packed = Packed(id_max, batch)
    apply, kept = packed.engine.apply, list[bytes]()

    def run(prepared: list[tuple[int, int, bytes]]) -> None:
        for offset, append_ns, data in prepared:
            said = apply(offset, append_ns, data)
            if is_kept:
                kept.append(said)

    def finish() -> list[Trade]:
        rows = np.frombuffer(b"".join(kept), EVENT).view(FILL)
        is_trade = (rows["kind"] == Event.FILL) & (rows["order_type"] == Liquidity.TAKER)
        fills, ids = rows[is_trade], packed.ids()
        columns = ("contra_order_id", "order_id", "price", "quantity")
        trades = zip(*(fills[name].tolist() for name in columns), strict=True)
        return [(ids[maker], ids[taker], price, part) for maker, taker, price, part in trades]

    return Driven(run, prepare=packed.frames, finish=finish, check=packed.engine.self_check)


def by_call(id_max: int, is_kept: bool) -> Driven:
    """One call a command, with plain integers; the taker's fills are handed over as tuples."""
    packed = Packed(id_max, 1)
    taken: list[tuple[int, Fills]] = []  # place in its part of the flow
    parts: list[tuple[int, int]] = []  # first offset of a part, how many had met somebody before

    def prepare(operations: Sequence[Operation]) -> list[tuple[Any, ...]]:
        parts.append((packed.next_offset, len(taken)))
        rows = packed.commands(operations)
        return arguments(rows, [START_NS] * len(rows))

    def run(prepared: list[tuple[Any, ...]]) -> None:
        if not is_kept:
            call(packed.engine, prepared)
            return
        for at, one in enumerate(prepared):
            _, fills = packed.engine.apply_one(*one)
            if fills:
                taken.append((at, fills))

    def finish() -> list[Trade]:
        ids, trades = packed.ids(), list[Trade]()
        ends = [*(begin for _, begin in parts[1:]), len(taken)]
        for (first, begin), end in zip(parts, ends, strict=True):
            for at, fills in taken[begin:end]:
                taker = ids[first + at << INDEX_BITS]
                trades += [(ids[maker], taker, price, part) for maker, part, price in fills]
        return trades

    return Driven(run, prepare=prepare, finish=finish, check=packed.engine.self_check)


def _frames_of(batch: int) -> Peer:
    way = partial(by_frames, batch=batch)
    name = f"ours, frames of {batch:,}"
    return Peer(name, "", "Cython", "frames, records returned", True, way, CHUNK)


PEERS = [
    _frames_of(64),
    _frames_of(1_024),
    Peer("ours, call an order", "", "Cython", "call, trades as tuples", True, by_call, CHUNK),
]
