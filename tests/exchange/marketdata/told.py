"""The reference engine beside the public book made from its events, and a small market on it."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from exchange.marketdata.book import MarketBooks, encode_record
from exchange.marketdata.depth import Depth
from exchange.messages.frames import (
    GENESIS,
    Command,
    EventFollower,
    OrderType,
    Phase,
    Side,
    TimeInForce,
    seal_events,
)
from exchange.messages.market_data import BookLevel, MarketDataItem, MarketDataRecord, RestingOrder
from matching.layout import Queue
from matching.reference import Engine
from tests.matching.frames import command, frame


class Told:
    """The reference engine, the depth made from its events, and a subscriber of both kinds."""

    def __init__(self) -> None:
        self.engine, self.depth, self.books = Engine(), Depth(), MarketBooks()
        self.follower, self.chain, self.parts = EventFollower(), GENESIS, 0
        self.said: list[MarketDataItem] = []
        self.records: list[MarketDataRecord] = []
        self.most_orders = 0  # that stood on one side

    def heard(self, offset: int, now: int, data: bytes) -> bytes:
        """What the engine says to a record of `orders`; the public and its subscriber hear it."""
        engine, first = self.engine, self.engine.next_event
        said: bytes = engine.apply(offset, now, data)
        parts, self.chain = seal_events(
            said, input_offset=offset, first_event=first, epoch=engine.epoch,
            time_ns=engine.time_ns, chain=self.chain,
        )  # fmt: skip
        for value in parts:
            part = self.follower.accept(self.parts, value)
            assert part is not None
            self.parts += 1
            record = self.depth.apply(part)
            if record is not None:
                assert self.books.apply(encode_record(record)) == record
                self.said += record.items
                self.records.append(record)
        return said

    def check(self) -> None:
        """Orders as in the engine's queues; levels as their sum; the top as the best of levels."""
        for instrument_id, instrument in self.engine._state.instruments.items():
            book = self.books.order_book(instrument_id)
            level_book = self.books.book(instrument_id)
            ours = {Side.BUY: book.bids, Side.SELL: book.asks}
            levels = {Side.BUY: level_book.bids, Side.SELL: level_book.asks}
            best = []
            for side in Side:
                queue = list(instrument.queues[Queue.BOOK, side])
                expected = [
                    RestingOrder(self.depth.public_id(o.order_id), o.price, o.showing)
                    for o in queue
                ]
                assert ours[side] == expected
                assert all(order.order_id for order in expected)
                assert levels[side] == sums(expected) == book.levels(side)
                best.append(levels[side][0] if levels[side] else BookLevel(0, 0, 0))
                self.most_orders = max(self.most_orders, len(expected))
            top = self.books.tops.get(instrument_id)
            found = [BookLevel(0, 0, 0)] * 2 if top is None else [
                BookLevel(top.bid_price, top.bid_quantity, top.bid_orders),
                BookLevel(top.ask_price, top.ask_quantity, top.ask_orders),
            ]  # fmt: skip
            assert found == best


def sums(orders: list[RestingOrder]) -> list[BookLevel]:
    totals: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    for order in orders:
        totals[order.price][0] += order.quantity
        totals[order.price][1] += 1
    return [BookLevel(price, *total) for price, total in totals.items()]


class Market(Told):
    """One instrument in CONTINUOUS, two accounts with means."""

    def __init__(self) -> None:
        super().__init__()
        self.offset = 0
        self.send(command(Command.INSTRUMENT_OPEN, instrument_id=1))
        for account in (1, 2):
            self.send(
                command(Command.ACCOUNT_OPEN, account_id=account, order_id=account),
                command(Command.CASH_DEPOSIT, account_id=account, quantity=10**9),
                command(Command.UNITS_DEPOSIT, account_id=account, instrument_id=1, quantity=9_999),
            )
        self.send(command(Command.PHASE_CHANGE, order_type=Phase.CONTINUOUS))

    def send(self, *commands: bytes, now: int = 0) -> list[MarketDataItem]:
        """The items that one frame of commands causes, at `now` (ns; 0: a nanosecond later)."""
        before = len(self.said)
        at = now or self.engine.time_ns + 1
        self.heard(self.offset, at, frame(list(commands), at))
        self.offset += 1
        self.check()
        return self.said[before:]

    def order(
        self, side: Side, quantity: int, price: int, now: int = 0, **fields: Any
    ) -> list[MarketDataItem]:
        """What one order of account 1 causes."""
        return self.send(new(side, quantity, price, **fields), now=now)

    def trade(self, quantity: int, price: int, now: int = 0) -> list[MarketDataItem]:
        """Account 2 buys from account 1."""
        self.order(Side.SELL, quantity, price, now)
        return self.order(Side.BUY, quantity, price, account_id=2)


def new(side: Side, quantity: int, price: int, **fields: Any) -> bytes:
    given = {"account_id": 1, "order_type": OrderType.LIMIT, "time_in_force": TimeInForce.GTC}
    return command(
        Command.NEW_ORDER, instrument_id=1, side=side, quantity=quantity, price=price,
        **(given | fields),
    )  # fmt: skip


def terms(stop: int = 0, display: int = 0) -> bytes:
    return command(Command.ORDER_TERMS, ref=stop, quantity=display)
