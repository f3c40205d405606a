"""The public book order by order equals the engine's, in content and in order of the queue."""

from __future__ import annotations

import re

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exchange.marketdata import checksum as checksum_module
from exchange.marketdata.book import (
    BookGapError,
    ChecksumError,
    LocalBook,
    LocalOrderBook,
)
from exchange.marketdata.checksum import CHECKSUM_ORDERS
from exchange.messages.frames import (
    Command,
    OrderType,
    Side,
    TimeInForce,
)
from exchange.messages.market_data import (
    BookLevel,
    MarketDataItem,
    OrderAction,
    OrderChange,
    OrdersDelta,
    OrdersSnapshot,
    RestingOrder,
    TradeTick,
)
from tests.exchange.marketdata.told import Market, Told, new, terms
from tests.matching.flows import WHOLE_FLOWS, Flow
from tests.matching.frames import command
from tests.matching.limit_flows import LIMIT_FLOWS
from tests.matching.maker_flows import MAKER_FLOWS

FLOWS = WHOLE_FLOWS | MAKER_FLOWS | LIMIT_FLOWS


def play(told: Told, flow: Flow, name: str, count: int, most: int) -> None:
    opening = [*flow.opening(), *([flow.rules()] if flow.random.random() < 0.5 else [])]
    for record in opening:
        flow.hear(told.heard(*record))
    for record in flow.frames(count, FLOWS[name], most=most):
        flow.hear(told.heard(*record))
        told.check()


@pytest.mark.parametrize("name", FLOWS)
def test_the_public_orders_stand_as_in_the_engine_after_every_command(name: str) -> None:
    told = Told()
    play(told, Flow(1), name, 120, most=1)


def test_the_flows_meet_every_action_and_long_queues() -> None:
    actions: set[int] = set()
    most = []
    for name in ("slices", "replace_chain", "same_price"):
        told = Told()
        play(told, Flow(1), name, 60, most=3)
        deltas = (item for item in told.said if isinstance(item, OrdersDelta))
        actions |= {change.action for delta in deltas for change in delta.changes}
        most.append(told.most_orders)
    assert actions == set(OrderAction)
    assert max(most) > 10


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32), st.sampled_from(sorted(FLOWS)), st.integers(2, 20))
def test_drawn_flows_of_whole_frames(seed: int, name: str, most: int) -> None:
    told = Told()
    play(told, Flow(seed), name, 25, most=most)
    for instrument_id in told.depth.instruments:
        snapshot = told.depth.orders_snapshot(instrument_id)
        book = LocalOrderBook.from_snapshot(snapshot)
        kept = told.books.order_book(instrument_id)
        assert (book.bids, book.asks) == (kept.bids, kept.asks)
        assert kept.snapshot() == msgspec.structs.replace(snapshot, time_ns=kept.time_ns)
        assert LocalBook.from_snapshot(told.depth.snapshot(instrument_id)).bids == (
            told.books.book(instrument_id).bids
        )


def test_a_subscriber_who_comes_later_goes_on_from_the_snapshot() -> None:
    told, flow = Told(), Flow(5)
    play(told, flow, "same_price", 60, most=3)
    late = LocalOrderBook.from_snapshot(told.depth.orders_snapshot(1))
    told.said.clear()
    for record in flow.frames(60, FLOWS["same_price"], most=3):
        flow.hear(told.heard(*record))
    deltas = [d for d in told.said if isinstance(d, OrdersDelta) and d.instrument_id == 1]
    assert [late.apply(delta) for delta in deltas] == [True] * len(deltas)
    assert len(deltas) > 10
    assert late.bids == told.books.order_book(1).bids
    assert not late.apply(deltas[0])


# -- what is shown and what is not --------------------------------------------------------------


def changes(items: list[MarketDataItem]) -> list[tuple[int, ...]]:
    """(action, side, id, price, quantity) of all changes."""
    return [
        (c.action, c.side, c.order_id, c.price, c.quantity)
        for item in items
        if isinstance(item, OrdersDelta)
        for c in item.changes
    ]


def test_an_iceberg_shows_its_slice_and_loses_its_place_with_the_next() -> None:
    market = Market()
    shown = market.send(new(Side.SELL, 100, 700), terms(display=10))
    assert changes(shown) == [(OrderAction.ADD, Side.SELL, 1, 700, 10)]
    market.order(Side.SELL, 5, 700)
    part = market.order(Side.BUY, 4, 700, account_id=2)
    assert changes(part) == [(OrderAction.CHANGE, Side.SELL, 1, 700, 6)]
    rest = market.order(Side.BUY, 6, 700, account_id=2)
    assert changes(rest) == [(OrderAction.MOVE, Side.SELL, 1, 700, 10)]
    assert [o.order_id for o in market.books.order_book(1).asks] == [2, 1]
    assert market.books.book(1).asks == [BookLevel(700, 15, 2)]


def test_a_smaller_order_keeps_its_place_and_a_larger_one_loses_it() -> None:
    market = Market()
    for _ in range(3):
        market.order(Side.BUY, 10, 600)
    first = (market.offset - 3) << 16
    replace = {"account_id": 1, "order_id": first, "price": 600}
    less = market.send(command(Command.REPLACE_ORDER, quantity=7, **replace))
    assert changes(less) == [(OrderAction.CHANGE, Side.BUY, 1, 600, 7)]
    more = market.send(command(Command.REPLACE_ORDER, quantity=8, **replace))
    assert changes(more) == [(OrderAction.MOVE, Side.BUY, 1, 600, 8)]
    away = market.send(command(Command.REPLACE_ORDER, quantity=8, **(replace | {"price": 590})))
    assert changes(away) == [(OrderAction.MOVE, Side.BUY, 1, 590, 8)]
    gone = market.send(command(Command.CANCEL_ORDER, account_id=1, order_id=first))
    assert changes(gone) == [(OrderAction.DELETE, Side.BUY, 1, 590, 0)]


def test_what_moves_last_in_a_frame_stands_last_whatever_was_touched_first() -> None:
    market = Market()
    market.order(Side.BUY, 10, 600)
    first = (market.offset - 1) << 16
    replace = {"account_id": 1, "order_id": first, "price": 600}
    told = market.send(
        command(Command.REPLACE_ORDER, quantity=7, **replace),
        new(Side.BUY, 3, 600),
        command(Command.REPLACE_ORDER, quantity=9, **replace),
    )
    assert changes(told) == [
        (OrderAction.ADD, Side.BUY, 2, 600, 3),
        (OrderAction.MOVE, Side.BUY, 1, 600, 9),
    ]


def test_an_iceberg_that_shrinks_in_place_keeps_what_is_left_of_its_slice() -> None:
    market = Market()
    market.send(new(Side.SELL, 100, 700), terms(display=10))
    name = (market.offset - 1) << 16
    market.order(Side.BUY, 4, 700, account_id=2)
    smaller = command(Command.REPLACE_ORDER, account_id=1, order_id=name, quantity=60, price=700)
    assert changes(market.send(smaller, terms(display=10))) == []
    assert market.books.order_book(1).asks == [RestingOrder(1, 700, 6)]


def test_what_waits_elsewhere_is_not_shown_and_leaves_no_trace_in_the_ids() -> None:
    market = Market()
    market.order(Side.SELL, 5, 700)
    market.order(Side.BUY, 5, 700, account_id=2)
    stop = new(Side.BUY, 5, 720, order_type=OrderType.STOP_LIMIT, account_id=2)
    assert changes(market.send(stop, terms(stop=710))) == []
    at_the_close = {"time_in_force": TimeInForce.AT_THE_CLOSE}
    assert changes(market.order(Side.SELL, 5, 730, **at_the_close)) == []
    market.send(command(
        Command.INSTRUMENT_PARAMETER, instrument_id=1, order_type=20, quantity=1
    ))  # fmt: skip
    block = command(
        Command.BLOCK_PROPOSE, account_id=1, instrument_id=1, side=Side.SELL, quantity=50,
        price=700, order_id=2,
    )  # fmt: skip
    offer = command(
        Command.AUCTION_OPEN, account_id=1, instrument_id=1, side=Side.SELL, quantity=50,
        order_type=1, time_in_force=1,
    )  # fmt: skip
    for hidden in (block, offer):
        before = market.engine.next_event
        assert changes(market.send(hidden)) == []
        assert market.engine.next_event > before
    shown = market.order(Side.SELL, 1, 740)
    assert changes(shown) == [(OrderAction.ADD, Side.SELL, 3, 740, 1)]


def test_an_order_that_only_passes_is_no_order_of_the_book() -> None:
    market = Market()
    market.order(Side.SELL, 5, 700)
    items = market.order(Side.BUY, 9, 700, account_id=2, time_in_force=TimeInForce.IOC)
    assert changes(items) == [(OrderAction.DELETE, Side.SELL, 1, 700, 0)]
    assert sum(isinstance(item, TradeTick) for item in items) == 1


# -- the subscriber's end -----------------------------------------------------------------------


def delta(sequence: int, checksum: int, *changes: OrderChange) -> OrdersDelta:
    return OrdersDelta(1, sequence - 1, sequence, changes, checksum, 1)


def test_a_local_order_book_notices_gaps_repeats_differences_and_another_order() -> None:
    market = Market()
    for quantity in (5, 6):
        market.order(Side.SELL, quantity, 700)
    one, two = (item for item in market.said if isinstance(item, OrdersDelta))
    book = LocalOrderBook(1)
    with pytest.raises(BookGapError, match="the book is at 0"):
        book.apply(two)
    assert book.apply(one)
    assert not book.apply(one)
    assert book.apply(two)
    with pytest.raises(ChecksumError, match="the venue says 7"):
        book.apply(delta(3, 7))
    with pytest.raises(ChecksumError, match="order 99 is not in the book"):
        book.apply(delta(4, 7, OrderChange(OrderAction.DELETE, Side.SELL, 99, 700, 0)))
    with pytest.raises(ValueError, match="delta of instrument 1"):
        LocalOrderBook(2).apply(one)
    snapshot = market.depth.orders_snapshot(1)
    turned = msgspec.structs.replace(snapshot, asks=snapshot.asks[::-1])
    with pytest.raises(ChecksumError):  # the same orders in another order of the queue
        LocalOrderBook.from_snapshot(turned)


def test_the_example_of_the_procedure_is_true() -> None:
    text = checksum_module.__doc__ or ""
    example = re.search(r"`([\d:,]+\|[\d:,]+)` and the checksum (\d+)\.\n\nAfter", text)
    assert example is not None
    asks = (RestingOrder(11, 7126, 10), RestingOrder(8, 7126, 4))
    snapshot = OrdersSnapshot(1, 1, (RestingOrder(9, 7125, 3),), asks, int(example[2]), 1)
    assert LocalOrderBook.from_snapshot(snapshot).asks == list(asks)
    assert example[1] == "7126:11:10,7126:8:4|7125:9:3"


def test_the_checksum_covers_ten_levels_and_a_hundred_orders_of_each() -> None:
    def total(orders: list[RestingOrder]) -> int:
        book = LocalOrderBook(1)
        changes = [OrderChange(OrderAction.ADD, Side.SELL, *order_of(o)) for o in orders]
        with pytest.raises(ChecksumError):
            book.apply(delta(1, -1, *changes))
        return book.checksum()

    deep = [RestingOrder(at, 700, 1) for at in range(1, CHECKSUM_ORDERS + 2)]
    assert total(deep) == total(deep[:-1])
    assert total(deep[:-1]) != total(deep[:-2])
    wide = [RestingOrder(at, 700 + at, 1) for at in range(11)]
    assert total(wide) == total(wide[:-1])
    assert total(wide[:-1]) != total(wide[:-2])


def order_of(order: RestingOrder) -> tuple[int, int, int]:
    return order.order_id, order.price, order.quantity
