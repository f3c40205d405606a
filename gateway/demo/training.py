"""A class on the demonstration venue: a compliance year in an hour, and what each made of it.

The venue's clock runs like any other, but is turned on to the day of each step, so that the
scheme's own days hold, with all that stands on the log's time: a report is late or not, a year is
over or not. Clients follow it by `GET /time`. All acts are those of the members' keys.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from exchange.messages.instructions import (
    AllocateUnits,
    AssessYear,
    ReportEmissions,
    VerifyEmissions,
)
from exchange.messages.operations import AuctionClear, AuctionOpen
from exchange.messages.orders import AuctionBid
from exchange.messages.reasons import RegistryReason
from exchange.simulation.brokers import Pair, run_brokers
from exchange.simulation.training import (
    ALLOWANCE,
    BP,
    MARKET,
    OFFSET,
    SCHEME,
    STEPS,
    YEAR,
    Act,
    Figures,
    Prices,
    Score,
    Step,
    Student,
    make_class,
    make_news,
    ranking,
)
from gateway.client import Client, RegistryRefusedError
from gateway.demo.demo_keys import AUTHORITY, HUADONG, OPERATIONS, VERIFIER, Holder
from gateway.demo.demonstration import Demonstration
from gateway.demo.simulated import minor_units, money

STATE_FILE = "training.json"
REFERENCES = {ALLOWANCE: 7_410, OFFSET: 6_500}  # minor units; offsets are worth their cap
PROVISIONAL_BP = 7_000
SECTOR = "power"
AUCTION_T = 10_000
AUCTION_FORMAT = "eu-primary"
AUCTION_BIDS = ((10_200, 4_000), (10_000, 4_000), (9_900, 3_000), (9_800, 3_000))  # bp, tonnes
OPENS_HOUR = 1  # UTC: 9 o'clock in Shanghai

Say = Callable[[str], None]
Due = Callable[[Step], Awaitable[None]]  # returns when it is time for a step


class Outcome(msgspec.Struct, frozen=True):
    """What is kept of a class: enough to compute its scores again."""

    seed: int
    prices: Prices
    figures: tuple[Figures, ...]


class TurnedClock:
    """The machine's clock, on the day of a step."""

    def __init__(self) -> None:
        self._ahead_ns = 0
        self.turn_to(STEPS[0].date)

    def turn_to(self, day: dt.date) -> None:
        """It is now the morning of a day."""
        morning = dt.datetime.combine(day, dt.time(OPENS_HOUR), dt.UTC)
        self._ahead_ns = int(morning.timestamp()) * 10**9 - time.time_ns()

    def now_ns(self) -> int:
        """Wall clock of the exercise, ns UTC."""
        return time.time_ns() + self._ahead_ns

    def monotonic_ns(self) -> int:
        """The machine's clock for intervals."""
        return time.monotonic_ns()


def holder_of(student: Student) -> Holder:
    """Whose key a student gets."""
    return Holder(
        f"student-{student.number:02}", 100 + student.number, "participant", 2_000 + student.number
    )


def template_of(text: str, students: tuple[Student, ...]) -> str:
    """The demonstration's venue file with the class: its accounts, and prices for the year."""
    for symbol, price in REFERENCES.items():
        before, mark, after = text.partition(f'symbol = "{symbol}"')
        head, found, rest = after.partition("reference_price = ")
        if not mark or not found:
            raise ValueError(f"the venue file has no reference price of {symbol}")
        old = rest.partition("\n")[0]
        text = f"{before}{mark}{head}{found}{price}{rest.removeprefix(old)}"
    tables = []
    for student in students:
        holder = holder_of(student)
        name = f"Student {student.number:02}"
        tables.append(
            f'\n[[participant]]\nid = {holder.participant}\nname = "{name}"\n'
            f"\n[[account]]\nid = {student.account}\nparticipant = {holder.participant}\n"
            f'market = "{MARKET}"\nname = "{name}, compliance"\ntype = "emitter"\n'
        )
    return text + "".join(tables)


class Exercise:
    """One class on a running venue."""

    def __init__(
        self,
        venue: Demonstration,
        clock: TurnedClock,
        students: tuple[Student, ...],
        seed: int,
        say: Say,
    ) -> None:
        self._venue = venue
        self._clock = clock
        self._students = students
        self._seed = seed
        self._say = say
        self._news = list(make_news(seed))
        self._pairs: dict[str, Pair] = {}
        self._auction_id = 0
        self._caps: dict[int, int] = {}
        self._acts = {
            Act.OPENING: self._open,
            Act.NEWS: self._tell,
            Act.REPORTS: self._report,
            Act.AUCTION: self._open_auction,
            Act.CLEARING: self._clear_auction,
            Act.VERIFICATION: self._verify,
            Act.ALLOCATION: self._allocate,
            Act.LAST_DAYS: self._note_caps,
            Act.ASSESSMENT: self._assess,
        }

    async def run(self, due: Due, stop: asyncio.Event) -> list[Score]:
        """Plays the year, each step when `due` returns; no scores when stopped before its end.

        Raises VenueError when the venue refuses a step.
        """
        await self._venue.endow()
        ended = asyncio.Event()
        trading: asyncio.Task[None] | None = None
        try:
            for step in STEPS:
                await due(step)
                if stop.is_set():
                    return []
                await self._take(step)
                if trading is None:
                    pairs = list(self._pairs.values())
                    trading = asyncio.create_task(run_brokers(pairs, ended, seed=self._seed))
            return await self._end()
        finally:
            ended.set()
            if trading is not None:
                await trading

    async def _take(self, step: Step) -> None:
        is_new_day = self._venue.today() != step.date
        if is_new_day:
            self._clock.turn_to(step.date)
        if is_new_day or not self._pairs:
            await self._venue.open_markets()
            await self._set_references()
        self._say(f"{step.date}: {step.act.value}")
        await self._acts[step.act]()

    async def _set_references(self) -> None:
        if not self._pairs:
            made = zip(
                self._venue.venue.instrument, await self._venue.pairs(self._seed), strict=True
            )
            self._pairs = {item.symbol: pair for item, pair in made if item.symbol in REFERENCES}
        for row in (await (await self._client(OPERATIONS)).instruments()).instruments:
            if row.symbol in self._pairs:
                self._pairs[row.symbol].opened(minor_units(row.reference_price))

    async def _client(self, holder: Holder) -> Client:
        return await self._venue.client(holder)

    # -- steps ----------------------------------------------------------------------------------

    async def _open(self) -> None:
        operations = await self._client(OPERATIONS)
        for student in self._students:
            await operations.deposit_cash(MARKET, student.account, money(student.cash))
            provisional = student.allocated * PROVISIONAL_BP // BP
            await self._give(student, provisional, "provisional", base=student.allocated)

    async def _tell(self) -> None:
        news = self._news.pop(0)
        self._say(f"  NEWS: {news.text}")
        self._pairs[ALLOWANCE].news(news.allowance_bp)
        self._pairs[OFFSET].news(news.offset_bp)

    async def _report(self) -> None:
        for student in self._students:
            client = await self._client(holder_of(student))
            await client.instruct(
                ReportEmissions(
                    ref=0,
                    symbol=ALLOWANCE,
                    account=student.account,
                    quantity=student.reported,
                    year=YEAR,
                    sector=SECTOR,
                )
            )

    async def _open_auction(self) -> None:
        operations = await self._client(OPERATIONS)
        await operations.run_auction(
            AuctionOpen(
                ref=0,
                symbol=ALLOWANCE,
                account=201,
                quantity=AUCTION_T,
                format=AUCTION_FORMAT,
                label="class",
            )
        )
        row = (await operations.auctions(ALLOWANCE))[-1]
        self._auction_id = row.auction_id
        self._say(f"  auction {row.auction_id} of {AUCTION_T:,} t, bids in multiples of 500 t")
        last = await self._last_price(ALLOWANCE)
        bidder = await self._client(HUADONG)
        for share_bp, quantity in AUCTION_BIDS:
            await bidder.bid(
                AuctionBid(
                    ref=0,
                    symbol=ALLOWANCE,
                    account=202,
                    auction_id=row.auction_id,
                    quantity=quantity,
                    price=money(last * share_bp // BP),
                )
            )

    async def _clear_auction(self) -> None:
        operations = await self._client(OPERATIONS)
        await operations.run_auction(
            AuctionClear(ref=0, symbol=ALLOWANCE, auction_id=self._auction_id)
        )
        row = (await operations.auctions(ALLOWANCE))[-1]
        self._say(f"  auction {row.state}: {row.sold_t:,} t at {row.price or 'no price'}")

    async def _verify(self) -> None:
        verifier = await self._client(VERIFIER)
        for student in self._students:
            await verifier.instruct(
                VerifyEmissions(
                    ref=0,
                    symbol=ALLOWANCE,
                    account=student.account,
                    quantity=student.verified,
                    year=YEAR,
                )
            )

    async def _allocate(self) -> None:
        for student in self._students:
            await self._give(student, student.allocated, "final")

    async def _give(self, student: Student, quantity: int, stage: str, base: int = 0) -> None:
        authority = await self._client(AUTHORITY)
        await authority.instruct(
            AllocateUnits(
                ref=0,
                symbol=ALLOWANCE,
                account=student.account,
                quantity=quantity,
                year=YEAR,
                stage="final" if stage == "final" else "provisional",
                method="benchmarking",
                sector=SECTOR,
                base=base,
            )
        )

    async def _note_caps(self) -> None:
        authority = await self._client(AUTHORITY)
        for student in self._students:
            found = await authority.offset_headroom(student.account, OFFSET)
            self._caps[student.account] = next(
                (row.cap for row in found.years if row.year == YEAR), 0
            )

    async def _assess(self) -> None:
        authority = await self._client(AUTHORITY)
        price = money(await self._average(ALLOWANCE))
        for student in self._students:
            assess = AssessYear(
                ref=0, symbol=ALLOWANCE, account=student.account, year=YEAR, price=price
            )
            try:
                await authority.instruct(assess)
            except RegistryRefusedError as error:
                if error.reason != RegistryReason.YEAR_ASSESSED:  # the registry was there first
                    raise

    # -- the end --------------------------------------------------------------------------------

    async def _end(self) -> list[Score]:
        prices = Prices(await self._average(ALLOWANCE), await self._average(OFFSET))
        figures = [await self._figures(student) for student in self._students]
        outcome = Outcome(self._seed, prices, tuple(figures))
        save(self._venue.data, outcome)
        return ranking(figures, prices)

    async def _figures(self, student: Student) -> Figures:
        client = await self._client(holder_of(student))
        found = await client.compliance_year(student.account, SCHEME, YEAR)
        cash = 0
        left = dict.fromkeys(REFERENCES, 0)
        for row in (await client.positions(MARKET)).positions:
            purse = row.cash
            cash += sum(map(minor_units, (purse.available, purse.held, purse.locked)))
            for units in row.units:
                left[units.symbol] += units.available + units.held + units.locked
        for holding in (await client.holdings(MARKET)).holdings:
            if holding.position != "TRADING":
                left[holding.symbol] += holding.quantity
        assessed = found.assessment
        return Figures(
            account=student.account,
            name=holder_of(student).id,
            cash_before=student.cash,
            cash_after=cash,
            allocated=found.final or 0,
            verified=found.verified or 0,
            surrendered=found.surrendered,
            offsets=found.offsets,
            offset_cap=self._caps.get(student.account, 0),
            allowances_left=left[ALLOWANCE],
            offsets_left=left[OFFSET],
            shortfall=assessed.shortfall if assessed else 0,
            fine=minor_units(assessed.fine_min) if assessed and assessed.fine_min else 0,
            deduction=assessed.deduction if assessed else 0,
        )

    async def _last_price(self, symbol: str) -> int:
        rows = (await (await self._client(OPERATIONS)).instruments()).instruments
        row = next(item for item in rows if item.symbol == symbol)
        return minor_units(row.last_price or row.reference_price)

    async def _average(self, symbol: str) -> int:
        """Of all days by volume, minor units; the last price where nothing was traded."""
        days = (await (await self._client(OPERATIONS)).closes(symbol)).closes
        volume = sum(day.volume_t for day in days)
        if not volume:
            return await self._last_price(symbol)
        return (2 * sum(minor_units(day.turnover) for day in days) + volume) // (2 * volume)


def within(duration_s: float, stop: asyncio.Event) -> Due:
    """Steps spread over a time that begins now; all are due once `stop` is set."""
    begun = asyncio.get_running_loop().time()

    async def due(step: Step) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout_at(begun + duration_s * step.at_permille / 1_000):
                await stop.wait()

    return due


def prepared(
    folder: Path, template: Path, seed: int, count: int
) -> tuple[Path, tuple[Student, ...]]:
    """The class and its venue file, written into the folder; ValueError where one was held."""
    students = make_class(seed, count, REFERENCES[ALLOWANCE])
    made = folder / "template.toml"
    if made.exists():
        raise ValueError(f"--data {folder}: a class was held here; name another folder")
    text = template_of(template.read_text("utf-8"), students)
    folder.mkdir(parents=True, exist_ok=True)
    made.write_text(text, "utf-8")
    return made, students


def save(folder: Path, outcome: Outcome) -> None:
    """Keeps what the scores come from."""
    text = msgspec.json.format(msgspec.json.encode(outcome))
    (folder / STATE_FILE).write_bytes(text + b"\n")


def load(folder: Path) -> Outcome:
    """What was kept of a class; ValueError where none has ended."""
    try:
        return msgspec.json.decode((folder / STATE_FILE).read_bytes(), type=Outcome)
    except FileNotFoundError:
        raise ValueError(f"--data {folder}: no class has come to its end here") from None
