"""One account's day: opening, every movement by its cause, closing, and the serials it holds.

The walk over the books writes the CSV as it goes and keeps a bounded number of lines for the paper.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from exchange.end_of_day import rows
from exchange.end_of_day.days import Cut, DayRefusedError, utc_text
from exchange.end_of_day.files import CsvFile, FileDigest
from exchange.end_of_day.names import FEE, Names, cause_of
from exchange.ledger import CASH
from exchange.messages.reasons import DayReason
from exchange.registry.blocks import Position
from exchange.settings import STATEMENT_LINES_MAX

COLUMNS = (
    "day", "market", "account", "record", "asset", "position", "time_utc", "time_ns", "cause",
    "cause_id", "instrument", "quantity_t", "price", "amount", "balance", "programme",
    "first_serial", "last_serial", "vat_code",
)  # fmt: skip
CASH_POSITION = "CASH"
CASH_HELD, UNITS_HELD = "CASH_HELD", "HELD"  # for trades that are not settled


class Line(NamedTuple):
    """One movement; `amount` and `balance` in minor units or tonnes."""

    time_ns: int
    cause: str
    cause_id: int
    amount: int
    balance: int
    instrument_id: int = 0  # of a trade's cash
    quantity: int = 0
    price: int = 0
    programme: str = ""  # of units in the registry
    first_serial: int = 0
    last_serial: int = 0


class Section:
    """One asset at one place: CASH, CASH_HELD, TRADING, HELD (the ledger), REGISTRY, ..."""

    def __init__(self, asset: int, position: str, opening: int) -> None:
        self.asset = asset
        self.position = position
        self.opening = opening
        self.closing = opening
        self.sums: dict[str, int] = defaultdict(int)  # by cause
        self.lines: list[Line] = []  # the first STATEMENT_LINES_MAX
        self.count = 0

    def add(self, line: Line) -> None:
        """Takes up a movement. O(1)."""
        self.closing = line.balance
        self.sums[line.cause] += line.amount
        self.count += 1
        if len(self.lines) < STATEMENT_LINES_MAX:
            self.lines.append(line)


class Statement:
    """What the paper shows of an account."""

    def __init__(self, account: int) -> None:
        self.account = account
        self.sections: list[Section] = []
        self.blocks: list[rows.HeldBlock] = []  # the first STATEMENT_LINES_MAX
        self.block_count = 0
        self.on_their_way: dict[int, int] = {}  # by instrument: tonnes
        self.file: FileDigest | None = None  # the CSV

    @property
    def fees(self) -> int:
        """Fees of the day, minor units, as a positive number."""
        return -sum(s.sums.get(FEE, 0) for s in self.sections if s.asset == CASH)


class _Books(NamedTuple):
    ledger: rows.ByAccount[rows.LedgerBalance]
    ledger_moves: rows.ByAccount[rows.LedgerMovement]
    units: rows.ByAccount[rows.UnitBalance]
    unit_moves: rows.ByAccount[rows.UnitMovement]
    blocks: rows.ByAccount[rows.HeldBlock]
    sold: rows.ByAccount[rows.SoldRow]


async def statements(
    connection: AsyncConnection, names: Names, cut: Cut, folder: Path, prefix: str
) -> AsyncIterator[Statement]:
    """Writes `<prefix>-statement-<account>.csv` into `folder` for each account, by number.

    An account has a statement when it had or moved anything that day. Raises DayRefusedError when
    a closing is not the opening and the movements. Memory: STATEMENT_LINES_MAX lines a section.
    """
    market = names.market.partition
    books = _Books(
        rows.ByAccount(rows.ledger_balances(connection, market, cut)),
        rows.ByAccount(rows.ledger_movements(connection, market, cut)),
        rows.ByAccount(rows.unit_balances(connection, market, cut)),
        rows.ByAccount(rows.unit_movements(connection, market, cut)),
        rows.ByAccount(rows.blocks_held(connection, market, cut)),
        rows.ByAccount(rows.units_sold(connection, market, cut)),
    )
    while True:
        heads = [await stream.account() for stream in books]
        waiting = [account for account in heads if account is not None]
        if not waiting:
            return
        account = min(waiting)
        with CsvFile(folder / f"{prefix}-statement-{account}.csv", COLUMNS) as file:
            walk = _Walk(names, cut, account, file)
            await walk.ledger(books)
            await walk.registry(books)
            await walk.holdings(books)
        walk.statement.file = file.digest()
        yield walk.statement


class _Walk:
    def __init__(self, names: Names, cut: Cut, account: int, file: CsvFile) -> None:
        self.statement = Statement(account)
        self._names = names
        self._cut = cut
        self._file = file
        self._trading: dict[int, int] = defaultdict(int)  # registry less ledger, by instrument

    async def ledger(self, books: _Books) -> None:
        account = self.statement.account
        async for balance in books.ledger.of(account):
            is_cash = balance.asset == CASH
            position = CASH_POSITION if is_cash else Position.TRADING.name
            if balance.is_held:
                position = CASH_HELD if is_cash else UNITS_HELD
            section = self._open(balance.asset, position, balance.opening)
            async for move in books.ledger_moves.of(account, balance.asset, balance.is_held):
                self._add(section, _ledger_line(section, move))
            self._close(section, balance.closing)
            if not is_cash and not balance.is_held:
                self._trading[balance.asset] -= balance.closing

    async def registry(self, books: _Books) -> None:
        account = self.statement.account
        async for balance in books.units.of(account):
            instrument = balance.instrument_id
            if balance.position == Position.TRADING:
                self._trading[instrument] += balance.closing
                continue
            position = Position(balance.position)
            section = self._open(instrument, position.name, balance.opening)
            async for move in books.unit_moves.of(account, instrument, position):
                line = Line(
                    move.time_ns, move.cause, move.cause_id, move.amount,
                    section.closing + move.amount, programme=move.programme,
                    first_serial=move.first_serial, last_serial=move.last_serial,
                )  # fmt: skip
                self._add(section, line)
            self._close(section, balance.closing)
        async for sold in books.sold.of(account):  # its serial numbers are with it until settled
            self._trading[sold.instrument_id] -= sold.quantity
        for instrument, tonnes in sorted(self._trading.items()):
            if tonnes < 0:
                self._differ(f"{self._names.symbol(instrument)}: {-tonnes} t of the trading "
                             "position have no serial numbers")  # fmt: skip
            if tonnes:
                self.statement.on_their_way[instrument] = tonnes

    async def holdings(self, books: _Books) -> None:
        async for block in books.blocks.of(self.statement.account):
            self.statement.block_count += 1
            if len(self.statement.blocks) < STATEMENT_LINES_MAX:
                self.statement.blocks.append(block)
            tonnes = block.last_serial - block.first_serial + 1
            position = Position(block.position).name
            line = Line(
                0, "", 0, tonnes, 0, programme=block.programme, first_serial=block.first_serial,
                last_serial=block.last_serial,
            )  # fmt: skip
            self._write("HOLDING", block.instrument_id, position, line)

    def _open(self, asset: int, position: str, opening: int) -> Section:
        section = Section(asset, position, opening)
        self.statement.sections.append(section)
        self._write("OPENING", asset, position, Line(self._cut.day.begin_ns, "", 0, 0, opening))
        return section

    def _add(self, section: Section, line: Line) -> None:
        section.add(line)
        self._write("MOVEMENT", section.asset, section.position, line)

    def _close(self, section: Section, closing: int) -> None:
        asset = section.asset
        if section.closing != closing:
            self._differ(
                f"{self._names.asset(asset)} {section.position}: opening and movements give "
                f"{section.closing}, the books have {closing}"
            )
        line = Line(self._cut.day.end_ns, "", 0, 0, closing)
        self._write("CLOSING", asset, section.position, line)

    def _differ(self, what: str) -> None:
        raise DayRefusedError(
            DayReason.BOOKS_DO_NOT_ADD_UP, f"account {self.statement.account}, {what}"
        )

    def _write(self, record: str, asset: int, position: str, line: Line) -> None:
        names, is_movement = self._names, record == "MOVEMENT"
        self._file.row(
            (
                self._cut.day.date.isoformat(),
                names.market.code,
                self.statement.account,
                record,
                names.asset(asset),
                position,
                utc_text(line.time_ns) if line.time_ns else "",
                line.time_ns or "",
                line.cause,
                line.cause_id if is_movement else "",
                names.symbol(line.instrument_id) if line.instrument_id else "",
                line.quantity or "",
                names.money(line.price) if line.price else "",
                names.amount(asset, line.amount) if record in ("MOVEMENT", "HOLDING") else "",
                "" if record == "HOLDING" else names.amount(asset, line.balance),
                line.programme,
                line.first_serial or "",
                line.last_serial or "",
                names.market.fee_vat_code if line.cause == FEE else "",
            )
        )


def _ledger_line(section: Section, move: rows.LedgerMovement) -> Line:
    is_trade = move.quantity > 0
    return Line(
        move.time_ns,
        cause_of(move.leg, move.asset, move.amount, move.message),
        move.trade_id if is_trade else move.transfer_id,
        move.amount,
        section.closing + move.amount,
        move.instrument_id if is_trade else 0,
        move.quantity,
        move.price,
    )
