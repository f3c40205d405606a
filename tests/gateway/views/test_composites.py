"""Composite prices: the rulebook's weights on the closes of a market."""

from __future__ import annotations

from exchange.auctions import DayClose
from exchange.messages.frames import Command
from exchange.reference.venue import Instrument
from exchange.rulebook import load_rulebook
from gateway.client import Client
from gateway.replies.market import CompositeList
from gateway.views.composites import Composite, composites
from matching.layout import Phase
from tests.matching.frames import command

RULES = load_rulebook()
VINTAGES = (2020, 2021, 2022, 2023, 2024, 2025)


def cea(vintage: int, scheme: str = "cn-national") -> Instrument:
    return Instrument(vintage, "CN", f"CEA-{vintage}", "CEA", scheme, "allowance", vintage)


def closed(date: int, **prices: int) -> dict[int, list[DayClose]]:
    return {int(key[1:]): [DayClose(date, price, 1, price)] for key, price in prices.items()}


def test_five_vintages_weigh_a_fifth_each_and_halves_go_up() -> None:
    closes = closed(20250429, v2020=9_000, v2021=9_001, v2022=9_002, v2023=9_003, v2024=9_004)
    instruments = [cea(vintage) for vintage in VINTAGES]
    expected = [Composite("cn-national", 20250429, 9_002)]
    assert composites(RULES, instruments, closes) == expected
    closes[2024] = [DayClose(20250429, 9_006, 1, 1)]  # 45,012 / 5 = 9,002.4
    assert composites(RULES, instruments, closes) == expected
    closes[2024] = [DayClose(20250429, 9_007, 1, 1)]  # 9,002.6
    assert composites(RULES, instruments, closes)[0].price == 9_003


def test_the_day_before_the_weights_and_a_vintage_without_a_close_give_none() -> None:
    instruments = [cea(vintage) for vintage in VINTAGES]
    prices = {"v2020": 9, "v2021": 9, "v2022": 9, "v2023": 9, "v2024": 9}
    assert composites(RULES, instruments, closed(20250428, **prices)) == []
    assert len(composites(RULES, instruments, closed(20250429, **prices))) == 1
    assert len(composites(RULES, instruments, closed(20251231, **prices))) == 1
    assert composites(RULES, instruments, closed(20260101, **prices)) == []
    only = composites(RULES, instruments, closed(20260101, v2025=8_000))
    assert only == [Composite("cn-national", 20260101, 8_000)]
    del prices["v2022"]
    assert composites(RULES, instruments, closed(20250429, **prices)) == []


def test_days_in_order() -> None:
    days = [DayClose(20260101 + at, 70 + at, 1, 1) for at in range(3)]
    found = composites(RULES, [cea(2025)], {2025: days})
    assert [(item.date, item.price) for item in found] == [
        (20260101, 70), (20260102, 71), (20260103, 72),
    ]  # fmt: skip
    assert composites(RULES, [cea(2025, "eu-ets"), cea(2025, "nowhere")], {2025: days}) == []


async def test_over_rest(house) -> None:
    client = Client(house.url, house.keys["northern"])
    try:
        before = await client.rest.get("/composites?market=CN", CompositeList)
        assert before.composites == []
        for date in (20260105, 20260106):
            roll = (
                command(Command.PHASE_CHANGE, order_type=Phase.CLOSED),
                command(Command.DAY_ROLL, quantity=date),
            )
            await house.append(1, list(roll))
        found = await client.rest.get("/composites?market=CN", CompositeList)
        reference = house.gateway.context.views["CN"].positions.instruments[12].reference_price
        assert [(row.scheme, row.date) for row in found.composites] == [("cn-national", 20260105)]
        assert found.composites[0].price == f"{reference // 100}.{reference % 100:02}"
    finally:
        await client.close()
