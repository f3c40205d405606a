"""A gateway that goes on from its stand knows what one knows that has read all."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from exchange import topics
from exchange.messages.frames import Command, build_commands, command
from exchange.messages.operations import Halt, Resume, SetLimit
from exchange.messages.reasons import EdgeReason
from exchange.messages.registry import RegistryRecord
from exchange.stands import FileStands, decode, encode
from gateway.client import VenueError
from gateway.service import GatewayService
from gateway.views.requests import PARTICIPANT_SESSIONS
from gateway.views.venue_view import MarketView
from tests.gateway.conftest import ROOT, House
from tests.gateway.views.test_executions import Desk
from tests.gateway.views.test_figures import asked, desk_with_limits
from tests.matching.flows import Flow
from tests.matching.frames import frame

ACCOUNTS = {"EU": (101, 102, 103), "CN": (201, 202, 203)}
OF_A_KEY = {"session_id": PARTICIPANT_SESSIONS + 7}
SYMBOLS = ("EUA", "CEA-2024", "CEA-2025", "CCER")


def known(gateway: GatewayService) -> dict[str, Any]:
    """What the gateway tells of the orders, balances and acts of every market, and its feed."""
    found: dict[str, Any] = {}
    for code, view in gateway.context.views.items():
        positions = view.positions
        found[code] = {
            "orders": [view.reports.status(order) for order in view.reports.orders.values()],
            "reports": [view.reports.after(account, -1) for account in ACCOUNTS[code]],
            "labels": [
                view.reports.order_labelled(a, "mine 71.00") is None for a in ACCOUNTS[code]
            ],
            "cash": dict(positions.cash_totals()),
            "units": dict(positions.unit_totals()),
            "wrong": positions.self_check(),
            "acts": list(view.acts.rows),
            "halt": view.acts.market_halt,
            "refs": view.last_ref,
            "ratios": {
                key: (count.messages, count.ordered, count.trades, count.traded)
                for key, count in view.controls.ratios.today.items()
            },
        }
    feed = gateway.context.feed
    for symbol in SYMBOLS:
        kept = feed.instruments[symbol]
        found[symbol] = {
            "book": feed.snapshot(symbol),
            "orders": feed.orders_snapshot(symbol),
            "trades": list(kept.trades),
            "bars": {width: bars.list() for width, bars in kept.bars.items()},
            "ticks": kept.bar_ticks,
        }
    return found


async def trade(house: House, price: str) -> None:
    """Orders of every fate, a refusal, a halt and a limit."""
    async with house.client("northern") as northern, house.client("huadong") as huadong:
        await northern.new_order("EUA", 101, "SELL", 10, price, client_order_id=f"mine {price}")
        await huadong.new_order("EUA", 102, "BUY", 4, price, time_in_force="IOC")
        resting = await northern.new_order("CCER", 201, "BUY", 7, "83.00")
        await northern.replace_order("CCER", 201, resting.order_id, 5, "83.10")
        gone = await northern.new_order("CEA-2025", 201, "BUY", 7, "74.00")
        await northern.cancel_order("CEA-2025", 201, gone.order_id)
        with pytest.raises(VenueError, match="quantity 2000000 t, quantity_max 1000000 t"):
            await northern.new_order("EUA", 101, "SELL", 2_000_000, price)
        await northern.cancel_order("EUA", 101, original_client_order_id=f"mine {price}")
    async with house.client("operator") as operator:
        halt = Halt(ref=0, market="CN", symbol="CCER", reason="a drill")
        await operator.operate("/operations/halt", halt)
        again = Resume(ref=0, market="CN", symbol="CCER", reason="over")
        await operator.operate("/operations/resume", again)
        limit = SetLimit(
            ref=0, market="EU", reason="a drill", parameter="ORDER_RATE", account=101, value=900
        )
        await operator.operate("/operations/limit", limit)


async def scratch(house: House) -> dict[str, Any]:
    """What a gateway knows that has read all."""
    gateway = GatewayService(house.log, house.venue, house.settings, house.clock)
    stop = asyncio.Event()
    running = asyncio.create_task(gateway.run(stop))
    await gateway.started.wait()
    found = known(gateway)
    stop.set()
    await running
    return found


async def assert_same(house: House, gateway: GatewayService) -> None:
    """Market data comes a little later than the events that it is made of."""

    async def is_level() -> bool:
        return known(gateway) == await scratch(house)

    with suppress(TimeoutError):
        await house.until(is_level)
    assert known(gateway) == await scratch(house)


async def test_it_knows_the_same(house: House) -> None:
    house.stands = FileStands(house.settings.data, "gateway")
    for price in ("71.00", "71.50", "72.00"):  # the first one reads all, the others go on
        await house.stop("gateway")
        gateway = await house.open_gateway()
        before = house.stands.load()
        assert (before is not None) == (price != "71.00")
        await trade(house, price)
        await assert_same(house, gateway)


async def test_it_begins_where_it_stood(house: House, monkeypatch) -> None:
    house.stands = FileStands(house.settings.data, "gateway")
    await house.stop("gateway")
    await house.open_gateway()
    await trade(house, "71.00")
    await house.stop("gateway")
    ends = {market.partition: await house.log.end(topics.events(market.partition))
            for market in house.venue.market}  # fmt: skip
    begun: list[tuple[Any, int]] = []
    open_reader = house.log.open_reader

    async def noted(partition: Any, offset: int) -> Any:
        begun.append((partition, offset))
        return await open_reader(partition, offset)

    monkeypatch.setattr(house.log, "open_reader", noted)
    await house.open_gateway()
    for partition, end in ends.items():
        places = [offset for topic, offset in begun if topic == topics.events(partition)]
        assert min(places) >= end - 60
    assert (topics.orders(0), 0) not in begun
    assert (topics.marketdata(0), 0) not in begun


@pytest.mark.parametrize("damage", ["torn", "shorter log"])
async def test_where_it_does_not_fit_all_is_read(house: House, damage: str) -> None:
    house.stands = FileStands(house.settings.data, "gateway")
    await house.stop("gateway")
    await house.open_gateway()
    await trade(house, "71.00")
    await house.stop("gateway")
    if damage == "torn":
        data = house.stands.path.read_bytes()
        house.stands.path.write_bytes(data[: len(data) // 2])
    else:
        state = house.stands.load()
        assert state is not None
        state["views"]["CN"]["_registry_next"] = 10**6
        house.stands.save(state)
    gateway = await house.open_gateway()
    await assert_same(house, gateway)


def asked_once() -> tuple[Flow, Desk]:
    flow, desk = desk_with_limits()
    desk.check(*flow.record(frame([asked(OF_A_KEY, 1)], flow.now)))
    return flow, desk


def test_a_resend_is_known_by_another_process(tmp_path: Path) -> None:
    """Also where Python hashes bytes otherwise there."""
    kept = FileStands(tmp_path, "requests")
    script = (
        "import sys; from pathlib import Path; from exchange.stands import FileStands; "
        "from tests.gateway.views.test_gateway_stands import asked_once; "
        "FileStands(Path(sys.argv[1]), 'requests').save(asked_once()[1].requests)"
    )
    for seed in ("1", "2"):
        subprocess.run(
            [sys.executable, "-c", script, str(tmp_path)],
            check=True, cwd=ROOT, env=os.environ | {"PYTHONHASHSEED": seed},
        )  # fmt: skip
        flow, desk = asked_once()
        first = desk.reports.after(1, -1)[-1]
        desk.requests = kept.load()
        desk.check(*flow.record(frame([asked(OF_A_KEY, 1)], flow.now)))
        again = desk.reports.after(1, -1)[-1]
        assert (again.exec_type, again.order_id) == ("ORDER_STATUS", first.order_id)
        desk.check(*flow.record(frame([asked(OF_A_KEY | {"price": 7_010}, 1)], flow.now)))
        assert desk.reports.after(1, -1)[-1].reason == EdgeReason.REF_REUSED


async def ready(what: Any) -> None:
    """Runs a view or a feed until it has read what there is."""
    stop = asyncio.Event()
    running = asyncio.create_task(what.run(stop))
    async with asyncio.timeout(20):
        while not what.is_ready:
            await asyncio.sleep(0.01)
    stop.set()
    await running


def tail(ref: int, key: int) -> bytes:
    fields = {"account_id": 101, "instrument_id": 1, "quantity": 1, "price": 1, "ref": ref}
    order = command(Command.NEW_ORDER, session_id=PARTICIPANT_SESSIONS + key, **fields)
    return build_commands([order], writer=1, batch=ref, time_ns=9)


@pytest.mark.parametrize("topic", ["orders", "registry"])
async def test_another_tail_of_a_topic_is_another_log(house: House, topic: str) -> None:
    """Records that were read ahead of the engine, lost, and had others take their place."""
    market = house.venue.market[0]
    view = MarketView(house.log, house.venue, market, house.clock)
    partition = {"orders": topics.orders, "registry": topics.registry}[topic](market.partition)
    if topic == "registry":
        record = RegistryRecord(1, 0, 0, 0, ())
        await house.log.append(partition, [msgspec.msgpack.encode(record)])
    await ready(view)
    stand = decode(encode(view.stand()))
    assert await view.follows(stand)
    name, other = {
        "orders": ("_orders_last", tail(5, 8)),
        "registry": ("_registry_last", msgspec.msgpack.encode(RegistryRecord(1, 0, 7, 0, ()))),
    }[topic]
    assert stand[name] != other
    assert not await view.follows({**stand, name: other})
    assert not await view.follows({**stand, "_orders_next": 10**6})


async def test_market_data_that_were_damaged_since_stop_no_gateway(
    house: House, monkeypatch
) -> None:
    house.stands = FileStands(house.settings.data, "gateway")
    await house.stop("gateway")
    gateway = await house.open_gateway()
    await trade(house, "71.00")
    await house.stop("gateway")
    state = house.stands.load()
    assert state is not None
    state["feed"]["last"]["EU"] = b"\xc1 something else"
    house.stands.save(state)
    assert (await house.open_gateway()).is_ready
    feed = gateway.context.feed
    assert not await feed.follows(state["feed"])


@pytest.mark.parametrize("topic", ["orders", "events", "registry", "marketdata"])
async def test_nothing_is_kept_amid_a_record_that_failed(house: House, topic: str) -> None:
    view, feed = house.gateway.context.views["EU"], house.gateway.context.feed
    assert view.stand() is not None
    assert feed.stand() is not None
    (feed if topic == "marketdata" else view)._amid.add("EU" if topic == "marketdata" else topic)
    assert house.gateway._stand() is None
    view._amid.clear()
    feed._amid.clear()


async def test_another_venue_file_reads_all(house: House) -> None:
    gateway = house.gateway
    before = gateway._digest()
    first = house.venue.instrument[0]
    renamed = msgspec.structs.replace(first, symbol="EUA2")
    instruments = (renamed, *house.venue.instrument[1:])
    other = msgspec.structs.replace(house.venue, instrument=instruments)
    assert GatewayService(house.log, other, house.settings, house.clock)._digest() != before
    assert GatewayService(house.log, house.venue, house.settings, house.clock)._digest() == before
