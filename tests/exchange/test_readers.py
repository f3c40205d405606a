"""Those who read events know what the engine knows, whatever an engine can be asked to do.

The flows are those which prove the two engines equal, so every command, order type and phase that
the engines have is met here too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import pytest

from exchange.audit.history import compare_positions
from exchange.marketdata.book import MarketBooks, encode_record
from exchange.marketdata.depth import Depth
from exchange.messages.frames import GENESIS, EventFollower, seal_events
from exchange.messages.market_data import BookLevel
from exchange.positions import Positions
from matching import Engine
from matching.layout import Queue, Side
from matching.snapshot import decode
from tests.matching import flows
from tests.matching.flows import Flow, Record


class Readers:
    """An engine and everybody who follows its events."""

    def __init__(self) -> None:
        self.engine = Engine()
        self.positions, self.depth, self.books = Positions(), Depth(), MarketBooks()
        self.follower, self.chain, self.records = EventFollower(), GENESIS, 0

    def apply(self, record: Record) -> bytes:
        engine, first = self.engine, self.engine.next_event
        output = engine.apply(*record)
        parts, self.chain = seal_events(
            output,
            input_offset=record[0],
            first_event=first,
            epoch=engine.epoch,
            time_ns=engine.time_ns,
            chain=self.chain,
        )
        for value in parts:
            part = self.follower.accept(self.records, value)
            assert part is not None
            self.positions.apply(part)
            said = self.depth.apply(part)
            if said is not None:
                self.books.apply(encode_record(said))
            self.records += 1
        return output

    def check(self) -> None:
        snapshot = self.engine.snapshot()
        assert compare_positions(self.positions, snapshot) == []
        state = decode(snapshot)
        display = {int(t["order_id"]): int(t["visible"]) for t in state.order_terms}
        levels: dict[tuple[int, int], dict[int, list[int]]] = defaultdict(dict)
        for order in state.orders[state.orders["queue"] == Queue.BOOK]:
            side = levels[int(order["instrument_id"]), int(order["side"])]
            level = side.setdefault(int(order["price"]), [0, 0])
            level[0] += display.get(int(order["order_id"]), 0) or int(order["leaves"])
            level[1] += 1
        for instrument in self.depth.instruments:
            book = self.books.book(instrument)
            for side, found in ((Side.BUY, book.bids), (Side.SELL, book.asks)):
                expected = levels.get((instrument, side), {})
                prices = sorted(expected, reverse=side == Side.BUY)
                shown = [BookLevel(price, *expected[price]) for price in prices]
                assert self.depth.levels(instrument, side) == found == shown


@pytest.mark.parametrize("commands", [flows.trading, flows.everything])
@pytest.mark.parametrize("seed", range(4))
def test_readers_know_what_the_engine_knows(seed: int, commands: Callable[[Flow], bytes]) -> None:
    readers, flow = Readers(), Flow(seed)
    for record in flow.opening():
        flow.hear(readers.apply(record))
    for number, record in enumerate(flow.frames(120, commands)):
        flow.hear(readers.apply(record))
        if number % 8 == 0:
            readers.check()
    readers.check()
    assert readers.positions.trades > 10
