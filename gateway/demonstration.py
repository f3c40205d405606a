"""The whole venue in one process, its first endowment, its brokers and its compliance scene.

Everything a member or an operator does here goes through the gateway with a signed key; only the
bootstrap of instruments and accounts writes commands of its own, as `exchange bootstrap` does.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from exchange import topics
from exchange.audit.watch import ReconciliationService
from exchange.clock import Clock
from exchange.database.connection import Database, open_database, upgrade
from exchange.engine import EngineService
from exchange.engine.bootstrap import bootstrap
from exchange.health import serve_health
from exchange.log import open_log
from exchange.log.protocol import Log
from exchange.marketdata.service import MarketDataService
from exchange.messages.orders import DepositUnits, IssueUnits
from exchange.reference.venue import Instrument, Venue, load_venue
from exchange.registry.service import RegistryService
from exchange.rulebook import load_rulebook, open_emission_years
from exchange.service import Service, run_together
from exchange.settings import Settings
from exchange.settlement import SettlementService
from exchange.simulation.brokers import Pair, Product, run_brokers
from exchange.simulation.scene import Cast, Scene, SceneError, lots, play
from gateway.client import Client, VenueError, load_key
from gateway.demo_keys import (
    COMPLIANCE,
    HUADONG,
    KEYS_FOLDER,
    NORTHERN,
    OPERATIONS,
    YANGTZE,
    Holder,
    key_path,
    prepare,
)
from gateway.service import GatewayService
from gateway.simulated import SimulatedOperations, SimulatedTrader, minor_units, money

ENDOWED_FILE = "endowed"
SCENE_FILE = "scene.json"
SCHEME = "cn-national"
SCENE_MARKET = "CN"
EMITTER_ACCOUNT = 203
SELLER_ACCOUNT = 201
MAKER_ACCOUNTS = {"EU": 101, "CN": 201}
TAKER_ACCOUNTS = {"EU": 102, "CN": 202}
OFFSET = "CCER"
ALLOWANCES = ("CEA-2023", "CEA-2024")
READY_S = 120.0

CASH: dict[int, int] = {  # account: minor units
    101: 50_000_000_000,
    102: 50_000_000_000,
    103: 1_000_000_000,
    201: 200_000_000_000,
    202: 200_000_000_000,
    203: 20_000_000_000,
}
UNITS: dict[str, dict[int, int]] = {  # symbol: account: tonnes
    "EUA": {101: 2_000_000, 102: 2_000_000, 103: 100_000},
    "CEA-2023": {201: 2_000_000, 202: 2_000_000},
    "CEA-2024": {201: 3_000_000, 202: 3_000_000},
    "CCER": {201: 1_000_000, 202: 1_000_000},
}
OWNERS: dict[int, Holder] = {
    101: NORTHERN,
    102: HUADONG,
    103: YANGTZE,
    201: NORTHERN,
    202: HUADONG,
    203: YANGTZE,
}

Say = Callable[[str], None]


class Found(NamedTuple):
    """What stands when the venue opens."""

    is_first: bool
    orders: dict[str, int]  # market: records on its log
    trading_dates: dict[str, int]
    open_orders: dict[str, int]
    last_trades: dict[str, str]  # symbol: price


def all_services(
    log: Log, database: Database, venue: Venue, settings: Settings, clock: Clock
) -> tuple[list[Service], GatewayService]:
    """Every service of the venue in one process, the gateway last."""
    services: list[Service] = []
    for market in venue.market:
        services += [
            EngineService(log, market, settings, clock),
            SettlementService(log, market, database, clock=clock),
            RegistryService(log, market, venue, database, clock=clock),
            MarketDataService(log, market, clock),
            ReconciliationService(log, market, database),
        ]
    gateway = GatewayService(log, venue, settings, clock)
    return [*services, gateway], gateway


class Demonstration:
    """A running venue in this process; made by `opened`."""

    def __init__(
        self,
        settings: Settings,
        venue: Venue,
        log: Log,
        gateway: GatewayService,
        clock: Clock,
        running: asyncio.Task[None],
    ) -> None:
        self.settings = settings
        self.venue = venue
        self.url = f"http://{settings.host}:{gateway.http_port}"
        self.metrics_url = ""
        self.stopped_at: dict[str, int] = {}  # where each `orders` ended when all had stopped
        self._log = log
        self._clock = clock
        self.running = running  # ends when a service ends
        self._clients: dict[Holder, Client] = {}
        self._stack = AsyncExitStack()

    @classmethod
    @asynccontextmanager
    async def opened(
        cls, settings: Settings, template: Path, clock: Clock
    ) -> AsyncIterator[Demonstration]:
        """Starts every service and waits until it is ready; stops them all at the end.

        Raises what stops a service, OSError for a port or file, ValueError for a bad venue file.
        """
        settings.data.mkdir(parents=True, exist_ok=True)
        prepare(settings.data, template, f"http://{settings.host}:{settings.http_port}")
        venue = load_venue(settings.venue)
        log = open_log(settings, clock)
        await log.start()
        database = open_database(settings.database, settings.data)
        stop = asyncio.Event()
        try:
            await upgrade(database)
            services, gateway = all_services(log, database, venue, settings, clock)
            for market in venue.market:
                await bootstrap(log, venue, market, clock)
            running = asyncio.create_task(run_together(services, stop))
            try:
                await _until_ready(services, gateway, running)
                demo = cls(settings, venue, log, gateway, clock, running)
                prepare(settings.data, template, demo.url)
                async with demo._stack:
                    await demo._serve_metrics(services)
                    yield demo
                stop.set()
                await running
                demo.stopped_at = await demo.ends()
            finally:
                stop.set()
                await asyncio.gather(running, return_exceptions=True)
        finally:
            await database.close()
            await log.close()

    async def _serve_metrics(self, services: list[Service]) -> None:
        server = await serve_health(
            self.settings.host, max(self.settings.metrics_port, 0), services
        )
        self._stack.callback(server.close)
        self.metrics_url = f"http://{self.settings.host}:{server.sockets[0].getsockname()[1]}"

    async def client(self, holder: Holder) -> Client:
        """The one client of a key, opened at its first use."""
        if holder not in self._clients:
            key = load_key(key_path(self.settings.data, holder))
            client = Client(self.url, key, self._clock)
            self._clients[holder] = await self._stack.enter_async_context(client)
        return self._clients[holder]

    async def ends(self) -> dict[str, int]:
        """Where each market's `orders` ends."""
        return {
            market.code: await self._log.end(topics.orders(market.partition))
            for market in self.venue.market
        }

    async def find(self) -> Found:
        """What an earlier run has left."""
        operations = await self.client(OPERATIONS)
        rows = (await operations.instruments()).instruments
        phases = await operations.phases()
        open_orders = {market.code: 0 for market in self.venue.market}
        for report in await operations.orders():
            open_orders[report.market] += 1
        return Found(
            not (self.settings.data / ENDOWED_FILE).exists(),
            await self.ends(),
            phases.trading_dates,
            open_orders,
            {row.symbol: row.last_price for row in rows if row.last_price},
        )

    # -- the first day --------------------------------------------------------------------------

    async def endow(self) -> None:
        """Gives accounts cash and, through the registry, units; only what is not there yet."""
        operations = await self.client(OPERATIONS)
        cash = {
            row.account: minor_units(row.cash.available) + minor_units(row.cash.held)
            for row in (await operations.positions()).positions
        }
        for account in self.venue.account:
            amount = CASH.get(account.id, 0)
            if amount and not cash.get(account.id):
                await operations.deposit_cash(account.market, account.id, money(amount))
        held: dict[tuple[int, str, str], int] = {}
        for row in (await operations.holdings()).holdings:
            held[row.account, row.symbol, row.position] = row.quantity
        for instrument in self.venue.instrument:
            for account_id, quantity in UNITS.get(instrument.symbol, {}).items():
                await self._endow_units(operations, instrument, account_id, quantity, held)
        (self.settings.data / ENDOWED_FILE).touch()

    async def _endow_units(
        self,
        operations: Client,
        instrument: Instrument,
        account: int,
        quantity: int,
        held: dict[tuple[int, str, str], int],
    ) -> None:
        symbol = instrument.symbol
        if held.get((account, symbol, "TRADING")):
            return
        if not held.get((account, symbol, "REGISTRY")):
            year = instrument.vintage or self.today().year
            await operations.instruct(
                IssueUnits(ref=0, symbol=symbol, account=account, quantity=quantity, year=year)
            )
        owner = await self.client(OWNERS[account])
        await owner.instruct(DepositUnits(ref=0, symbol=symbol, account=account, quantity=quantity))

    def today(self) -> dt.date:
        """The day by the venue's clock, UTC."""
        return dt.datetime.fromtimestamp(self._clock.now_ns() // 10**9, dt.UTC).date()

    async def open_markets(self) -> None:
        """Rolls each market to today where that is later, and opens it for continuous trading."""
        operations = await self.client(OPERATIONS)
        today = self.today()
        date = today.year * 10_000 + today.month * 100 + today.day
        for market in self.venue.market:
            phases = await operations.phases()
            own = {item.symbol for item in self.venue.instruments_of(market.code)}
            states = {row.phase for row in phases.phases if row.symbol in own}
            if phases.trading_dates.get(market.code, 0) < date:
                if states != {"CLOSED"}:
                    await operations.set_phase(market.code, "CLOSED")
                await operations.roll_day(market.code, date)
                states = {"CLOSED"}
            if states != {"CONTINUOUS"}:
                await operations.set_phase(market.code, "CONTINUOUS")

    # -- what goes on ---------------------------------------------------------------------------

    async def pairs(self, seed: int) -> list[Pair]:
        """A maker and a taker for every instrument."""
        maker = SimulatedTrader(await self.client(NORTHERN))
        taker = SimulatedTrader(await self.client(HUADONG))
        return [
            Pair(
                Product(
                    item.symbol,
                    MAKER_ACCOUNTS[item.market],
                    TAKER_ACCOUNTS[item.market],
                    item.reference_price,
                    item.parameters.get("band_bp", 0),
                ),
                maker,
                taker,
                seed,
            )
            for item in self.venue.instrument
        ]

    async def trade(self, seed: int, stop: asyncio.Event) -> None:
        """Brokers trade until `stop`."""
        await run_brokers(await self.pairs(seed), stop, seed=seed)

    async def play_scene(self, say: Say) -> Scene | None:
        """Plays the compliance scene once in the life of the venue's data; None if not now.

        Raises SceneError; the scene is not begun again after an interruption, since the venue keeps
        what was done.
        """
        marker = self.settings.data / SCENE_FILE
        if marker.exists():
            say("the compliance scene was begun in an earlier run and is not played again")
            return None
        cast = await self._cast()
        marker.write_text("{}\n", "utf-8")
        try:
            scene = await play(cast, say)
        except (ConnectionError, VenueError) as error:
            raise SceneError(str(error)) from error
        marker.write_bytes(msgspec.json.format(msgspec.json.encode(scene)) + b"\n")
        return scene

    async def _cast(self) -> Cast:
        today = self.today()
        years = open_emission_years(load_rulebook(), SCHEME, today)
        if not years:
            raise SceneError(f"the rulebook has no offset rule of {SCHEME} in force on {today}")
        reference = {item.symbol: item.reference_price for item in self.venue.instrument}
        offset, *allowances = lots(
            (OFFSET, reference[OFFSET]), tuple((name, reference[name]) for name in ALLOWANCES)
        )
        operations = await self.client(OPERATIONS)
        date = (await operations.phases()).trading_dates[SCENE_MARKET]
        following = dt.date(date // 10_000, date // 100 % 100, date % 100) + dt.timedelta(1)
        return Cast(
            market=SCENE_MARKET,
            emitter=SimulatedTrader(await self.client(YANGTZE)),
            emitter_account=EMITTER_ACCOUNT,
            seller=SimulatedTrader(await self.client(NORTHERN)),
            seller_account=SELLER_ACCOUNT,
            compliance=SimulatedTrader(await self.client(COMPLIANCE)),
            operations=SimulatedOperations(operations),
            year=years[0],
            next_date=following.year * 10_000 + following.month * 100 + following.day,
            offset=offset,
            allowances=tuple(allowances),
        )


async def _until_ready(
    services: list[Service], gateway: GatewayService, running: asyncio.Task[None]
) -> None:
    """Waits for every service; raises what ended one of them, TimeoutError after READY_S."""
    started = asyncio.create_task(gateway.started.wait())
    try:
        async with asyncio.timeout(READY_S):
            await asyncio.wait([started, running], return_when=asyncio.FIRST_COMPLETED)
            while not (  # noqa: ASYNC110 - readiness is a plain attribute
                running.done() or all(service.is_ready for service in services)
            ):
                await asyncio.sleep(0.02)
    finally:
        started.cancel()
    if running.done():
        running.result()
        raise RuntimeError("the venue ended before it was ready")


def keys_folder(data: Path) -> Path:
    """Where the key files are."""
    return data / KEYS_FOLDER
