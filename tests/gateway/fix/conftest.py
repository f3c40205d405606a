"""A whole gateway with its FIX port, and brokers who speak FIX to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from exchange.clock import Clock
from gateway.client import Client
from gateway.fix.acceptor import FixAcceptor
from tests.gateway.conftest import House, demo_venue
from tests.gateway.fix.client import Broker

CHANGES = {"EUA": {"block_open": 1, "block_quantity_min": 100}, "CEA-2024": {"policy": 2}}


class FixHouse(House):
    """The venue of the gateway's tests with a FIX port."""

    brokers: list[Broker]

    @property
    def fix(self) -> FixAcceptor:
        assert self.gateway is not None
        assert self.gateway.fix is not None
        return self.gateway.fix

    @property
    def port(self) -> int:
        return self.fix.port

    def broker(self, name: str = "northern") -> Broker:
        made = Broker(self.keys[name], self.clock)
        self.brokers.append(made)
        return made

    async def restart(self) -> None:
        await self.stop("gateway")
        await self.open_gateway()


Maker = Callable[..., Awaitable[FixHouse]]


@pytest.fixture
async def house_made(tmp_path: Path) -> AsyncIterator[Maker]:
    made: list[FixHouse] = []

    async def make(*, with_engine: bool = True, clock: Clock | None = None) -> FixHouse:
        venue, keys = demo_venue()
        venue = msgspec.structs.replace(venue, instrument=tuple(
            msgspec.structs.replace(item, parameters=item.parameters | CHANGES.get(item.symbol, {}))
            for item in venue.instrument
        ))  # fmt: skip
        house = FixHouse(tmp_path, venue, keys, clock)
        house.brokers = []
        house.settings = msgspec.structs.replace(house.settings, fix_port=-1)
        made.append(house)
        await house.start(with_engine=with_engine)
        return house

    yield make
    for house in made:
        for broker in house.brokers:
            if broker.writer is not None:
                broker.writer.close()
        await house.close()


@pytest.fixture
async def house(house_made: Maker) -> FixHouse:
    made = await house_made()
    await made.endow()
    return made


@pytest.fixture
async def huadong(house: FixHouse) -> AsyncIterator[Client]:
    async with house.client("huadong") as client:
        yield client


@pytest.fixture
async def northern(house: FixHouse) -> AsyncIterator[Client]:
    async with house.client("northern") as client:
        yield client
