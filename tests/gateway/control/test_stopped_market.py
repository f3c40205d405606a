"""A record that cannot be trusted stops its market in a gateway, and no other."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import msgspec
import pytest
from prometheus_client import REGISTRY

from exchange import topics
from exchange.log.protocol import Partition
from exchange.messages.frames import INDEX_BITS, ChainBrokenError
from exchange.messages.operations import Halt
from exchange.messages.reasons import EdgeReason, reason_text
from gateway.client import Client, OperationFailedError, VenueError
from tests.gateway.conftest import House, demo_venue
from tests.gateway.websocket.test_feed_channels import subscribed

CN = 1
DAMAGED = {
    "garbage on events": (topics.events(CN), b"garbage", "events record"),
    "garbage on registry": (topics.registry(CN), b"\x07", "registry record"),
}
GAUGE = "exchange_gateway_market_stopped"


async def damage(house: House, partition: Partition, value: bytes) -> int:
    """Puts bytes that are no record of the venue at the end; its other readers are away."""
    for name in ("engine-CN", "marketdata-CN"):
        await house.stop(name)
    (offset,) = await house.log.append(partition, [value])
    return offset


async def ready(house: House) -> tuple[int, dict[str, object]]:
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"{house.url}/ready")
    return answer.status_code, answer.json()


async def is_stopped(house: House) -> bool:
    assert house.gateway is not None
    return house.gateway.context.views["CN"].failure is not None


async def bought(client: Client, symbol: str, account: int) -> str:
    return (await client.new_order(symbol, account, "BUY", 1, "70.00")).exec_type


async def refusal(client: Client) -> VenueError:
    with pytest.raises(VenueError) as refused:
        await bought(client, "CEA-2025", 201)
    return refused.value


@pytest.mark.parametrize("what", DAMAGED)
async def test_its_orders_are_refused_and_others_trade(
    house: House, northern: Client, what: str
) -> None:
    partition, value, words = DAMAGED[what]
    resting = await northern.new_order("CEA-2025", 201, "BUY", 1, "70.00")
    assert await ready(house) == (200, {"status": "ready", "not_ready": [], "stopped": {}})
    assert REGISTRY.get_sample_value(GAUGE, {"market": "CN"}) == 0
    await damage(house, partition, value)
    await house.until(lambda: is_stopped(house))
    refused = await refusal(northern)
    assert refused.reason == EdgeReason.MARKET_STOPPED
    assert "CN: " in str(refused)
    assert reason_text(refused.reason).may_retry  # an earlier try may stand on the log
    status, said = await ready(house)
    assert (status, said["status"], said["not_ready"]) == (200, "ready in part", [])
    stopped = said["stopped"]
    assert isinstance(stopped, dict)
    assert list(stopped) == ["CN"]
    assert words in stopped["CN"]
    assert REGISTRY.get_sample_value(GAUGE, {"market": "CN"}) == 1
    assert REGISTRY.get_sample_value(GAUGE, {"market": "EU"}) == 0
    assert await bought(northern, "EUA", 101) == "NEW"
    # risk can still be reduced, and the market be halted; nobody waits for what cannot be told
    ends = await house.ends()
    async with asyncio.timeout(4), house.client("operator") as operator:
        await northern.cancel_order("CEA-2025", 201, resting.order_id, wait_s=3)
        halt = Halt(ref=0, market="CN", reason="its records are damaged")
        with pytest.raises(OperationFailedError, match="has not answered"):
            await operator.operate("/operations/halt", halt)
    assert (await house.ends())[CN] == ends[CN] + 2


async def test_a_gateway_starts_without_the_market(house: House, northern: Client) -> None:
    offset = await damage(house, topics.events(CN), b"garbage")
    await house.until(lambda: is_stopped(house))
    await house.stop("gateway")
    await house.open_gateway()
    _, said = await ready(house)
    assert said["stopped"] == {"CN": f"events record {offset}: 7 bytes are no frame"}
    async with house.client("northern") as client:
        assert await bought(client, "EUA", 101) == "NEW"
        assert (await refusal(client)).reason == EdgeReason.MARKET_STOPPED


async def test_who_waits_for_an_outcome_is_told_that_it_is_not_known(house: House) -> None:
    assert house.gateway is not None
    view = house.gateway.context.views["CN"]
    position = (await house.log.end(topics.orders(CN)) + 9) << INDEX_BITS
    waiting = view.watch(position)
    instruction = asyncio.create_task(view.wait_instruction(7, timeout_s=60))
    await asyncio.sleep(0)
    await damage(house, topics.events(CN), b"garbage")
    async with asyncio.timeout(2):
        assert await waiting is None
        await instruction
        assert await view.watch(position) is None


async def test_a_gateway_with_no_other_market_ends(tmp_path: Path) -> None:
    venue, keys = demo_venue()
    only = msgspec.structs.replace(
        venue,
        market=tuple(m for m in venue.market if m.code == "CN"),
        instrument=tuple(i for i in venue.instrument if i.market == "CN"),
        account=tuple(a for a in venue.account if a.market == "CN"),
    )
    house = House(tmp_path, only, keys)
    await house.start()
    assert house.gateway is not None
    for name in ("engine-CN", "marketdata-CN"):
        await house.stop(name)
    await house.log.append(topics.events(CN), [b"garbage"])
    with pytest.raises(ExceptionGroup) as ended:
        await house.ends_by_itself("gateway")
    assert ended.group_contains(ChainBrokenError, match="are no frame")
    await house.close()


async def test_market_data_that_contradicts_itself_stops_its_feed_and_no_trading(
    house: House, northern: Client
) -> None:
    """Its subscribers are told and cut; who asks is refused; all others go on."""
    both, its = await subscribed(house, symbols=["EUA", "CEA-2025"])
    _, others = await subscribed(house, symbols=["EUA"])
    await house.stop("marketdata-CN")
    number = house.gateway.context.feed.number("CN") + 1  # type: ignore[union-attr]
    await house.log.append(topics.marketdata(CN), [b"\x07"])
    await house.until(lambda: isinstance(its.messages[-1], list))
    (told,) = its.messages[-1]
    assert (told["type"], told["reason"]) == ("Closing", EdgeReason.MARKET_STOPPED)
    assert f"CN: marketdata {number}: " in told["text"]
    both.disconnect()
    assert await bought(northern, "CEA-2025", 201) == "NEW"
    assert await bought(northern, "EUA", 101) == "NEW"
    await house.until(lambda: bool(others.of("delta")))
    status, said = await ready(house)
    assert (status, said["status"], list(said["stopped"])) == (200, "ready in part", ["CN"])
    with pytest.raises(VenueError) as refused:
        await northern.book("CEA-2025")
    assert refused.value.reason == EdgeReason.MARKET_STOPPED
    assert (await northern.book("EUA")).bids
    _, late = await subscribed(house, symbols=["CEA-2025"])
    assert late.messages[0]["reason"] == EdgeReason.MARKET_STOPPED
    _, rest = await subscribed(house, symbols=["*"])
    assert rest.messages[0]["symbols"] == ["EUA"]
    await house.stop("gateway")
    await house.open_gateway()
    async with house.client("northern") as client:
        assert await bought(client, "CEA-2025", 201) == "NEW"
