"""The members of the demonstration venue: their keys, first endowment, brokers and scene.

Everything here goes through the gateway of a running venue with a signed key, wherever that venue
runs: in this process (`gateway.demo.demonstration`) or as processes (`deploy.local.venue`).
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import msgspec

from exchange.clock import Clock
from exchange.messages.instructions import DepositUnits, IssueUnits
from exchange.reference.venue import Instrument, Venue
from exchange.rulebook import load_rulebook, open_emission_years
from exchange.simulation.brokers import Pair, Product, run_brokers
from exchange.simulation.scene import Cast, Scene, SceneError, lots, play
from gateway.client import Client, VenueError, load_key
from gateway.demo.demo_keys import (
    HUADONG,
    NORTHERN,
    OPERATIONS,
    VERIFIER,
    YANGTZE,
    Holder,
    key_path,
)
from gateway.demo.demo_offers import Offers
from gateway.demo.simulated import SimulatedOperations, SimulatedTrader, minor_units, money

ENDOWED_FILE = "endowed"
SCENE_FILE = "scene.json"
SCHEME = "cn-national"
SCENE_MARKET = "CN"
EMITTER_ACCOUNT = 203
SELLER_ACCOUNT = 201
MAKER_ACCOUNTS = {"EU": 101, "CN": 201}
TAKER_ACCOUNTS = {"EU": 102, "CN": 202}
OFFSET = "CCER"
ALLOWANCES = ("CEA-2025",)
OLD_ALLOWANCE = "CEA-2024"  # trades, but counts no more for the year of the scene

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
    "CEA-2024": {201: 2_000_000, 202: 2_000_000},
    "CEA-2025": {201: 3_000_000, 202: 3_000_000},
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
    """What stands on a venue when its members come back."""

    is_first: bool
    trading_dates: dict[str, int]
    open_orders: dict[str, int]
    last_trades: dict[str, str]  # symbol: price


class Members:
    """Every key of a prepared data directory, with one client each."""

    def __init__(self, data: Path, venue: Venue, url: str, clock: Clock) -> None:
        self.data = data
        self.venue = venue
        self.url = url
        self._clock = clock
        self._clients: dict[Holder, Client] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def client(self, holder: Holder) -> Client:
        """The one client of a key, opened at its first use."""
        if holder not in self._clients:
            key = load_key(key_path(self.data, holder))
            client = Client(self.url, key, self._clock)
            self._clients[holder] = await self._stack.enter_async_context(client)
        return self._clients[holder]

    async def find(self) -> Found:
        """What an earlier run has left."""
        operations = await self.client(OPERATIONS)
        rows = (await operations.instruments()).instruments
        phases = await operations.phases()
        open_orders = {market.code: 0 for market in self.venue.market}
        for report in await operations.orders():
            open_orders[report.market] += 1
        return Found(
            not (self.data / ENDOWED_FILE).exists(),
            phases.trading_dates,
            open_orders,
            {row.symbol: row.last_price for row in rows if row.last_price},
        )

    # -- the first day --------------------------------------------------------------------------

    async def endow(self) -> None:
        """Gives accounts cash and, through the registry, units; only what is not there yet."""
        operations = await self.client(OPERATIONS)
        cash = {
            row.account: sum(
                minor_units(purse) for purse in (row.cash.available, row.cash.held, row.cash.locked)
            )
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
        (self.data / ENDOWED_FILE).touch()

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
                await operations.open_market(market.code)

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
        """Brokers trade, and hold auctions and propose blocks, until `stop`."""
        operations, northern, huadong = [
            await self.client(holder) for holder in (OPERATIONS, NORTHERN, HUADONG)
        ]
        pairs = await self.pairs(seed)
        offers = Offers(operations, northern, huadong, self._clock)
        async with asyncio.TaskGroup() as group:
            group.create_task(run_brokers(pairs, stop, seed=seed))
            group.create_task(offers.run(stop))

    async def play_scene(self, say: Say) -> Scene | None:
        """Plays the compliance scene once in the life of the venue's data; None if not now.

        Raises SceneError; the scene is not begun again after an interruption, since the venue keeps
        what was done.
        """
        marker = self.data / SCENE_FILE
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
            verifier=SimulatedTrader(await self.client(VERIFIER)),
            operations=SimulatedOperations(operations),
            year=years[0],
            next_date=following.year * 10_000 + following.month * 100 + following.day,
            offset=offset,
            allowances=tuple(allowances),
            old_allowance=OLD_ALLOWANCE,
        )
