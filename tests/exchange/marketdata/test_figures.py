"""Top of the book, bars, statistics of the day and auctions: from events alone, each once."""

from __future__ import annotations

from exchange.marketdata.bars import DAY_NS, HOUR_NS, MINUTE_NS
from exchange.messages.frames import Command, Phase, SettlementStep, Side, settlement_tail
from exchange.messages.market_data import (
    AuctionTick,
    BarState,
    BarTick,
    BiddingTick,
    MarketDataItem,
    StatisticsTick,
    TopTick,
    TradeTick,
)
from tests.exchange.marketdata.told import Market, new
from tests.matching.frames import command

START = 3 * DAY_NS


def of(items: list[MarketDataItem], kind: type) -> list[MarketDataItem]:
    return [item for item in items if isinstance(item, kind)]


def tops(items: list[MarketDataItem]) -> list[tuple[int, ...]]:
    return [
        (t.bid_price, t.bid_quantity, t.bid_orders, t.ask_price, t.ask_quantity, t.ask_orders,
         t.last_price, t.last_quantity)
        for t in items if isinstance(t, TopTick)
    ]  # fmt: skip


def bars(items: list[MarketDataItem]) -> list[tuple[int, ...]]:
    return [
        (b.width_ns, b.start_ns, b.open, b.high, b.low, b.close, b.volume, b.state)
        for b in items if isinstance(b, BarTick)
    ]  # fmt: skip


def statistics(items: list[MarketDataItem]) -> list[tuple[int, ...]]:
    return [
        (s.open, s.high, s.low, s.last, s.vwap, s.volume, s.turnover, s.trades, s.previous_close,
         s.close, s.change)
        for s in items if isinstance(s, StatisticsTick)
    ]  # fmt: skip


def test_the_top_is_said_when_it_changes_and_only_then() -> None:
    market = Market()
    assert tops(market.order(Side.BUY, 5, 600)) == [(600, 5, 1, 0, 0, 0, 0, 0)]
    assert tops(market.order(Side.BUY, 5, 590)) == []  # behind the best
    assert tops(market.order(Side.SELL, 3, 610)) == [(600, 5, 1, 610, 3, 1, 0, 0)]
    assert tops(market.order(Side.BUY, 1, 610, account_id=2)) == [(600, 5, 1, 610, 2, 1, 610, 1)]
    both = market.send(new(Side.SELL, 4, 605), new(Side.BUY, 4, 605, account_id=2))
    assert tops(both) == [(600, 5, 1, 610, 2, 1, 605, 4)]


def test_bars_of_three_widths_are_said_when_their_time_is_over() -> None:
    market = Market()
    market.trade(5, 600, START + 5)
    assert bars(market.trade(2, 590)) == []
    tick = command(Command.CLOCK_TICK)
    assert bars(market.send(tick, now=START + MINUTE_NS - 1)) == []
    (one,) = bars(market.send(tick, now=START + MINUTE_NS))
    assert one == (MINUTE_NS, START, 600, 600, 590, 590, 7, BarState.COMPLETE)
    assert bars(market.send(tick, now=START + 2 * MINUTE_NS)) == []  # none without a trade
    market.trade(3, 620, START + 2 * MINUTE_NS + 1)
    said = bars(market.order(Side.SELL, 1, 700, START + HOUR_NS))  # any part of events will do
    assert said == [
        (MINUTE_NS, START + 2 * MINUTE_NS, 620, 620, 620, 620, 3, BarState.COMPLETE),
        (HOUR_NS, START, 600, 620, 590, 620, 10, BarState.COMPLETE),
    ]
    market.order(Side.BUY, 1, 700, account_id=2)
    said = bars(market.send(tick, now=START + DAY_NS + 9))
    assert [bar[:2] for bar in said] == [
        (MINUTE_NS, START + HOUR_NS), (HOUR_NS, START + HOUR_NS), (DAY_NS, START),
    ]  # fmt: skip
    assert said[-1] == (DAY_NS, START, 600, 700, 590, 700, 11, BarState.COMPLETE)
    assert bars(market.send(tick, now=START + 9 * DAY_NS)) == []


def test_a_trade_that_goes_back_leaves_the_bars_that_run_and_the_statistics() -> None:
    market = Market()
    market.trade(5, 600, START + 5)
    (trade,) = of(market.trade(2, 900, START + MINUTE_NS), TradeTick)
    assert isinstance(trade, TradeTick)
    cash = 2 * 900
    back = command(
        Command.SETTLE_TRADE, order_type=SettlementStep.REVERSE, account_id=2, order_id=1,
        instrument_id=1, quantity=2, price=cash,
        client_order_id=settlement_tail(cash, trade.trade_id),
    )  # fmt: skip
    said = market.send(back)
    assert [bar[0] for bar in bars(said)] == [MINUTE_NS, HOUR_NS, DAY_NS]
    assert {bar[-1] for bar in bars(said)} == {BarState.CORRECTED}
    assert statistics(said) == [(600, 600, 600, 600, 600, 5, 3_000, 1, 0, 0, 0)]
    assert tops(said) == [(0, 0, 0, 0, 0, 0, 600, 5)]
    later = market.send(command(Command.CLOCK_TICK), now=START + HOUR_NS)
    assert bars(later) == [(HOUR_NS, START, 600, 600, 600, 600, 5, BarState.COMPLETE)]


def test_statistics_of_the_day_and_its_close() -> None:
    market = Market()
    assert statistics(market.trade(1, 600, START)) == [
        (600, 600, 600, 600, 600, 1, 600, 1, 0, 0, 0)
    ]
    assert statistics(market.trade(2, 590)) == [(600, 600, 590, 590, 593, 3, 1_780, 2, 0, 0, 0)]
    assert statistics(market.order(Side.SELL, 1, 700)) == []
    roll = [
        command(Command.PHASE_CHANGE, order_type=Phase.CLOSED),
        command(Command.DAY_ROLL, quantity=20260102),
        command(Command.PHASE_CHANGE, order_type=Phase.CONTINUOUS),
    ]
    assert statistics(market.send(*roll)) == [(600, 600, 590, 590, 593, 3, 1_780, 2, 0, 593, 0)]
    assert statistics(market.trade(4, 603)) == [(603, 603, 603, 603, 603, 4, 2_412, 1, 593, 0, 10)]
    quiet = [*roll[:1], command(Command.DAY_ROLL, quantity=20260103), *roll[2:]]
    market.send(*quiet)
    still = [*roll[:1], command(Command.DAY_ROLL, quantity=20260104)]
    assert statistics(market.send(*still)) == [(0, 0, 0, 0, 0, 0, 0, 0, 603, 603, 0)]


def test_until_when_bids_are_heard_is_said_when_it_is_known() -> None:
    market = Market()
    name = market.offset << 16
    said = market.send(
        command(
            Command.AUCTION_OPEN, account_id=1, instrument_id=1, side=Side.SELL, quantity=50,
            order_type=1, time_in_force=1,
        ),
        command(Command.AUCTION_TERMS, quantity=2**62, price=7),
    )  # fmt: skip
    (tick,) = said
    assert isinstance(tick, BiddingTick)
    assert (tick.auction_id, tick.side, tick.offered_quantity) == (name, Side.SELL, 50)
    assert (tick.instrument_id, tick.closes_ns) == (1, 2**62)
    (ended,) = market.send(command(Command.AUCTION_CANCEL, instrument_id=1, order_id=name))
    assert isinstance(ended, AuctionTick)


def test_of_an_auction_its_result_alone_is_said() -> None:
    market = Market()
    auction = {"account_id": 1, "instrument_id": 1, "side": Side.SELL}
    name = market.offset << 16
    opened = market.send(command(
        Command.AUCTION_OPEN, quantity=50, order_type=1, time_in_force=1, **auction
    ))  # fmt: skip
    bid = command(
        Command.AUCTION_BID, account_id=2, instrument_id=1, side=Side.BUY, quantity=30, price=640,
        order_id=name,
    )  # fmt: skip
    assert market.send(bid) == opened == []
    ended = market.send(command(Command.AUCTION_CLEAR, order_id=name, **auction))
    (result,) = of(ended, AuctionTick)
    assert isinstance(result, AuctionTick)
    assert (result.auction_id, result.side, result.price) == (name, Side.SELL, 640)
    assert (result.quantity, result.bid_quantity, result.offered_quantity) == (30, 30, 50)
    assert result.reason == 0
    assert statistics(ended) == bars(ended) == tops(ended) == []
    name = market.offset << 16
    market.send(command(
        Command.AUCTION_OPEN, quantity=20, order_type=1, time_in_force=1, **auction
    ))  # fmt: skip
    (ended,) = market.send(command(Command.AUCTION_CANCEL, order_id=name, **auction))
    assert isinstance(ended, AuctionTick)
    assert (ended.price, ended.quantity, ended.offered_quantity) == (0, 0, 20)
    assert ended.reason
