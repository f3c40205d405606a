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
from exchange.ledger import HELD_SETTLEMENT
from exchange.registry.blocks import HistoryKind, Position, State
from exchange.settlement.cycle import OPEN, Message, TradeState

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
    state: int  # a `cycle.TradeState` at the end of the day


class ActRow(NamedTuple):
    """A move of a trade's settlement."""

    trade_id: int
    number: int
    time_ns: int
    message: int  # a `cycle.Message`
    state_before: int
    state_after: int
    instruction_id: int
    given_by: str
    reason: str
    instrument_id: int
    price: int
    quantity: int
    buyer_account: int
    seller_account: int
    buyer_fee: int
    seller_fee: int
    due_ns: int


class LateRow(NamedTuple):
    """A trade that was not settled at its cut-off."""

    trade_id: int
    instrument_id: int
    quantity: int
    price: int
    buyer_account: int
    seller_account: int
    due_ns: int
    ended_ns: int | None  # None: not by the end of the day
    message: int | None  # a `cycle.Message`: DELIVERED_LATE or VOIDED
    given_by: str | None  # who said last why it fails, and why; None: nobody
    reason: str | None


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
    is_held: int  # 1: for trades that are not settled
    opening: int
    closing: int
    movements: int


class LedgerMovement(NamedTuple):
    """One posting of a participant's account; `trade_id` and `price` are 0 for a transfer."""

    account: int
    asset: int
    is_held: int
    event_number: int
    leg: int
    amount: int
    instrument_id: int
    quantity: int
    price: int
    transfer_id: int
    time_ns: int
    trade_id: int  # 0: no trade's
    message: int  # a `cycle.Message`; 0: a fill or a transfer


class SoldRow(NamedTuple):
    """Tonnes that an account sold, which lay in its place of the registry at the end of the day."""

    account: int
    instrument_id: int
    quantity: int


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


def trades(connection: AsyncConnection, market: int, cut: Cut) -> AsyncIterator[TradeRow]:
    """The trades of the day, by id."""
    table, act = tables.trade, tables.settlement_act
    last: Select[tuple[int]] = (
        select(act.c.state_after)
        .where(
            act.c.market == market,
            act.c.trade_id == table.c.trade_id,
            act.c.time_ns < cut.day.end_ns,
        )
        .order_by(act.c.number.desc())
        .limit(1)
    )
    state = func.coalesce(last.correlate(table).scalar_subquery(), int(TradeState.SETTLED))
    query = (
        select(*(table.c[name] for name in TradeRow._fields[:-1]), state)
        .where(table.c.market == market, _within(table.c.trade_id, cut.events))
        .order_by(table.c.trade_id)
    )
    return _stream(connection, query, TradeRow)


def acts(connection: AsyncConnection, market: int, cut: Cut) -> AsyncIterator[ActRow]:
    """The moves of trades' settlement on the day, by time, trade and number."""
    act, trade, state = tables.settlement_act, tables.trade, tables.trade_settlement
    of_trade = {*ActRow._fields[9:16]}
    columns = [
        (trade if name in of_trade else state if name == "due_ns" else act).c[name]
        for name in ActRow._fields
    ]
    both = act.join(
        trade, and_(trade.c.market == act.c.market, trade.c.trade_id == act.c.trade_id)
    ).join(state, and_(state.c.market == act.c.market, state.c.trade_id == act.c.trade_id))
    query = (
        select(*columns)
        .select_from(both)
        .where(
            act.c.market == market,
            act.c.time_ns >= cut.day.begin_ns,
            act.c.time_ns < cut.day.end_ns,
        )
        .order_by(act.c.time_ns, act.c.trade_id, act.c.number)
    )
    return _stream(connection, query, ActRow)


def late_trades(connection: AsyncConnection, market: int, cut: Cut) -> AsyncIterator[LateRow]:
    """Trades overdue at the end of the day, and those that ended on it after their cut-off, by id.

    O(trades that are open, and acts since the day began).
    """
    act, trade, state = tables.settlement_act, tables.trade, tables.trade_settlement
    end = act.alias("ended")
    begin_ns, end_ns = cut.day.begin_ns, cut.day.end_ns
    moved: Select[tuple[int]] = select(act.c.trade_id).where(
        act.c.market == market, act.c.time_ns >= begin_ns
    )
    whys = [
        select(act.c[name])
        .where(
            act.c.market == market,
            act.c.trade_id == trade.c.trade_id,
            act.c.message.in_([int(Message.FAIL), int(Message.OBJECT), int(Message.SUSPEND)]),
            act.c.time_ns < end_ns,
        )
        .order_by(act.c.number.desc())
        .limit(1)
        .correlate(trade)
        .scalar_subquery()
        for name in ("given_by", "reason")
    ]
    ends = [int(m) for m in (Message.DELIVERED, Message.DELIVERED_LATE, Message.VOIDED)]
    is_end = and_(
        end.c.market == state.c.market, end.c.trade_id == state.c.trade_id,
        end.c.message.in_(ends), end.c.time_ns < end_ns,
    )  # fmt: skip
    both = state.join(
        trade, and_(trade.c.market == state.c.market, trade.c.trade_id == state.c.trade_id)
    ).outerjoin(end, is_end)
    is_late = and_(
        end.c.message != int(Message.DELIVERED),
        end.c.time_ns >= begin_ns,
        end.c.time_ns >= state.c.due_ns,
    )
    query = (
        select(
            *(trade.c[name] for name in LateRow._fields[:6]),
            state.c.due_ns, end.c.time_ns, end.c.message, *whys,
        )
        .select_from(both)
        .where(
            state.c.market == market,
            state.c.due_ns > 0,
            state.c.due_ns < end_ns,
            or_(state.c.state.in_([int(s) for s in sorted(OPEN)]), state.c.trade_id.in_(moved)),
            or_(end.c.trade_id.is_(None), is_late),
        )
        .order_by(trade.c.trade_id)
    )  # fmt: skip
    return _stream(connection, query, LateRow)


def units_sold(connection: AsyncConnection, market: int, cut: Cut) -> AsyncIterator[SoldRow]:
    """What was sold and not settled at the end of the day, by seller and instrument. O(acts)."""
    act, trade = tables.settlement_act, tables.trade
    ended: Select[tuple[int]] = select(act.c.trade_id).where(
        act.c.market == market,
        act.c.message.in_([int(Message.DELIVERED), int(Message.DELIVERED_LATE),
                           int(Message.VOIDED)]),
        act.c.time_ns < cut.day.end_ns,
    )  # fmt: skip
    key = (trade.c.seller_account, trade.c.instrument_id)
    query = (
        select(*key, cast(func.sum(trade.c.quantity), BigInteger))
        .join(act, and_(act.c.market == trade.c.market, act.c.trade_id == trade.c.trade_id))
        .where(
            act.c.market == market,
            act.c.message == int(Message.TRADED_LATER),
            act.c.time_ns < cut.day.end_ns,
            act.c.trade_id.not_in(ended),
        )
        .group_by(*key)
        .order_by(*key)
    )
    return _stream(connection, query, SoldRow)


def blocks_moved(
    connection: AsyncConnection, market: int, span: Span, *, only_trades: bool = False
) -> AsyncIterator[BlockRow]:
    """What was issued, moved or retired, in the registry's order, of trades in that of their ids.

    Splits move nothing.
    """
    table = tables.block_history
    named = [table.c[name] for name in BlockRow._fields[:-1]]
    query = select(*named, _instrument_of(table)).where(
        table.c.market == market,
        _within(table.c.sequence, span),
        table.c.kind != int(HistoryKind.SPLIT),
    )
    if not only_trades:
        return _stream(connection, query.order_by(table.c.sequence), BlockRow)
    query = query.where(table.c.cause == "TRADE").order_by(table.c.cause_id, table.c.sequence)
    return _stream(connection, query, BlockRow)


def ledger_balances(
    connection: AsyncConnection, market: int, cut: Cut
) -> AsyncIterator[LedgerBalance]:
    """Every participant's balance before and after the day, by account and asset.

    Reckoned back from the balances now, so it costs the postings since the day, not all of them.
    """
    held, post, events = tables.balance, tables.posting, cut.events
    zero = literal(0, BigInteger)
    now = select(
        *_owner(held.c.account, held.c.asset),
        held.c.amount.label("opening"),
        held.c.amount.label("closing"),
        zero.label("movements"),
    ).where(held.c.market == market, held.c.account >= 0)
    is_later = post.c.event_number >= events.end
    since = select(
        *_owner(post.c.account, post.c.asset),
        -post.c.amount,
        case((is_later, -post.c.amount), else_=zero),
        case((is_later, zero), else_=literal(1, BigInteger)),
    ).where(post.c.market == market, post.c.event_number >= events.begin, post.c.account >= 0)
    rows = union_all(now, since).subquery()
    sums = [cast(func.sum(rows.c[name]), BigInteger) for name in LedgerBalance._fields[3:]]
    key = [rows.c[name] for name in LedgerBalance._fields[:3]]
    query = select(*key, *sums).group_by(*key).having(_any(sums)).order_by(*key)
    return _stream(connection, query, LedgerBalance)


def ledger_movements(
    connection: AsyncConnection, market: int, cut: Cut
) -> AsyncIterator[LedgerMovement]:
    """The postings of the day to participants' accounts, by account, asset, event and leg."""
    post, trade, moved, act = (
        tables.posting,
        tables.trade,
        tables.transfer,
        tables.settlement_act,
    )
    both = (
        post.outerjoin(
            act,
            and_(
                act.c.market == post.c.market,
                act.c.event_number == post.c.event_number,
                act.c.event_number != 0,
            ),
        )
        .outerjoin(
            trade,
            and_(
                trade.c.market == post.c.market,
                trade.c.trade_id == func.coalesce(act.c.trade_id, post.c.event_number),
            ),
        )
        .outerjoin(
            moved,
            and_(moved.c.market == post.c.market, moved.c.event_number == post.c.event_number),
        )
    )
    order = (*_owner(post.c.account, post.c.asset), post.c.event_number, post.c.leg)
    query = (
        select(
            *order,
            post.c.amount,
            func.coalesce(trade.c.instrument_id, moved.c.asset),
            func.coalesce(trade.c.quantity, 0),
            func.coalesce(trade.c.price, 0),
            func.coalesce(moved.c.transfer_id, 0),
            func.coalesce(act.c.time_ns, trade.c.time_ns, moved.c.time_ns),
            func.coalesce(trade.c.trade_id, 0),
            func.coalesce(act.c.message, 0),
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


def _owner(account: Any, asset: Any) -> tuple[Any, ...]:
    """Whose, which asset, and whether held for settlement: accounts of the ledger as a key."""
    is_held = case((account >= HELD_SETTLEMENT, 1), else_=0)
    own = case((account >= HELD_SETTLEMENT, account - HELD_SETTLEMENT), else_=account)
    return own.label("account"), asset, is_held.label("is_held")


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
