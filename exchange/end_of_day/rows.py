"""What the books hold of a day, row by row, in the order in which the files need it.

Every function streams from one connection, so from one state of the books, and keeps a bounded
number of rows in memory; sorting is the database's. Amounts are minor units or tonnes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, Generic, NamedTuple, TypeVar

from sqlalchemy import BigInteger, Select, and_, case, cast, func, literal, or_, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from exchange.database import schema as tables
from exchange.end_of_day.days import Cut, Span
from exchange.registry.blocks import HistoryKind, Position, State

ROWS_AT_ONCE = 1_000

Row = TypeVar("Row", bound=tuple[Any, ...])


class TradeRow(NamedTuple):
    """A trade as it stands in the ledger; names as in `TradeSettled`."""

    trade_id: int
    instrument_id: int
    quantity: int
    price: int
    buyer_account: int
    seller_account: int
    buyer_fee: int
    seller_fee: int
    buyer_order_id: int
    seller_order_id: int
    time_ns: int


class BlockRow(NamedTuple):
    """A block that was issued, moved or retired."""

    sequence: int
    settlement_number: int
    time_ns: int
    kind: int  # a `blocks.HistoryKind`
    block_id: int
    programme: str
    first_serial: int
    last_serial: int
    from_account: int
    from_position: int
    to_account: int
    to_position: int
    cause: str
    cause_id: int
    instrument_id: int

    @property
    def quantity(self) -> int:
        """Tonnes."""
        return self.last_serial - self.first_serial + 1


class LedgerBalance(NamedTuple):
    """An account's asset before and after the day."""

    account: int
    asset: int
    opening: int
    closing: int
    movements: int


class LedgerMovement(NamedTuple):
    """One posting of a participant's account; `trade_id` and `price` are 0 for a transfer."""

    account: int
    asset: int
    event_number: int
    leg: int
    amount: int
    instrument_id: int
    quantity: int
    price: int
    transfer_id: int
    time_ns: int


class UnitBalance(NamedTuple):
    """An account's units of an instrument at a position of the registry, before and after."""

    account: int
    instrument_id: int
    position: int
    opening: int
    closing: int
    movements: int


class UnitMovement(NamedTuple):
    """A block that came to a position of an account other than TRADING, or (negative) left it."""

    account: int
    instrument_id: int
    position: int  # REGISTRY, FROZEN or PLEDGED
    sequence: int
    amount: int
    time_ns: int
    kind: int
    cause: str
    cause_id: int
    programme: str
    first_serial: int
    last_serial: int


class HeldBlock(NamedTuple):
    """A block at the end of the day."""

    account: int
    instrument_id: int
    position: int
    programme: str
    first_serial: int
    last_serial: int


class ByAccount(Generic[Row]):
    """Rows that are ordered by account, handed out one account after the other."""

    def __init__(self, rows: AsyncIterator[Row]) -> None:
        self._rows = rows
        self._head: Row | None = None
        self._begun = False

    async def account(self) -> int | None:
        """The account of the next row; None at the end."""
        if not self._begun:
            self._begun = True
            self._head = await anext(self._rows, None)
        return self._head[0] if self._head is not None else None

    async def of(self, *key: int) -> AsyncIterator[Row]:
        """The next rows as long as they begin with `key`; keys come in the rows' own order."""
        await self.account()
        while self._head is not None and self._head[: len(key)] == key:
            row, self._head = self._head, None
            yield row
            self._head = await anext(self._rows, None)


async def _stream(
    connection: AsyncConnection, query: Any, kind: Callable[..., Row]
) -> AsyncIterator[Row]:
    result = await connection.stream(query)
    async for rows in result.partitions(ROWS_AT_ONCE):
        for row in rows:
            yield kind(*row)


def trades(connection: AsyncConnection, market: int, span: Span) -> AsyncIterator[TradeRow]:
    """The trades of a span of events, by id."""
    table = tables.trade
    query = (
        select(*(table.c[name] for name in TradeRow._fields))
        .where(table.c.market == market, _within(table.c.trade_id, span))
        .order_by(table.c.trade_id)
    )
    return _stream(connection, query, TradeRow)


def blocks_moved(
    connection: AsyncConnection, market: int, span: Span, *, only_trades: bool = False
) -> AsyncIterator[BlockRow]:
    """What was issued, moved or retired, in the registry's order; splits move nothing."""
    table = tables.block_history
    named = [table.c[name] for name in BlockRow._fields[:-1]]
    query = select(*named, _instrument_of(table)).where(
        table.c.market == market,
        _within(table.c.sequence, span),
        table.c.kind != int(HistoryKind.SPLIT),
    )
    if only_trades:
        query = query.where(table.c.cause == "TRADE")
    return _stream(connection, query.order_by(table.c.sequence), BlockRow)


def ledger_balances(
    connection: AsyncConnection, market: int, cut: Cut
) -> AsyncIterator[LedgerBalance]:
    """Every participant's balance before and after the day, by account and asset.

    Reckoned back from the balances now, so it costs the postings since the day, not all of them.
    """
    held, post, events = tables.balance, tables.posting, cut.events
    zero = literal(0, BigInteger)
    now = select(
        held.c.account,
        held.c.asset,
        held.c.amount.label("opening"),
        held.c.amount.label("closing"),
        zero.label("movements"),
    ).where(held.c.market == market, held.c.account >= 0)
    is_later = post.c.event_number >= events.end
    since = select(
        post.c.account,
        post.c.asset,
        -post.c.amount,
        case((is_later, -post.c.amount), else_=zero),
        case((is_later, zero), else_=literal(1, BigInteger)),
    ).where(post.c.market == market, post.c.event_number >= events.begin, post.c.account >= 0)
    rows = union_all(now, since).subquery()
    sums = [cast(func.sum(rows.c[name]), BigInteger) for name in LedgerBalance._fields[2:]]
    query = (
        select(rows.c.account, rows.c.asset, *sums)
        .group_by(rows.c.account, rows.c.asset)
        .having(_any(sums))
        .order_by(rows.c.account, rows.c.asset)
    )
    return _stream(connection, query, LedgerBalance)


def ledger_movements(
    connection: AsyncConnection, market: int, cut: Cut
) -> AsyncIterator[LedgerMovement]:
    """The postings of the day to participants' accounts, by account, asset, event and leg."""
    post, trade, moved = tables.posting, tables.trade, tables.transfer
    both = post.outerjoin(
        trade,
        and_(trade.c.market == post.c.market, trade.c.trade_id == post.c.event_number),
    ).outerjoin(
        moved,
        and_(moved.c.market == post.c.market, moved.c.event_number == post.c.event_number),
    )
    order = (post.c.account, post.c.asset, post.c.event_number, post.c.leg)
    query = (
        select(
            *order,
            post.c.amount,
            func.coalesce(trade.c.instrument_id, moved.c.asset),
            func.coalesce(trade.c.quantity, 0),
            func.coalesce(trade.c.price, 0),
            func.coalesce(moved.c.transfer_id, 0),
            func.coalesce(trade.c.time_ns, moved.c.time_ns),
        )
        .select_from(both)
        .where(
            post.c.market == market,
            _within(post.c.event_number, cut.events),
            post.c.account >= 0,
        )
        .order_by(*order)
    )
    return _stream(connection, query, LedgerMovement)


def unit_balances(connection: AsyncConnection, market: int, cut: Cut) -> AsyncIterator[UnitBalance]:
    """The registry's holdings before and after the day, by account, instrument and position.

    Reckoned back from the living blocks, like `ledger_balances`.
    """
    block, history = tables.block, tables.block_history
    zero, one = literal(0, BigInteger), literal(1, BigInteger)
    tonnes = block.c.last_serial - block.c.first_serial + 1
    now = select(
        block.c.account,
        block.c.instrument_id,
        block.c.position,
        tonnes.label("opening"),
        tonnes.label("closing"),
        zero.label("movements"),
    ).where(block.c.market == market, block.c.state == int(State.HELD))
    is_later = history.c.sequence >= cut.history.end
    moved = history.c.last_serial - history.c.first_serial + 1
    back = [
        select(
            history.c[f"{side}_account"],
            _instrument_of(history),
            history.c[f"{side}_position"],
            sign * moved,
            case((is_later, sign * moved), else_=zero),
            case((is_later, zero), else_=one),
        ).where(
            history.c.market == market,
            history.c.sequence >= cut.history.begin,
            history.c.kind != int(HistoryKind.SPLIT),
            history.c[f"{side}_position"] != int(Position.NONE),
        )
        for side, sign in (("from", 1), ("to", -1))
    ]
    rows = union_all(now, *back).subquery()
    key = (rows.c.account, rows.c.instrument_id, rows.c.position)
    sums = [cast(func.sum(rows.c[name]), BigInteger) for name in UnitBalance._fields[3:]]
    query = select(*key, *sums).group_by(*key).having(_any(sums)).order_by(*key)
    return _stream(connection, query, UnitBalance)


def unit_movements(
    connection: AsyncConnection, market: int, cut: Cut
) -> AsyncIterator[UnitMovement]:
    """What came to positions outside TRADING and left them.

    By account, instrument, position and sequence.
    """
    history = tables.block_history
    tonnes = history.c.last_serial - history.c.first_serial + 1
    sides = [
        select(
            history.c[f"{side}_account"].label("account"),
            _instrument_of(history).label("instrument_id"),
            history.c[f"{side}_position"].label("position"),
            history.c.sequence,
            (sign * tonnes).label("amount"),
            *(history.c[name] for name in UnitMovement._fields[5:]),
        ).where(
            history.c.market == market,
            _within(history.c.sequence, cut.history),
            history.c.kind != int(HistoryKind.SPLIT),
            history.c[f"{side}_position"].not_in((int(Position.NONE), int(Position.TRADING))),
        )
        for side, sign in (("from", -1), ("to", 1))
    ]
    rows = union_all(*sides).subquery()
    query = select(*(rows.c[name] for name in UnitMovement._fields)).order_by(
        rows.c.account, rows.c.instrument_id, rows.c.position, rows.c.sequence, rows.c.amount
    )
    return _stream(connection, query, UnitMovement)


def blocks_held(connection: AsyncConnection, market: int, cut: Cut) -> AsyncIterator[HeldBlock]:
    """The blocks as they were at the end of the day, by account, instrument, position, serial.

    A block to which nothing happened since lies where it lies now; of any other, the first thing
    that happened to it since says where it lay.
    """
    block, history = tables.block, tables.block_history
    later = and_(history.c.market == market, history.c.sequence >= cut.history.end)
    unmoved = select(*(block.c[name] for name in HeldBlock._fields)).where(
        block.c.market == market,
        block.c.state == int(State.HELD),
        block.c.block_id.not_in(select(history.c.block_id).where(later)),
    )
    first = select(func.min(history.c.sequence)).where(later).group_by(history.c.block_id)
    moved = select(
        history.c.from_account,
        _instrument_of(history),
        history.c.from_position,
        history.c.programme,
        history.c.first_serial,
        history.c.last_serial,
    ).where(
        history.c.market == market,
        history.c.sequence.in_(first),
        history.c.from_position != int(Position.NONE),  # issued since, or retired before and undone
    )
    if cut.first_block:
        unmoved = unmoved.where(block.c.block_id < cut.first_block)
        moved = moved.where(history.c.block_id < cut.first_block)
    rows = union_all(unmoved, moved).subquery()
    columns = [rows.c[name] for name in HeldBlock._fields]
    return _stream(connection, select(*columns).order_by(*columns), HeldBlock)


def _within(column: Any, span: Span) -> Any:
    return and_(column >= span.begin, column < span.end)


def _any(sums: list[Any]) -> Any:
    """Leaves out who neither had anything nor moved anything."""
    return or_(*(amount != 0 for amount in sums))


def _instrument_of(history: Any) -> Any:
    """The instrument of a row of history: that of the block in which its first serial is now."""
    block = tables.block
    found: Select[tuple[int]] = (
        select(block.c.instrument_id)
        .where(
            block.c.programme == history.c.programme,
            block.c.first_serial <= history.c.first_serial,
        )
        .order_by(block.c.first_serial.desc())
        .limit(1)
    )
    return found.correlate(history).scalar_subquery()
