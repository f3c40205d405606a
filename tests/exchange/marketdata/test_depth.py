"""The public book from events equals the engine's own, and every local copy of it."""

from __future__ import annotations

import random
import re
from collections import defaultdict
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.marketdata import checksum as checksum_module
from exchange.marketdata.bars import MINUTE_NS, Bars
from exchange.marketdata.book import (
    BookGapError,
    ChecksumError,
    LocalBook,
    MarketBooks,
    decode_record,
    encode_record,
)
from exchange.marketdata.checksum import checksum
from exchange.marketdata.depth import Depth
from exchange.messages.frames import (
    GENESIS,
    PART_RECORDS_MAX,
    Command,
    EventFollower,
    OrderType,
    Parameter,
    Phase,
    Resale,
    SettlementStep,
    Side,
    TimeInForce,
    build_commands,
    command,
    seal_events,
    settlement_tail,
)
from exchange.messages.market_data import (
    BookDelta,
    BookLevel,
    DayTick,
    MarketDataRecord,
    OrdersDelta,
    PhaseTick,
    StatisticsTick,
    TopTick,
    TradeCancelledTick,
    TradeTick,
)
from matching import Engine
from matching.snapshot import decode


class Shown:
    """An engine, the depth made from its events, and a subscriber that reads the records."""

    def __init__(self) -> None:
        self.engine, self.depth, self.books = Engine(), Depth(), MarketBooks()
        self.follower, self.chain, self.records = EventFollower(), GENESIS, 0

    def apply(self, frame: bytes) -> list[MarketDataRecord]:
        engine, offset, first = self.engine, self.engine.next_offset, self.engine.next_event
        events = engine.apply(offset, offset + 1, frame)
        parts, self.chain = seal_events(
            events,
            input_offset=offset,
            first_event=first,
            epoch=engine.epoch,
            time_ns=engine.time_ns,
            chain=self.chain,
        )
        said = []
        for value in parts:
            part = self.follower.accept(self.records, value)
            assert part is not None
            record = self.depth.apply(part)
            if record is not None:
                said.append(record)
                assert self.books.apply(encode_record(record)) == record
        return said


def engine_levels(engine: Any) -> dict[tuple[int, int], list[BookLevel]]:
    """(instrument, side) -> levels, best first, from the orders of the engine's snapshot."""
    totals: dict[tuple[int, int], dict[int, list[int]]] = defaultdict(dict)
    for order in decode(engine.snapshot()).orders:
        side = totals[int(order["instrument_id"]), int(order["side"])]
        level = side.setdefault(int(order["price"]), [0, 0])
        level[0] += int(order["leaves"])
        level[1] += 1
    return {
        key: [BookLevel(p, *side[p]) for p in sorted(side, reverse=key[1] == Side.BUY)]
        for key, side in totals.items()
    }


@pytest.mark.parametrize("seed", range(5))
def test_shadow_book_equals_the_engine_after_every_record(make_flow: Any, seed: int) -> None:
    shown = Shown()
    numbers: list[int] = []
    for frame in make_flow(seed).frames(250):
        numbers += [record.number for record in shown.apply(frame)]
        expected = engine_levels(shown.engine)
        for instrument in shown.depth.instruments:
            book = shown.books.book(instrument)
            bids = expected.get((instrument, Side.BUY), [])
            asks = expected.get((instrument, Side.SELL), [])
            assert shown.depth.levels(instrument, Side.BUY) == book.bids == bids
            assert shown.depth.levels(instrument, Side.SELL) == book.asks == asks
    assert numbers == list(range(len(numbers)))
    for instrument in shown.depth.instruments:
        ours = shown.depth.snapshot(instrument)
        theirs = shown.books.snapshot(instrument, reference_price=ours.reference_price)
        assert msgspec.structs.replace(theirs, time_ns=ours.time_ns) == ours


def test_what_an_order_that_only_passes_through_shows(make_flow: Any) -> None:
    shown, flow = Shown(), make_flow(0)
    opening = shown.apply(flow.opening())
    assert [type(item) for item in opening[0].items] == [PhaseTick] * 3
    order = {"instrument_id": 1, "order_type": OrderType.LIMIT, "price": 600}
    rest = command(
        Command.NEW_ORDER, account_id=1, side=Side.SELL, quantity=10,
        time_in_force=TimeInForce.GTC, **order,
    )  # fmt: skip
    take = command(
        Command.NEW_ORDER, account_id=2, side=Side.BUY, quantity=4,
        time_in_force=TimeInForce.IOC, **order,
    )  # fmt: skip
    (record,) = shown.apply(flow.frame([rest]))
    delta, orders, top = record.items
    assert (type(orders), type(top)) == (OrdersDelta, TopTick)
    assert isinstance(delta, BookDelta)
    assert (delta.bids, delta.asks) == ((), (BookLevel(600, 10, 1),))
    (record,) = shown.apply(flow.frame([take]))
    trade, delta, orders, top, statistics = record.items
    assert (type(orders), type(top)) == (OrdersDelta, TopTick)
    assert isinstance(statistics, StatisticsTick)
    assert (statistics.volume, statistics.turnover, statistics.trades) == (4, 2_400, 1)
    assert isinstance(trade, TradeTick)
    assert (trade.price, trade.quantity, trade.side) == (600, 4, Side.BUY)
    assert isinstance(delta, BookDelta)
    assert (delta.bids, delta.asks) == ((), (BookLevel(600, 6, 1),))
    assert shown.apply(flow.frame([command(Command.CLOCK_TICK)])) == []
    both = [
        command(
            Command.NEW_ORDER, account_id=3, side=Side.BUY, quantity=5, instrument_id=1,
            order_type=OrderType.LIMIT, price=590, time_in_force=TimeInForce.GTC,
        ),
        command(Command.CANCEL_ORDER, account_id=3, order_id=flow.offset << 16),
    ]  # fmt: skip
    assert shown.apply(flow.frame(both)) == []
    closing = [
        command(Command.PHASE_CHANGE, order_type=Phase.CLOSED),
        command(Command.DAY_ROLL, quantity=20260105),
    ]
    (record,) = shown.apply(flow.frame(closing))
    days = [item for item in record.items if isinstance(item, DayTick)]
    assert [(d.instrument_id, d.close_price, d.volume) for d in days] == [
        (1, 600, 4),
        (2, 600, 0),
        (3, 600, 0),
    ]
    assert shown.depth.snapshot(1).last_price == 600


def test_an_output_of_several_parts_is_one_change(make_flow: Any) -> None:
    shown, flow = Shown(), make_flow(0)
    shown.apply(flow.opening())
    order = {"instrument_id": 1, "order_type": OrderType.LIMIT, "price": 600, "account_id": 1}
    more = command(Command.UNITS_DEPOSIT, account_id=1, instrument_id=1, quantity=4_000)
    rest = command(
        Command.NEW_ORDER, side=Side.SELL, quantity=1, time_in_force=TimeInForce.GTC, **order
    )
    sweep = command(
        Command.NEW_ORDER,
        side=Side.BUY,
        quantity=5_000,
        time_in_force=TimeInForce.IOC,
        **(order | {"account_id": 2}),
    )
    for frame in ([more], [rest] * 3_000, [rest] * 3_000):
        shown.apply(flow.frame(frame))
    before = shown.engine.next_event
    (record,) = shown.apply(flow.frame([sweep]))
    assert shown.engine.next_event - before > PART_RECORDS_MAX
    assert sum(isinstance(item, TradeTick) for item in record.items) == 5_000
    assert sum(isinstance(item, BookDelta) for item in record.items) == 1
    assert shown.books.book(1).asks == [BookLevel(600, 1_000, 1_000)]


def delta(book: LocalBook, **given: Any) -> BookDelta:
    fields = {
        "instrument_id": book.instrument_id,
        "previous_sequence": book.sequence,
        "sequence": book.sequence + 1,
        "bids": (),
        "asks": (),
        "checksum": 0,
        "time_ns": 1,
    }
    return BookDelta(**(fields | given))


def test_a_local_book_notices_gaps_repeats_and_differences() -> None:
    book = LocalBook(1)
    one = (BookLevel(100, 5, 1),)
    assert book.apply(delta(book, bids=one, checksum=checksum(one, ())))
    assert not book.apply(delta(LocalBook(1), bids=one))
    with pytest.raises(BookGapError, match="the book is at 1"):
        book.apply(delta(book, previous_sequence=2, sequence=3))
    with pytest.raises(ChecksumError, match="the venue says 7"):
        book.apply(delta(book, checksum=7))
    with pytest.raises(ValueError, match="delta of instrument 2"):
        book.apply(delta(LocalBook(2)))


def test_a_snapshot_that_contradicts_itself_is_refused(make_flow: Any) -> None:
    shown = Shown()
    for frame in make_flow(1).frames(60):
        shown.apply(frame)
    snapshot = shown.depth.snapshot(1)
    assert LocalBook.from_snapshot(snapshot).bids == list(snapshot.bids)
    with pytest.raises(ChecksumError):
        LocalBook.from_snapshot(msgspec.structs.replace(snapshot, checksum=snapshot.checksum ^ 1))


def test_market_books_drop_repeats_and_refuse_gaps(make_flow: Any) -> None:
    shown = Shown()
    said = [record for frame in make_flow(2).frames(40) for record in shown.apply(frame)]
    books = MarketBooks()
    assert books.apply(encode_record(said[0])) == said[0]
    assert books.apply(encode_record(said[0])) is None
    with pytest.raises(BookGapError, match="marketdata 1 expected, found 2"):
        books.apply(encode_record(said[2]))


def test_the_example_of_the_procedure_is_true() -> None:
    text = checksum_module.__doc__ or ""
    example = re.search(r"`([\d:,]+\|[\d:,]+)` and the checksum (\d+)", text)
    assert example is not None
    asks, bids = ((7126, 10, 1), (7130, 5, 2)), ((7125, 3, 1),)
    found = checksum([BookLevel(*b) for b in bids], [BookLevel(*a) for a in asks])
    assert found == int(example[2])
    assert example[1] == "7126:10:1,7130:5:2|7125:3:1"


levels = st.lists(
    st.tuples(st.integers(1, 10**9), st.integers(1, 10**18), st.integers(1, 4_000_000)),
    max_size=14,
)


@given(levels, levels)
def test_checksum_covers_ten_levels_a_side_and_no_more(bids: Any, asks: Any) -> None:
    b, a = [BookLevel(*x) for x in bids], [BookLevel(*x) for x in asks]
    assert checksum(b, a) == checksum(b[:10], a[:10])
    if b != a and b[:10] != a[:10]:
        assert checksum(b, a) != checksum(a, b)
    if b:
        other = msgspec.structs.replace(b[0], orders=b[0].orders + 1)
        assert checksum([other, *b[1:]], a) != checksum(b, a)


def test_records_round_trip() -> None:
    record = MarketDataRecord(1, 5, 9, (TradeTick(1, 2, 3, 4, 1, 6), PhaseTick(1, 2, 3)))
    assert decode_record(encode_record(record)) == record


def test_bars_are_minutes_of_trades() -> None:
    bars, rolls = Bars(bars_max=3), random.Random(1)
    trades = [
        TradeTick(1, n, rolls.randrange(90, 111), rolls.randrange(1, 9), 1, n * MINUTE_NS // 4)
        for n in range(20)
    ]
    for trade in trades:
        bars.apply(trade)
    assert [bar.start_ns // MINUTE_NS for bar in bars.list()] == [2, 3, 4]
    for bar in bars.list():
        own = [t for t in trades if t.time_ns // MINUTE_NS * MINUTE_NS == bar.start_ns]
        prices = [t.price for t in own]
        assert (bar.open, bar.close) == (prices[0], prices[-1])
        assert (bar.high, bar.low) == (max(prices), min(prices))
        assert bar.volume == sum(t.quantity for t in own)


def test_refusals_show_nothing(make_flow: Any) -> None:
    shown, flow = Shown(), make_flow(0)
    shown.apply(flow.opening())
    refused = command(Command.NEW_ORDER, account_id=77, instrument_id=1, side=1, quantity=1)
    assert shown.apply(flow.frame([refused])) == []
    assert shown.apply(b"not a frame") == []


def test_a_trade_that_goes_back_is_told_and_a_delivery_is_not() -> None:
    shown = Shown()
    shown.apply(frame_of(
        command(Command.INSTRUMENT_OPEN, instrument_id=1),
        *(command(Command.ACCOUNT_OPEN, account_id=a, order_id=a) for a in (1, 2)),
        command(Command.UNITS_DEPOSIT, account_id=1, instrument_id=1, quantity=9),
        command(Command.CASH_DEPOSIT, account_id=2, quantity=900),
        command(
            Command.INSTRUMENT_PARAMETER, instrument_id=1, quantity=Resale.SETTLED,
            order_type=Parameter.RESALE_NEXT_DAY,
        ),
        command(Command.PHASE_CHANGE, order_type=Phase.CONTINUOUS),
    ))  # fmt: skip
    (record,) = shown.apply(frame_of(*(
        command(
            Command.NEW_ORDER, account_id=a, instrument_id=1, side=side, order_type=2, quantity=4,
            price=100,
        )
        for a, side in ((1, Side.SELL), (2, Side.BUY))
    )))  # fmt: skip
    (trade,) = (item for item in record.items if isinstance(item, TradeTick))

    def step(which: SettlementStep, quantity: int) -> list[MarketDataRecord]:
        cash = quantity * 100
        return shown.apply(frame_of(command(
            Command.SETTLE_TRADE, order_type=which, account_id=2, order_id=1, instrument_id=1,
            quantity=quantity, price=cash, client_order_id=settlement_tail(cash, trade.trade_id),
        )))  # fmt: skip

    assert step(SettlementStep.DELIVER, 1) == []
    for which, quantity in ((SettlementStep.VOID, 3), (SettlementStep.REVERSE, 1)):
        (told,) = step(which, quantity)
        item = told.items[0]
        assert isinstance(item, TradeCancelledTick)
        assert (item.trade_id, item.quantity) == (trade.trade_id, quantity)
        assert item.price == (100 if which == SettlementStep.VOID else 0)  # it goes back once


def frame_of(*records: bytes) -> bytes:
    return build_commands(records, writer=1, batch=1, time_ns=0)
