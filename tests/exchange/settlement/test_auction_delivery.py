"""A primary auction through engine, settlement and registry: cancelled, then redistributed."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator
from typing import Any

import pytest

from exchange import topics
from exchange.auctions import AuctionReport, Auctions, calendar_now
from exchange.database import Database
from exchange.ledger import CASH, FEE_INCOME
from exchange.messages.frames import Command, EventFollower, Instruction, Parameter, Side, command
from exchange.registry import queries as registry_queries
from exchange.rulebook import load_auction_formats, terms
from exchange.rulebook.auction_calendar import AuctionCalendar, ScheduledAuction, plan_calendar
from exchange.rulebook.auction_data import SeriesYear, VolumePeriod, load_supply_data
from exchange.rulebook.revenue import by_auctioneer, by_beneficiary
from exchange.settlement.queries import ledger_balances
from tests.books_desk import CN, Desk, check
from tests.books_venue import (
    CEA_2024,
    HUADONG,
    NORTHERN,
    YANGTZE,
    deposit,
    instruction,
    issue,
    release,
)

HOLDING, DELIVERY, BIDDER = NORTHERN, HUADONG, YANGTZE
"""The auctioneer's accounts (100-14 and 100-13), and a bidder; the holding account bids too."""
CASH_EACH = 10**12
FEE_BP = 10


@pytest.fixture
async def desk(memory_log: Any, books: Database) -> AsyncIterator[Desk]:
    await memory_log.create(topics.of_market(CN))
    found = Desk(memory_log, books)
    await found.open()
    await found.act(
        command(
            Command.INSTRUMENT_PARAMETER,
            instrument_id=CEA_2024,
            order_type=Parameter.AUCTION_FEE_BP,
            quantity=FEE_BP,
        )
    )
    yield found
    await check(found)
    await found.close()


def planned() -> AuctionCalendar:
    """Two auctioneers, five auctions of 2,000 t: 1,500 and 500."""
    days = [dt.date(2026, 11, 4) + dt.timedelta(7 * week) for week in range(5)]
    end = days[-1]
    return plan_calendar(
        load_supply_data().series_of("eex-pl"),
        SeriesYear(year=2026, dates=tuple(days)),
        {
            "state": [VolumePeriod(until=end, volume_t=7_500)],
            "fund": [VolumePeriod(until=end, volume_t=2_500)],
        },
    )


def results(desk: Desk) -> list[AuctionReport]:
    follower, auctions = EventFollower(), Auctions()
    for row in desk.log.rows[desk.pump.events]:
        part = follower.accept(row.offset, row.value)
        assert part is not None
        auctions.apply(part)
    return list(auctions.reports())


async def provide(desk: Desk, quantity: int) -> None:
    """From the auction holding account to the delivery account, and into trading."""
    await desk.act(
        instruction(
            Instruction.TRANSFER, account_id=HOLDING, instrument_id=CEA_2024, quantity=quantity,
            price=DELIVERY,
        )
    )  # fmt: skip
    await desk.act(deposit(DELIVERY, CEA_2024, quantity))


async def hold(desk: Desk, item: ScheduledAuction, bids: list[tuple[int, int, int]]) -> None:
    """Opens an auction of the calendar, bids (account, tonnes, price), closes it."""
    opening = terms(load_auction_formats().format_of("eu-primary"), item.volume_t)
    offset = await desk.pump.send(
        command(
            Command.AUCTION_OPEN, account_id=DELIVERY, instrument_id=CEA_2024,
            client_order_id=item.id.encode(), **opening._asdict(),
        )
    )  # fmt: skip
    auction = offset << 16
    for account, quantity, price in bids:
        await desk.pump.send(
            command(
                Command.AUCTION_BID, side=Side.BUY, account_id=account, instrument_id=CEA_2024,
                order_id=auction, quantity=quantity, price=price,
            )
        )  # fmt: skip
    await desk.act(command(Command.AUCTION_CLEAR, instrument_id=CEA_2024, order_id=auction))


async def positions(desk: Desk, account: int) -> dict[str, int]:
    found = await registry_queries.holdings_of(desk.books, CN, account)
    tonnes: dict[str, int] = {}
    for row in found:
        tonnes[row.position.name] = tonnes.get(row.position.name, 0) + row.quantity
    return tonnes


async def test_what_is_cancelled_is_sold_later_delivered_and_paid(desk: Desk) -> None:
    plan = planned()
    await desk.act(issue(HOLDING, CEA_2024, 10_000))
    await provide(desk, 4_500)

    # 2,000 t offered, 1,500 t bid: nothing is sold, everything is given back
    before = await ledger_balances(desk.books, CN)
    await hold(desk, plan.auctions[0], [(BIDDER, 1_500, 8_000)])
    assert await ledger_balances(desk.books, CN) == before
    now = calendar_now(plan, results(desk))
    assert [item.volume_t for item in now.auctions] == [2_000, 2_500, 2_500, 2_500, 2_500]
    assert [share.volume_t for share in now.auctions[1].shares] == [2_000, 500]
    assert now.total_t == 10_000

    # 2,500 t offered, 3,000 t bid: the lowest accepted price for all
    await hold(desk, now.auctions[1], [(BIDDER, 2_000, 8_000), (HOLDING, 1_000, 7_900)])
    report = results(desk)[-1]
    assert (report.price, report.sold_t, report.cover_hundredths) == (7_900, 2_500, 120)
    assert report.revenue == 2_500 * 7_900
    ledger = await ledger_balances(desk.books, CN)
    fee = {HOLDING: 500 * 7_900 // 1_000, BIDDER: 2_000 * 7_900 // 1_000}
    assert ledger[DELIVERY, CASH] == CASH_EACH + report.revenue - sum(fee.values())
    assert ledger[BIDDER, CASH] == CASH_EACH - 2_000 * 7_900 - fee[BIDDER]
    assert ledger[HOLDING, CASH] == CASH_EACH - 500 * 7_900 - fee[HOLDING]
    assert ledger[FEE_INCOME, CASH] == 2 * sum(fee.values())

    # the registry has delivered block by block; what was not offered waits for the next auction
    assert await positions(desk, BIDDER) == {"TRADING": 2_000}
    assert await positions(desk, HOLDING) == {"REGISTRY": 5_500, "TRADING": 500}
    assert await positions(desk, DELIVERY) == {"TRADING": 2_000}
    await desk.act(release(BIDDER, CEA_2024, 2_000))
    assert await positions(desk, BIDDER) == {"REGISTRY": 2_000}
    now = calendar_now(plan, results(desk))
    assert [item.state for item in now.auctions[:3]] == ["CANCELLED", "HELD", "SCHEDULED"]
    assert now.total_t == 10_000

    # whose the money is, to the fen
    parts = by_auctioneer(report.revenue, now.auctions[1].shares)
    assert [(due.name, due.amount) for due in parts] == [
        ("state", 15_800_000), ("fund", 3_950_000),
    ]  # fmt: skip
    due = by_beneficiary(load_supply_data().revenue_of("eu-ets", 2020), parts[0].amount)
    assert sum(item.amount for item in due) == parts[0].amount


async def test_an_auction_needs_the_units_of_the_auctioneer(desk: Desk) -> None:
    plan = planned()
    await desk.act(issue(HOLDING, CEA_2024, 10_000))
    await provide(desk, 1_999)
    await hold(desk, plan.auctions[0], [(BIDDER, 2_000, 8_000)])
    assert results(desk) == []
    assert calendar_now(plan, results(desk)) == plan
    await provide(desk, 1)
    await hold(desk, plan.auctions[0], [(BIDDER, 2_000, 8_000)])
    assert [report.state for report in results(desk)] == ["CLEARED"]
