"""The load of `benchmarks.load` on a venue that runs: every request accounted for, nothing left."""

from __future__ import annotations

import msgspec
import pytest

from benchmarks import load
from exchange.messages.executions import ExecutionReport
from tests.gateway.conftest import House

PLAN = load.Plan("EUA", rate=400, seconds=1, array=5, resting=20)


async def test_a_load_is_answered_and_leaves_nothing(house: House) -> None:
    holders = [(house.keys["northern"], 101), (house.keys["yangtze"], 103)]
    ran = await load.run(PLAN, holders, house.url)
    assert ran.wrong == []
    assert sum(ran.outcomes.values()) == PLAN.rate * PLAN.seconds
    assert {"NEW", "CANCELLED", "REPLACED"} <= set(ran.outcomes)
    assert ran.fills > 10
    measured = [figure.target.name for figure in ran.figures.measured()]
    assert measured == [target.name for target in load.TARGETS]


async def test_requests_beyond_a_throttle_are_counted_as_refused(house: House) -> None:
    assert house.gateway is not None
    house.gateway.context.throttle.per_second = 10
    ran = await load.run(PLAN, [(house.keys["northern"], 101)], house.url)
    assert ran.wrong == []
    assert any(outcome.startswith("refused: ") for outcome in ran.outcomes)


async def test_fills_that_are_not_as_listed_are_told(house: House) -> None:
    async with house.client("northern") as client:
        market = await load.market_of(client, "EUA")
    member = load.Member(house.keys["northern"], 101, load.Times(1), 1)
    await member.open_socket(house.url)
    member.waiting[1] = 0
    report = ExecutionReport("EU", 101, "TRADE", "FILLED", sequence=1, trade_id=7, order_id=9)
    member.fills[7, 9] = msgspec.structs.replace(report, last_price="1.00", last_quantity=1)
    found = await load.wrong_with(member, house.url, market)
    member.close()
    assert [line.partition(": ")[2] for line in found] == [
        "1 requests were never answered",
        "1 fills are not as listed, the first trade 7",
    ]


async def test_what_cannot_begin_says_why(house: House) -> None:
    with pytest.raises(load.LoadError, match="no instrument XYZ; there are EUA, "):
        await load.run(PLAN._replace(symbol="XYZ"), [(house.keys["northern"], 101)], house.url)
    stranger = house.keys["northern"]._replace(id="stranger")
    with pytest.raises(load.LoadError, match="stranger: "):
        await load.run(PLAN, [(stranger, 101)], house.url)


def test_prices_are_written_as_the_currency_is() -> None:
    assert load.Market("X", "XX", 2, 5, 1, 7_000, 7_005).text(7_007) == "70.05"
    assert load.Market("X", "XX", 0, 1, 1, 70, 75).text(75) == "75"
