"""All files of one market's day, from one state of the books, into a folder that comes whole."""

from __future__ import annotations

import datetime as dt
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from exchange.database import Database
from exchange.end_of_day import rows
from exchange.end_of_day.days import Cut, DayRefusedError, Span, cut_of, day_of, utc_text
from exchange.end_of_day.files import CsvFile, FileDigest, whole_folder, write_whole
from exchange.end_of_day.fonts import cut_fonts
from exchange.end_of_day.member_files import LateTrades, Netting
from exchange.end_of_day.names import Names
from exchange.end_of_day.paper import render
from exchange.end_of_day.statements import (
    CASH_HELD,
    CASH_POSITION,
    UNITS_HELD,
    Statement,
    statements,
)
from exchange.ledger import CASH
from exchange.messages.reasons import DayReason
from exchange.registry.blocks import HistoryKind, Position
from exchange.settlement.cycle import Message, TradeState

TRADE_COLUMNS = (
    "trade_id", "time_ns", "time_utc", "instrument_id", "instrument", "price", "quantity_t",
    "value", "currency", "buyer_account", "seller_account", "buyer_fee", "seller_fee",
    "buyer_order_id", "seller_order_id", "delivery", "state",
)  # fmt: skip
UNIT_COLUMNS = (
    "sequence", "time_ns", "time_utc", "event", "instrument_id", "instrument", "programme",
    "first_serial", "last_serial", "quantity_t", "from_account", "from_position", "to_account",
    "to_position", "cause", "cause_id", "block_id", "settlement_number",
)  # fmt: skip
ACT_COLUMNS = (
    "trade_id", "number", "time_ns", "time_utc", "message", "state_before", "state_after",
    "instrument_id", "instrument", "price", "quantity_t", "value", "currency", "buyer_account",
    "seller_account", "buyer_fee", "seller_fee", "due_utc", "instruction_id", "given_by", "reason",
)  # fmt: skip
_DELIVERED_STATES = frozenset(
    {TradeState.SETTLED, TradeState.LATE, TradeState.REVERSING, TradeState.CANCELLED}
)
DELIVERED, NOT_DELIVERED = "DELIVERED", "NOT_DELIVERED"


class Closed(NamedTuple):
    """What was written."""

    folder: Path
    totals: dict[str, Any]  # as in the totals file
    sha256: str  # of the totals file, which has those of all others


async def close_day(
    database: Database, names: Names, date: dt.date, folder: Path, now_ns: int
) -> Closed:
    """Writes the files of a market's day into `folder`, which must be absent or empty.

    `now_ns` is the wall clock: it only refuses a day ahead of it. Raises DayRefusedError, OSError
    and the database's errors; then nothing is left behind. Memory is bounded by the instruments
    and by STATEMENT_LINES_MAX; time is O(rows since the day began, and accounts).
    """
    market = names.market
    day = day_of(date, market.time_zone)
    prefix = f"{day.date}-{market.code}"
    async with database.reading() as connection:
        cut = await cut_of(connection, market.partition, day, now_ns)
        with whole_folder(folder) as draft:
            totals = _Totals(names, cut)
            digests = [
                await _trade_file(connection, totals, draft / f"{prefix}-trades.csv"),
                await _act_file(connection, totals, draft / f"{prefix}-settlements.csv"),
                await _unit_file(connection, totals, draft / f"{prefix}-units.csv"),
                totals.netting.write(draft / f"{prefix}-netting.csv"),
                await totals.late.write(connection, cut, draft / f"{prefix}-late.csv"),
            ]
            digests += await _statement_files(connection, totals, draft, prefix)
            told = totals.told(digests)
            text = msgspec.json.format(msgspec.json.encode(told), indent=2) + b"\n"
            written = write_whole(draft / f"{prefix}-totals.json", text)
    return Closed(folder, told, written.sha256)


async def _trade_file(connection: AsyncConnection, totals: _Totals, path: Path) -> FileDigest:
    names, market = totals.names, totals.names.market.partition
    moved = rows.blocks_moved(
        connection, market, Span(totals.cut.history.begin, 2**63 - 1), only_trades=True
    )
    delivered = _Delivered(moved)
    with CsvFile(path, TRADE_COLUMNS) as file:
        async for row in rows.trades(connection, market, totals.cut):
            totals.trade(row)
            is_settled = row.state in _DELIVERED_STATES
            tonnes = await delivered.quantity(row.trade_id)
            if tonnes not in (0, row.quantity):
                raise DayRefusedError(
                    DayReason.BOOKS_DO_NOT_ADD_UP,
                    f"trade {row.trade_id}: {row.quantity} t were traded, the registry moved "
                    f"{tonnes} t",
                )
            file.row(
                (
                    row.trade_id,
                    row.time_ns,
                    utc_text(row.time_ns),
                    row.instrument_id,
                    names.symbol(row.instrument_id),
                    names.money(row.price),
                    row.quantity,
                    names.money(row.price * row.quantity),
                    names.market.currency,
                    row.buyer_account,
                    row.seller_account,
                    names.money(row.buyer_fee),
                    names.money(row.seller_fee),
                    row.buyer_order_id,
                    row.seller_order_id,
                    DELIVERED if tonnes and is_settled else NOT_DELIVERED,
                    TradeState(row.state).name,
                )
            )
    return file.digest()


async def _act_file(connection: AsyncConnection, totals: _Totals, path: Path) -> FileDigest:
    names = totals.names
    with CsvFile(path, ACT_COLUMNS) as file:
        async for row in rows.acts(connection, names.market.partition, totals.cut):
            totals.act(row)
            file.row(
                (
                    row.trade_id,
                    row.number,
                    row.time_ns,
                    utc_text(row.time_ns),
                    Message(row.message).name,
                    TradeState(row.state_before).name,
                    TradeState(row.state_after).name,
                    row.instrument_id,
                    names.symbol(row.instrument_id),
                    names.money(row.price),
                    row.quantity,
                    names.money(row.price * row.quantity),
                    names.market.currency,
                    row.buyer_account,
                    row.seller_account,
                    names.money(row.buyer_fee),
                    names.money(row.seller_fee),
                    utc_text(row.due_ns) if row.due_ns else "",
                    row.instruction_id or "",
                    row.given_by,
                    row.reason,
                )
            )
    return file.digest()


class _Delivered:
    """Tonnes that the registry moved for each trade; both come in the order of trade ids."""

    def __init__(self, moved: AsyncIterator[rows.BlockRow]) -> None:
        self._moved = moved
        self._row: rows.BlockRow | None = None
        self._ended = False

    async def quantity(self, trade_id: int) -> int:
        total = 0
        while not self._ended:
            if self._row is None:
                self._row = await anext(self._moved, None)
                self._ended = self._row is None
            if self._row is None or self._row.cause_id > trade_id:
                break
            if self._row.cause_id == trade_id:
                total += self._row.quantity
            self._row = None
        return total


async def _unit_file(connection: AsyncConnection, totals: _Totals, path: Path) -> FileDigest:
    names = totals.names
    span = totals.cut.history
    with CsvFile(path, UNIT_COLUMNS) as file:
        async for row in rows.blocks_moved(connection, names.market.partition, span):
            totals.block(row)
            file.row(
                (
                    row.sequence,
                    row.time_ns,
                    utc_text(row.time_ns),
                    HistoryKind(row.kind).name,
                    row.instrument_id,
                    names.symbol(row.instrument_id),
                    row.programme,
                    row.first_serial,
                    row.last_serial,
                    row.quantity,
                    row.from_account or "",
                    Position(row.from_position).name,
                    row.to_account or "",
                    Position(row.to_position).name,
                    row.cause,
                    row.cause_id,
                    row.block_id,
                    row.settlement_number,
                )
            )
    return file.digest()


async def _statement_files(
    connection: AsyncConnection, totals: _Totals, folder: Path, prefix: str
) -> list[FileDigest]:
    digests = []
    with tempfile.TemporaryDirectory(prefix="exchange-fonts-") as place:
        fonts = cut_fonts(totals.names.characters(), Path(place))
        async for statement in statements(connection, totals.names, totals.cut, folder, prefix):
            totals.statement(statement)
            if statement.file is not None:
                digests.append(statement.file)
            paper = render(statement, totals.names, totals.cut.day, fonts)
            path = folder / f"{prefix}-statement-{statement.account}.pdf"
            digests.append(write_whole(path, paper))
    return digests


class _Totals:
    """Sums of a day by instrument and for the cash; bounded by the instruments and causes."""

    def __init__(self, names: Names, cut: Cut) -> None:
        self.names = names
        self.cut = cut
        self._traded: dict[int, list[int]] = defaultdict(lambda: [0, 0, 0, 0, 0])
        self._moved: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self._places: dict[tuple[int, str], list[int]] = defaultdict(lambda: [0, 0])
        self._causes: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self._on_their_way: dict[int, int] = defaultdict(int)
        self._acts: dict[str, int] = defaultdict(int)
        self._statements = 0
        self.netting = Netting(names)
        self.late = LateTrades(names)

    def act(self, row: rows.ActRow) -> None:
        """Counts a move of a trade's settlement, by the state it led to. O(1)."""
        self._acts[TradeState(row.state_after).name] += 1

    def trade(self, row: rows.TradeRow) -> None:
        """Counts a trade. O(1)."""
        self.netting.trade(row)
        counts = (1, row.quantity, row.price * row.quantity, row.buyer_fee, row.seller_fee)
        sums = self._traded[row.instrument_id]
        sums[:] = [total + count for total, count in zip(sums, counts, strict=True)]

    def block(self, row: rows.BlockRow) -> None:
        """Counts a movement of a block. O(1)."""
        self._moved[row.instrument_id][row.cause] += row.quantity

    def statement(self, item: Statement) -> None:
        """Counts a statement. O(sections)."""
        self._statements += 1
        for section in item.sections:
            place = self._places[section.asset, section.position]
            place[0] += section.opening
            place[1] += section.closing
            if section.asset == CASH:
                for cause, amount in section.sums.items():
                    self._causes[CASH][cause] += amount
        for instrument, tonnes in item.on_their_way.items():
            self._on_their_way[instrument] += tonnes

    def told(self, files: list[FileDigest]) -> dict[str, Any]:
        """The totals file."""
        names, day, cut = self.names, self.cut.day, self.cut
        money = names.money
        cash = self._places.get((CASH, CASH_POSITION), [0, 0])
        held = self._places.get((CASH, CASH_HELD), [0, 0])
        traded = [sum(column) for column in zip(*self._traded.values(), strict=True)] or [0] * 5
        return {
            "venue": names.venue.name,
            "market": names.market.code,
            "currency": names.market.currency,
            "day": day.date.isoformat(),
            "time_zone": day.time_zone,
            "begin_ns": day.begin_ns,
            "end_ns": day.end_ns,
            "events": {"begin": cut.events.begin, "end": cut.events.end},
            "registry_history": {"begin": cut.history.begin, "end": cut.history.end},
            "trades": self._trade_sums(traded),
            "late_settlement": {
                **{state.lower(): count for state, count in self.late.counts.items()},
                "penalties": money(self.late.penalty),
            },
            "settlement_moves": dict(sorted(self._acts.items())),
            "instruments": [self._instrument(item) for item in sorted(self._instruments())],
            "cash": {
                "opening": money(cash[0] + held[0]),
                "movements": {
                    cause: money(amount) for cause, amount in sorted(self._causes[CASH].items())
                },
                "closing": money(cash[1] + held[1]),
                "held": {"opening": money(held[0]), "closing": money(held[1])},
            },
            "statements": self._statements,
            "files": {
                item.name: {"bytes": item.bytes, "rows": item.rows, "sha256": item.sha256}
                for item in files
            },
        }

    def _instruments(self) -> set[int]:
        placed = {asset for asset, _ in self._places if asset != CASH}
        return placed | set(self._traded) | set(self._moved)

    def _trade_sums(self, sums: list[int]) -> dict[str, Any]:
        count, quantity, *amounts = sums
        value, buyer_fees, seller_fees = map(self.names.money, amounts)
        return {
            "count": count,
            "quantity_t": quantity,
            "value": value,
            "buyer_fees": buyer_fees,
            "seller_fees": seller_fees,
        }

    def _instrument(self, item: int) -> dict[str, Any]:
        positions = {
            place.name.lower(): dict(
                zip(
                    ("opening_t", "closing_t"),
                    self._places.get((item, place.name), [0, 0]),
                    strict=True,
                )
            )
            for place in Position
            if place != Position.NONE
        }
        held = self._places.get((item, UNITS_HELD), [0, 0])
        positions["held"] = {"opening_t": held[0], "closing_t": held[1]}
        return {
            "instrument_id": item,
            "instrument": self.names.symbol(item),
            "trades": self._trade_sums(self._traded.get(item, [0] * 5)),
            **positions,
            "blocks_moved_t": dict(sorted(self._moved.get(item, {}).items())),
            "on_their_way_t": self._on_their_way.get(item, 0),
        }
