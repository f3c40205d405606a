"""Sealed bids over FIX and the socket: entered, changed, withdrawn and filled like orders."""

from __future__ import annotations

import pytest

from exchange.messages.operations import AuctionCancel, AuctionClear, AuctionOpen
from exchange.messages.orders import AuctionBid
from exchange.messages.reasons import EdgeReason
from gateway.client import Client
from gateway.fix import requests
from gateway.fix.codec import utc_text
from gateway.refusal import Refused
from tests.gateway.fix.conftest import FixHouse
from tests.gateway.fix.test_fix_words import message

EUA = {"ref": 0, "symbol": "EUA"}


async def opened(operator: Client) -> int:
    """An auction of what Northern has."""
    opening = AuctionOpen(**EUA, account=101, quantity=500, format="eu-primary", label="one")
    await operator.run_auction(opening)
    return (await operator.auctions("EUA"))[-1].auction_id


async def test_a_bid_over_fix_is_changed_and_filled(house: FixHouse, northern: Client) -> None:
    broker = house.broker("huadong")
    await broker.enter(house.port)
    async with house.client("operator") as operator:
        auction = await opened(operator)
        broker.order("bid", t1=102, t20008=auction, t38=500, t44="71.25")
        new = await broker.take("8")
        assert [new.get(tag) for tag in (150, 11, 40, 44, 38)] == ["0", "bid", "2", "71.25", "500"]
        broker.order("odd", t1=102, t20008=auction, t38=501, t44="71.25")
        assert (await broker.take("8")).get(150) == "8"
        broker.say("G", *house_change("more", "bid", new.get(37)))
        assert (await broker.take("8")).get(150) == "5"
        await operator.run_auction(AuctionClear(**EUA, auction_id=auction))
        fill = await broker.take("8")
        while fill.get(150) != "F":  # the bid that is too large for what is offered is cut
            fill = await broker.take("8")
        assert [fill.get(tag) for tag in (32, 31, 20007)] == ["500", "71.50", "AUCTION"]
        assert fill.get(75) == fill.get(64) != ""
    assert (await northern.auctions("EUA"))[-1].state == "CLEARED"


def house_change(label: str, original: str, order_id: str) -> list[tuple[int, object]]:
    return [(11, label), (41, original), (37, order_id), (1, 102), (55, "EUA"), (54, 1), (38, 1000),
            (40, 2), (44, "71.50"), (60, "20261130-00:00:00.000")]  # fmt: skip


async def test_a_bid_goes_over_the_socket(house: FixHouse, huadong: Client) -> None:
    async with house.client("operator") as operator:
        auction = await opened(operator)
        bid = AuctionBid(**EUA, account=102, auction_id=auction, quantity=500, price="71.25")
        report = await huadong.order(bid)
        assert (report.order_status, report.order_type) == ("NEW", "BID")
        assert (await huadong.stream()).reports[-1] == report
        withdrawn = await huadong.cancel_order("EUA", 102, report.order_id)
        assert withdrawn.order_status == "CANCELLED"


def test_a_bid_has_a_price_and_no_terms() -> None:
    (bid,) = requests.new_order(message("D", t20008="77"), 9, ["EU"])
    assert bid == AuctionBid(
        ref=9, symbol="EUA", account=101, auction_id=77, quantity="10", price="70.00",
        client_order_id="two",
    )  # fmt: skip
    for wrong in ({"t40": "1"}, {"t59": "3"}, {"t111": "5"}, {"t18": "6"}, {"t20004": "8"},
                  {"t20008": "x"}):  # fmt: skip
        with pytest.raises(Refused) as refused:
            requests.new_order(message("D", **({"t20008": "77"} | wrong)), 9, ["EU"])
        assert refused.value.row.number == EdgeReason.INVALID_FIELD


async def test_who_asks_hears_of_auctions_of_an_instrument(house: FixHouse) -> None:
    broker = house.broker("huadong")
    await broker.enter(house.port)
    broker.say("e", (324, "s1"), (55, "EUA"), (263, 1))
    status = await broker.take("f")
    assert [status.get(tag) for tag in (324, 55, 336, 625, 326, 20008)] == [
        "s1", "EUA", "EU", "CONTINUOUS", "17", "",
    ]  # fmt: skip
    closes_ns = house.clock.now_ns() + 3_600_000_000_000
    async with house.client("operator") as operator:
        opening = AuctionOpen(
            **EUA, account=101, quantity=500, format="eu-primary", label="one",
            closes_ns=closes_ns,
        )  # fmt: skip
        await operator.run_auction(opening)
        (row,) = await operator.auctions("EUA")
        opened = await broker.take("f")
        terms = (324, 20008, 20009, 20010, 20011, 20012, 20014, 20019, 20020, 20021)
        assert [opened.get(tag) for tag in terms] == [
            "s1", str(row.auction_id), "OPEN", "one", "2", "UNIFORM", "500", utc_text(closes_ns),
            "", "",
        ]  # fmt: skip
        late = house.broker("northern")  # who asks later is told of what is open
        await late.enter(house.port)
        late.say("e", (324, "s2"), (55, "EUA"), (263, 0))
        assert (await late.take("f")).get(20019) == utc_text(closes_ns)
        broker.order("bid", t1=102, t20008=row.auction_id, t38=500, t44="71.25")
        await broker.take("8")
        await operator.run_auction(AuctionCancel(**EUA, auction_id=row.auction_id))
        ended = [message for message in [await broker.next() for _ in range(2)] if message]
        told = next(message for message in ended if message.msg_type == "f")
        result = (20008, 20009, 20021, 20022, 20023)
        assert [told.get(tag) for tag in result] == [
            str(row.auction_id), "CANCELLED", "500", "0", "",
        ]  # fmt: skip
        assert told.get(20020)
        assert (await late.take("8")).get(150) == "4"  # of the account that offered
        assert await late.silent()


async def test_the_result_of_an_auction_is_told_until_nobody_asks_for_more(
    house: FixHouse,
) -> None:
    broker = house.broker("huadong")
    await broker.enter(house.port)
    async with house.client("operator") as operator:
        auction = await opened(operator)
        broker.order("bid", t1=102, t20008=auction, t38=500, t44="71.25")
        await broker.take("8")
        broker.say("e", (324, "s1"), (55, "EUA"), (263, 1))
        assert (await broker.take("f")).get(20009) == "OPEN"
        await operator.run_auction(AuctionClear(**EUA, auction_id=auction))
        heard = [await broker.next(), await broker.next()]
        told = next(message for message in heard if message and message.msg_type == "f")
        assert [told.get(tag) for tag in (20009, 20021, 20022, 20023, 20024)] == [
            "CLEARED", "500", "500", "71.25", "35625.00",
        ]  # fmt: skip
        broker.say("e", (324, "s1"), (55, "EUA"), (263, 2))
        await opened(operator)
        house.fix.tick()
        broker.say("e", (324, "s2"), (55, "NONE"), (263, 1))
        refused = await broker.take("j")
        assert [refused.get(tag) for tag in (372, 380, 20001)] == [
            "e", "2", str(int(EdgeReason.UNKNOWN_SYMBOL)),
        ]  # fmt: skip
