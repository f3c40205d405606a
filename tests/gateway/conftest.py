"""A venue on the embedded log with the real engine, market data and gateway, for these tests."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from exchange import topics
from exchange.clock import Clock, SystemClock
from exchange.database.connection import Database
from exchange.engine.bootstrap import bootstrap
from exchange.engine.service import EngineService
from exchange.log.embedded import EmbeddedLog
from exchange.log.protocol import Log
from exchange.marketdata.service import MarketDataService
from exchange.messages.frames import Command, build_commands, command
from exchange.messages.instructions import ReportEmissions, VerifyEmissions
from exchange.reference.venue import REGISTRY_SESSION, Key, Role, Venue, load_venue
from exchange.service import Service
from exchange.settings import Settings
from exchange.stands import Stands
from gateway.client import Client, SigningKey, generate_key
from gateway.entry import intake
from gateway.service import GatewayService
from gateway.views import following, venue_view
from gateway.websocket import feed

ROOT = Path(__file__).parents[2]
KEYS: tuple[tuple[str, int, Role], ...] = (
    ("operator", 1, "operator"),
    ("authority", 1, "authority"),
    ("verifier", 5, "verifier"),
    ("northern", 2, "participant"),
    ("huadong", 3, "participant"),
    ("yangtze", 4, "participant"),
    ("deputy", 4, "participant"),
    ("controller", 1, "operator"),
)


@pytest.fixture(autouse=True)
def _soon_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that was told to stop does not wait half a second for more."""
    for module in (feed, following, intake, venue_view):
        monkeypatch.setattr(module, "READ_WAIT_S", 0.05)


def demo_venue(**changes: object) -> tuple[Venue, dict[str, SigningKey]]:
    """The demonstration venue with new keys; `intake` names participants with intake topics."""
    venue = load_venue(ROOT / "deploy/venue/demo.toml")
    signing = {name: generate_key(name) for name, _, _ in KEYS}
    keys = tuple(
        Key(name, participant, role, 1_001 + number, signing[name].public_key)
        for number, (name, participant, role) in enumerate(KEYS)
    )
    return msgspec.structs.replace(venue, key=keys, **changes), signing


async def owe(
    emitter: Client,
    verifier: Client,
    year: int,
    quantity: int,
    symbol: str = "CEA-2025",
    account: int = 203,
) -> None:
    """Emissions of an account for a year, reported and verified: as much is owed."""
    what = {"ref": 0, "symbol": symbol, "account": account, "quantity": quantity, "year": year}
    await emitter.instruct(msgspec.convert({"type": "ReportEmissions", **what}, ReportEmissions))
    await verifier.instruct(msgspec.convert({"type": "VerifyEmissions", **what}, VerifyEmissions))


class House:
    """Running services and what a test wants of them."""

    def __init__(
        self,
        data: Path,
        venue: Venue,
        keys: dict[str, SigningKey],
        clock: Clock | None = None,
        log: Log | None = None,
    ) -> None:
        self.venue, self.keys, self.clock = venue, keys, clock or SystemClock()
        self.settings = Settings(data=data, http_port=0, websocket_port=0)
        self.log: Log = log or EmbeddedLog(data / "log.sqlite", self.clock)
        self.gateway: GatewayService | None = None
        self._running: dict[str, tuple[asyncio.Event, asyncio.Task[None]]] = {}
        self._deposits = 0
        self.books: Database | None = None
        self.stands: Stands | None = None  # of the gateways opened from now on

    async def start(self, *, with_engine: bool = True) -> None:
        await self.log.start()
        for market in self.venue.market:
            await self.log.create(topics.of_market(market.partition))
            if with_engine:
                self.run(EngineService(self.log, market, self.settings, self.clock))
                self.run(MarketDataService(self.log, market, self.clock))
                await bootstrap(self.log, self.venue, market, self.clock)
        views = (await self.open_gateway()).context.views.values()
        if with_engine:
            await self.until(lambda: all(view.positions.instruments for view in views))

    async def open_gateway(self, **changes: object) -> GatewayService:
        settings = msgspec.structs.replace(self.settings, **changes)
        gateway = GatewayService(
            self.log, self.venue, settings, self.clock, self.books, stands=self.stands
        )
        self.gateway = gateway
        task = self.run(gateway)
        await asyncio.wait(
            {task, asyncio.create_task(gateway.started.wait())}, return_when="FIRST_COMPLETED"
        )
        assert gateway.is_ready, task
        return gateway

    def run(self, service: Service) -> asyncio.Task[None]:
        stop = asyncio.Event()
        task = asyncio.create_task(service.run(stop))
        self._running[service.name] = (stop, task)
        return task

    async def stop(self, name: str) -> None:
        stop, task = self._running.pop(name)
        stop.set()
        async with asyncio.timeout(10):
            await task

    async def ends_by_itself(self, name: str) -> None:
        """Waits for a service that must end; raises what ended it."""
        _, task = self._running.pop(name)
        async with asyncio.timeout(10):
            await task

    async def close(self) -> None:
        await asyncio.gather(*(self.stop(name) for name in list(self._running)))
        await self.log.close()

    @property
    def url(self) -> str:
        assert self.gateway is not None
        return f"http://127.0.0.1:{self.gateway.http_port}"

    @property
    def socket(self) -> str:
        assert self.gateway is not None
        return f"ws://127.0.0.1:{self.gateway.websocket_port}"

    def client(self, name: str) -> Client:
        return Client(self.url, self.keys[name], self.clock)

    async def endow(self) -> None:
        """Cash and units for the trading accounts, and continuous trading everywhere."""
        for market, accounts, instruments in (
            (0, (101, 102, 103), (1,)),
            (1, (201, 202, 203), (11, 12, 21)),
        ):
            commands = []
            for account in accounts:
                commands.append(
                    command(Command.CASH_DEPOSIT, account_id=account, quantity=10**12, order_id=1)
                )
                for instrument in instruments:
                    self._deposits += 1
                    commands.append(
                        command(
                            Command.UNITS_DEPOSIT,
                            account_id=account,
                            instrument_id=instrument,
                            quantity=1_000_000,
                            session_id=REGISTRY_SESSION,
                            ref=self._deposits,
                        )
                    )
            commands.append(command(Command.PHASE_CHANGE, order_type=1))
            await self.append(market, commands)

    async def append(self, market: int, commands: list[bytes]) -> int:
        """Puts commands on the log beside the gateway; returns once the engine has answered."""
        frame = build_commands(commands, writer=7, batch=0, time_ns=self.clock.now_ns())
        (offset,) = await self.log.append(topics.orders(market), [frame])
        await self.until(lambda: all_read(self, market, offset))
        return offset

    async def until(
        self, condition: Callable[[], bool | Awaitable[bool]], timeout_s: float = 5
    ) -> None:
        async with asyncio.timeout(timeout_s):
            while True:
                found = condition()
                if found if isinstance(found, bool) else await found:
                    return
                await asyncio.sleep(0.01)

    async def ends(self) -> list[int]:
        """Records on `orders` of each market, without the engine's clock ticks."""
        counts = []
        for market in self.venue.market:
            partition = topics.orders(market.partition)
            end = await self.log.end(partition)
            reader = await self.log.open_reader(partition, 0)
            count = 0
            while reader.position < end:
                for record in await reader.read():
                    kind = record.value[80]
                    count += kind not in (Command.CLOCK_TICK, Command.EPOCH_START)
            await reader.close()
            counts.append(count)
        return counts


def all_read(house: House, partition: int, offset: int) -> bool:
    assert house.gateway is not None
    views = house.gateway.context.views.values()
    return all(
        view.follower.input_offset > offset for view in views if view.market.partition == partition
    )


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    venue, keys = demo_venue()
    made = House(tmp_path, venue, keys)
    await made.start()
    await made.endow()
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture
async def northern(house: House) -> AsyncIterator[Client]:
    async with house.client("northern") as client:
        yield client


@pytest.fixture
async def huadong(house: House) -> AsyncIterator[Client]:
    async with house.client("huadong") as client:
        yield client


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
