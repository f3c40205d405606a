"""What must hold after a run, judged from the log and the books alone: P1 to P10.

Nothing here asks a service. The reference engine says what the events had to be; balances, trades
and blocks are added up from the database; caps are computed from what the registry said, by figures
of this module's own; market data is followed as the documents tell a subscriber to.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

import msgspec
from sqlalchemy import select

from exchange import topics
from exchange.audit import verify
from exchange.audit.reconciliation import reconcile
from exchange.database import Database
from exchange.database import schema as tables
from exchange.ledger import Leg
from exchange.log.protocol import Log, Partition, Record
from exchange.log.simulated import SimulatedDisk, SimulatedLog
from exchange.marketdata.book import BookError, MarketBooks, decode_record
from exchange.messages.frames import (
    HEADER_SIZE,
    INDEX_BITS,
    AccountParameter,
    Event,
    EventRow,
    Liquidity,
    OrderType,
    Phase,
    Side,
    TradeMethod,
)
from exchange.messages.registry import (
    EmissionsStated,
    InstructionRefused,
    RegistryItem,
    RegistryRecord,
    UnitsSurrendered,
)
from exchange.reference.venue import Instrument, Market, Venue
from exchange.registry.queries import prove_blocks
from exchange.settlement.cycle import TradeState
from exchange.settlement.queries import prove_ledger
from exchange.simulation.faults import effects, holds
from exchange.simulation.faults.auctions import Auctions, Result
from exchange.simulation.faults.calls import Calls
from exchange.simulation.faults.oracle import History, Levels, history_of, read_all
from exchange.simulation.faults.plan import DEADLINE_NS
from exchange.simulation.faults.promises import BrokenPromiseError, require
from exchange.simulation.proof import read_books

BASE_BP = 500  # of verified emissions: what China's national market lets credits be
_decode = msgspec.msgpack.Decoder(RegistryRecord).decode


def cap_of(base_t: int) -> int:
    """The most credits that the emitter may surrender, t. O(1)."""
    return base_t * BASE_BP // 10_000


class Seen(msgspec.Struct):
    """What the auditor read of a market."""

    market: Market
    history: History
    registry: list[RegistryItem]
    instruments: tuple[Instrument, ...]
    auctions: dict[int, Result]


class Audit:
    """The audit of one run, market by market."""

    def __init__(
        self, log: Log, database: Database, venue: Venue, shapes: Counter[str], rng: random.Random
    ) -> None:
        self._log, self._database = log, database
        self._venue, self._shapes, self._rng = venue, shapes, rng

    async def market(self, market: Market, hashes: set[bytes]) -> Seen:
        """Every check of a market; `hashes` are the states of the engines that ran.

        Raises BrokenPromiseError. O(log + books).
        """
        history = await history_of(self._log, market.partition)
        own = history.engine.state_hash()
        require(hashes == {own}, "P3", f"{market.code}: engines end in another state")
        items = await self._registry(market)
        holds.check(history)
        auctions = Auctions(history).results
        Calls(history, self._shapes)
        await self._books(market, history)
        await self._trades(market, history)
        instruments = {item.id: item for item in self._venue.instruments_of(market.code)}
        _check_caps(items, {i.id for i in instruments.values() if i.kind == "offset"})
        _check_surrenders(items, instruments, history)
        await self._public(market, history)
        check_switches(history)
        await self._tampered(market)
        vintages = {number: item.vintage for number, item in instruments.items()}
        effects.count(history, items, vintages, self._shapes)
        effects.count_auctions(auctions.values(), self._shapes)
        return Seen(market, history, items, tuple(instruments.values()), auctions)

    # -- P4, P5 ---------------------------------------------------------------------------------

    async def _books(self, market: Market, history: History) -> None:
        books = await read_books(self._log, self._database, market.partition, history.positions)
        for check in reconcile(books._replace(engine=history.engine.snapshot())):
            require(check.ok, "P4", f"{market.code}: {check.name}: {check.figures}")
        for proof in await prove_ledger(self._database, market.partition):
            require(proof.is_ok, "P4", f"{market.code}: {proof.name}: {proof.detail}")
        wrong = await prove_blocks(self._database, market.partition)
        require(not wrong, "P4", f"{market.code}: {'; '.join(wrong)}")

    async def _trades(self, market: Market, history: History) -> None:
        """Each trade is booked once, as the engine said it, with both legs."""
        expected = {
            number: (row.instrument_id, row.quantity, row.price)
            for number, _, row in history.events
            if row.kind == Event.FILL and row.order_type == Liquidity.MAKER
        }
        trade, post, act = tables.trade, tables.posting, tables.settlement_act
        state = tables.trade_settlement
        async with self._database.reading() as connection:
            columns = (trade.c.trade_id, trade.c.instrument_id, trade.c.quantity, trade.c.price)
            rows = await connection.execute(
                select(*columns).where(trade.c.market == market.partition)
            )
            booked = {int(number): (int(i), int(q), int(p)) for number, i, q, p in rows}
            legs: dict[int, set[int]] = defaultdict(set)
            for number, leg in await connection.execute(
                select(post.c.event_number, post.c.leg).where(post.c.market == market.partition)
            ):
                legs[int(number)].add(int(leg))
            acts = await connection.execute(
                select(act.c.trade_id, act.c.state_after, act.c.event_number).where(
                    act.c.market == market.partition
                )
            )
            settled = {int(n): int(e) for n, after, e in acts if after in _DELIVERED}
            states = await connection.execute(
                select(state.c.trade_id, state.c.state).where(state.c.market == market.partition)
            )
            later = {int(number): int(found) for number, found in states}
        differ = sorted(n for n in expected.keys() | booked.keys()
                        if expected.get(n) != booked.get(n))  # fmt: skip
        for number in differ[:1]:
            event = f"trade {number} is booked as {booked.get(number)} for {expected.get(number)}"
            raise BrokenPromiseError("P5", f"{market.code}: {event}")
        check_legs(market.code, booked, legs, later, settled)

    # -- P6 -------------------------------------------------------------------------------------

    async def _registry(self, market: Market) -> list[RegistryItem]:
        items: list[RegistryItem] = []
        number = 0
        for record in await read_all(self._log, topics.registry(market.partition)):
            said = _decode(record.value)
            require(said.number <= number, "P2", f"registry record {number} is missing")
            if said.number == number:
                number += 1
                items += said.items
            else:
                self._shapes["registry_said_again"] += 1
        return items

    # -- P7 -------------------------------------------------------------------------------------

    async def _public(self, market: Market, history: History) -> None:
        books, looks = MarketBooks(), sorted(history.books)
        records = await read_all(self._log, topics.marketdata(market.partition))
        for record in records:
            try:
                offset = decode_record(record.value).input_offset
                while looks and looks[0] < offset:
                    _compare_levels(market, looks[0], books, history.books[looks.pop(0)])
                applied = books.apply(record.value)
                self._shapes["marketdata_said_again"] += applied is None
            except BookError as error:
                raise BrokenPromiseError("P7", f"{market.code}: {error}") from error
        for offset in looks:
            _compare_levels(market, offset, books, history.books[offset])

    # -- P10 ------------------------------------------------------------------------------------

    async def _tampered(self, market: Market) -> None:
        """One bit of one record is turned over in a copy: it must be noticed."""
        if self._rng.random() > 0.1:
            return
        self._shapes["tampered"] += 1
        disk = SimulatedDisk(_NoClock())
        copies: dict[Partition, list[Record]] = {}
        for partition in (topics.orders(market.partition), topics.events(market.partition)):
            copies[partition] = await read_all(self._log, partition)
        victims = [
            (partition, at)
            for partition, rows in copies.items()
            for at, row in enumerate(rows[: len(rows) * 3 // 4])
            if len(row.value) > HEADER_SIZE
        ]
        partition, at = self._rng.choice(victims)
        data = bytearray(copies[partition][at].value)
        data[self._rng.randrange(HEADER_SIZE, len(data))] ^= 1 << self._rng.randrange(8)
        copies[partition][at] = copies[partition][at]._replace(value=bytes(data))
        for partition, rows in copies.items():
            disk.create(partition)
            disk.held(partition).records[:] = rows
            disk.show(partition, len(rows))
        log = SimulatedLog(disk)
        await log.start()
        found = await verify(log, market.partition)
        require(
            found.differences, "P10", f"{market.code}: {partition.topic} record {at} was altered"
        )


class _NoClock:
    def now_ns(self) -> int:
        """Never asked: nothing is appended."""
        return 0

    def monotonic_ns(self) -> int:
        """Never asked."""
        return 0


def _compare_levels(market: Market, offset: int, books: MarketBooks, expected: Levels) -> None:
    found: Levels = {
        (instrument, int(side), level.price): (level.quantity, level.orders)
        for instrument, book in books.books.items()
        for side, levels in ((Side.BUY, book.bids), (Side.SELL, book.asks))
        for level in levels
    }
    for key in sorted(found.keys() | expected.keys()):
        require(
            found.get(key) == expected.get(key),
            "P7",
            f"{market.code} after input {offset}: level {key} is {found.get(key)} for "
            f"{expected.get(key)}",
        )


def _check_caps(items: list[RegistryItem], credits_: set[int]) -> None:
    """Recomputes, surrender by surrender, what each account had used of its cap."""
    verified: dict[tuple[int, int], int] = {}
    used: Counter[tuple[int, int]] = Counter()
    for item in items:
        match item:
            case EmissionsStated(kind="VERIFY_EMISSIONS"):
                verified[item.account_id, item.year] = item.quantity
            case UnitsSurrendered() if item.instrument_id in credits_:
                place = item.account_id, item.year
                used[place] += item.quantity
                cap = cap_of(verified.get(place, 0))
                require(
                    used[place] <= cap,
                    "P6",
                    f"instruction {item.instruction_id}: {used[place]} t of credits by account "
                    f"{item.account_id} for {item.year} under a cap of {cap} t",
                )


def refused_in(items: list[RegistryItem]) -> dict[int, int]:
    """The reasons of the registry's refusals, by instruction. O(items)."""
    return {i.instruction_id: i.reason for i in items if isinstance(i, InstructionRefused)}


def _check_surrenders(
    items: list[RegistryItem], instruments: dict[int, Instrument], history: History
) -> None:
    """The log's time says what came too late, and no allowance is of a later year than its use."""
    times = {part.input_offset: part.time_ns for part in history.parts}
    for item in items:
        if not isinstance(item, UnitsSurrendered):
            continue
        what = f"instruction {item.instruction_id}: surrender of {item.quantity} t"
        instrument = instruments[item.instrument_id]
        is_late = times[item.instruction_id >> INDEX_BITS] >= DEADLINE_NS
        require(item.is_late == is_late, "P6", f"{what} is late: {item.is_late} for {is_late}")
        is_early = instrument.kind == "allowance" and instrument.vintage > item.year
        require(not is_early, "P6", f"{what} of {instrument.symbol} for {item.year}")


_DELIVERED = (TradeState.SETTLED, TradeState.LATE)
_TRADE_LEGS = {Leg.BUYER_CASH, Leg.SELLER_CASH, Leg.SELLER_UNITS, Leg.BUYER_UNITS}
_DELIVERY_LEGS = {Leg.CASH_FROM, Leg.CASH_TO, Leg.UNITS_FROM, Leg.UNITS_TO}


def check_legs(
    market: str,
    booked: Iterable[int],
    legs: Mapping[int, set[int]],
    later: Mapping[int, int],
    settled: Mapping[int, int],
) -> None:
    """Delivery and payment stand together, of the trade itself and of its later settlement.

    `legs` by event, `later` the states of trades that are not settled with the fill, `settled` the
    events that did so. BrokenPromiseError. O(trades).
    """
    for number in booked:
        what = f"{market}: trade {number}"
        found = legs.get(number, set())
        require(found >= _TRADE_LEGS, "P5", f"{what} has legs {sorted(found)}")
        is_over = later.get(number, TradeState.DUE) in _DELIVERED
        require((number in settled) == is_over, "P5", f"{what}: {later.get(number)}, {settled}")
        if is_over:
            found = legs.get(settled[number], set())
            require(found >= _DELIVERY_LEGS, "P5", f"{what} is settled with legs {sorted(found)}")


_SHUT = (Phase.HALT, Phase.CLOSED)


def check_switches(history: History) -> None:
    """After a halt, a close or a kill nothing of its target trades.

    A command that opens an instrument again may first uncross what its book had gathered before.
    Blocks are agreed outside the hours; sealed bids stand whatever becomes of book and bidder.
    """
    opening = {
        (offset, row.command_index, row.instrument_id)
        for _, offset, row in history.events
        if row.kind == Event.PHASE_CHANGED and row.order_type not in _SHUT
    }
    shut: set[int] = set()
    killed = _Killed()
    for number, offset, row in history.events:
        killed.note(offset, row)
        if row.kind == Event.PHASE_CHANGED:
            (shut.add if row.order_type in _SHUT else shut.discard)(row.instrument_id)
        elif row.kind == Event.FILL:
            is_auction = row.reason == TradeMethod.AUCTION_TRADE  # open whatever the phase
            is_elsewhere = is_auction or row.reason == TradeMethod.BLOCK_TRADE
            is_shut = row.instrument_id in shut
            is_opening = (offset, row.command_index, row.instrument_id) in opening
            require(
                not is_shut or is_opening or is_elsewhere,
                "P8",
                f"event {number}: a trade of instrument {row.instrument_id}, halted or closed",
            )
            require(
                not killed.has(row.account_id) or is_auction,
                "P8",
                f"event {number}: a trade of account {row.account_id}, which is killed",
            )


class _Killed:
    """Whom the kill switch stops now, and that the record which killed leaves no order alive."""

    def __init__(self) -> None:
        self.accounts: set[int] = set()
        self.firms: set[int] = set()
        self._firm_of: dict[int, int] = {}
        self._live: dict[int, int] = {}  # order -> account
        self._killed_at = -1  # input that killed last

    def note(self, offset: int, row: EventRow) -> None:
        """Takes the next event. O(1), O(live orders) after a kill."""
        if self._killed_at not in (-1, offset):
            self._killed_at = -1
            left = [order for order, account in self._live.items() if self.has(account)]
            require(not left, "P8", f"input {offset}: orders {left} outlived the kill switch")
        if row.kind == Event.ACCOUNT_OPENED:
            self._firm_of[row.account_id] = row.order_id
        elif row.kind == Event.ACCEPTED:
            if row.order_type not in (OrderType.BID, OrderType.OFFER):
                self._live[row.order_id] = row.account_id
        elif row.kind == Event.CANCELLED or (row.kind == Event.FILL and not row.value):
            self._live.pop(row.order_id, None)
        elif row.kind in (Event.ACCOUNT_CHANGED, Event.PARTICIPANT_CHANGED):
            self._switched(offset, row)

    def _switched(self, offset: int, row: EventRow) -> None:
        if row.order_type != AccountParameter.SUSPENDED:
            return
        is_account = row.kind == Event.ACCOUNT_CHANGED
        target = self.accounts if is_account else self.firms
        (target.add if row.quantity else target.discard)(
            row.account_id if is_account else row.order_id
        )
        if row.quantity:
            self._killed_at = offset

    def has(self, account: int) -> bool:
        """Whether an account is stopped, itself or with its firm. O(1)."""
        return account in self.accounts or self._firm_of.get(account) in self.firms
