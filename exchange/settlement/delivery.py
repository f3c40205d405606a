"""From event records to what is settled: trades, cash, units, instructions, and their postings.

Pure functions of `events`. The two fills of a trade, or an instruction and its notes, form a group;
a group may end in the next part of the same output, so its beginning is carried over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from exchange.ledger import CASH, FEE_INCOME, HELD_SETTLEMENT, Leg, Posting, postings_of
from exchange.messages import frames
from exchange.messages.frames import (
    RECORD_SIZE,
    AccountParameter,
    Command,
    Event,
    EventPart,
    EventRow,
    Liquidity,
    Parameter,
    Side,
)
from exchange.messages.settlement import (
    AccountOpened,
    CashMoved,
    DayTurned,
    InstructionPassed,
    SettlementItem,
    TradeDue,
    TradeSettled,
    UnitsDeposited,
    UnitsReleased,
)
from exchange.settings import NOTE_BYTES_MAX
from exchange.settlement.cycle import INSTRUCTIONS

Column = NDArray[np.int64]
TRADE_LEGS = 7  # the first of `ledger.Leg`
_ASSET_BITS = 16
_STORED = 2**63 - 1  # ids given by others are 64 bits on the log and 63 in the books


_NO_TRADES: Column = np.empty(0, np.int64)
Numbered = tuple[int, EventRow | InstructionPassed]


class DeliveryError(Exception):
    """`events` says what no engine says, e.g. a fill without its other side: a bug; stop."""


class Trades(NamedTuple):
    """Trades as columns; names as in `TradeSettled`."""

    trade_id: Column
    instrument_id: Column
    quantity: Column
    price: Column
    buyer_account: Column
    seller_account: Column
    buyer_fee: Column
    seller_fee: Column
    buyer_order_id: Column
    seller_order_id: Column

    def __len__(self) -> int:
        """Number of trades, not of columns."""
        return len(self.trade_id)


class Transfer(NamedTuple):
    """What came into an account or went out of it; a row of `transfer` between market and time."""

    event_number: int
    account: int
    asset: int
    amount: int  # minor units or tonnes, negative when it went out, never 0
    transfer_id: int


class Settled(NamedTuple):
    """What one part of `events` settles."""

    items: tuple[SettlementItem, ...]  # in the order of the events
    trades: Trades
    transfers: list[Transfer]
    postings: list[Posting]  # of what is no trade
    carry: bytes  # events whose group ends in the next part
    held: Column = _NO_TRADES  # which of the trades are settled later: their places
    others: Sequence[tuple[int, SettlementItem]] = ()  # items that are no trade, by event number
    steps: Sequence[Numbered] = ()  # what only `open_trades` understands, by event number


def settle_part(part: EventPart, carry: bytes = b"") -> Settled:
    """What a part settles, given what the part before left open. O(events).

    Raises DeliveryError when a group is broken.
    """
    data = carry + part.body
    first_event = part.first_event - len(carry) // RECORD_SIZE
    events = np.frombuffer(data, frames.EVENT)
    kept = 0 if part.is_last else _open_group(events)
    closed = len(events) - kept
    events = events[:closed]
    trades = _trades(np.frombuffer(data, frames.FILL)[:closed], first_event)
    others, postings, steps = _others(events, data, first_event)
    numbered: list[tuple[int, SettlementItem]] = list(
        zip(trades.trade_id.tolist(), trade_items(trades), strict=True)
    )
    if others:
        numbered = sorted(numbered + others, key=lambda pair: pair[0])
    items = tuple(item for _, item in numbered)
    transfers = [found for number, item in others for found in transfers_of(number, item)]
    carry = data[closed * RECORD_SIZE :]
    return Settled(items, trades, transfers, postings, carry, others=others, steps=steps)


def with_open_trades(
    settled: Settled,
    held: Column,
    due: Sequence[int],
    more: Sequence[tuple[int, SettlementItem]],
    postings: Sequence[Posting],
) -> Settled:
    """The same with trades that are settled later, and what came of the steps. O(items).

    `held` are the places of those trades, `due` their cut-offs; `more` are items by event number.
    """
    later = {
        int(settled.trades.trade_id[place]): due_ns
        for place, due_ns in zip(held.tolist(), due, strict=True)
    }
    numbered: list[tuple[int, SettlementItem]] = [*settled.others, *more]
    for row in zip(*(column.tolist() for column in settled.trades), strict=True):
        due_at = later.get(row[0])
        numbered.append(
            (row[0], TradeSettled(*row) if due_at is None else TradeDue(*[*row, due_at]))
        )
    numbered.sort(key=lambda pair: pair[0])
    items = tuple(item for _, item in numbered)
    return settled._replace(items=items, postings=[*settled.postings, *postings], held=held)


def trade_items(trades: Trades) -> list[TradeSettled]:
    """The trades as messages. O(trades)."""
    return [TradeSettled(*row) for row in zip(*(c.tolist() for c in trades), strict=True)]


def transfers_of(event_number: int, item: SettlementItem) -> tuple[Transfer, ...]:
    """The transfer that an item is; () for anything else, and for one that moves nothing. O(1)."""
    match item:
        case CashMoved():
            account, asset, amount = item.account_id, CASH, item.amount
        case UnitsDeposited():
            account, asset, amount = item.account_id, item.instrument_id, item.quantity
        case UnitsReleased():
            account, asset, amount = item.account_id, item.instrument_id, -item.quantity
        case _:
            return ()
    if not amount:
        return ()
    return (Transfer(event_number, account, asset, amount, item.transfer_id & _STORED),)


def join_trades(parts: list[Trades]) -> Trades:
    """Trades of several parts, one after the other. O(trades)."""
    return Trades(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _open_group(events: NDArray[Any]) -> int:
    """How many events at the end belong to a group that may go on in the next part."""
    if not len(events):
        return 0
    kinds = events["kind"]
    if kinds[-1] == Event.FILL and events["order_type"][-1] == Liquidity.MAKER:
        return 1
    notes = 0
    while notes < len(kinds) and kinds[-1 - notes] == Event.NOTED:
        notes += 1
    is_instruction = notes < len(kinds) and kinds[-1 - notes] == Event.INSTRUCTED
    return notes + 1 if is_instruction else 0


# As plain numbers: numpy asks an enumeration's member seven times what it is.
_FILL, _MAKER, _TAKER, _BUY = map(int, (Event.FILL, Liquidity.MAKER, Liquidity.TAKER, Side.BUY))
_REJECTED, _PARAMETER = int(Event.REJECTED), int(Event.PARAMETER_CHANGED)
_ACCOUNT, _PARTICIPANT = int(Event.ACCOUNT_CHANGED), int(Event.PARTICIPANT_CHANGED)
_SETTLE, _RESALE = int(Command.SETTLE_TRADE), int(Parameter.RESALE_NEXT_DAY)
_SUSPENDED = int(AccountParameter.SUSPENDED)
_WHOLE = np.dtype(f"V{RECORD_SIZE}")  # a record as bytes: picked as such, not field by field


def _trades(fills: NDArray[Any], first_event: int) -> Trades:
    is_fill, liquidity = fills["kind"] == _FILL, fills["order_type"]
    makers = np.flatnonzero(is_fill & (liquidity == _MAKER))
    takers = np.flatnonzero(is_fill & (liquidity == _TAKER))
    count = np.count_nonzero(is_fill)
    if len(makers) + len(takers) != count or not np.array_equal(makers + 1, takers):
        raise DeliveryError(f"events from {first_event}: a fill stands without its other side")
    rows = fills.view(_WHOLE)
    maker, taker = rows[makers].view(frames.FILL), rows[takers].view(frames.FILL)
    for name in ("quantity", "price", "instrument_id"):
        if (maker[name] != taker[name]).any():
            raise DeliveryError(f"events from {first_event}: sides of a trade differ in {name}")
    if (maker["contra_order_id"] != taker["order_id"]).any():
        raise DeliveryError(f"events from {first_event}: a fill names another contra order")
    maker_buys = maker["side"] == _BUY
    buyer = rows[np.where(maker_buys, makers, takers)].view(frames.FILL)
    seller = rows[np.where(maker_buys, takers, makers)].view(frames.FILL)
    return Trades(
        makers + first_event,
        maker["instrument_id"].astype(np.int64),
        maker["quantity"].astype(np.int64),
        maker["price"].astype(np.int64),
        buyer["account_id"].astype(np.int64),
        seller["account_id"].astype(np.int64),
        buyer["fee"].astype(np.int64),
        seller["fee"].astype(np.int64),
        buyer["order_id"].astype(np.int64),
        seller["order_id"].astype(np.int64),
    )


_OTHER_KINDS = (
    Event.ACCOUNT_OPENED,
    Event.CASH_DEPOSITED,
    Event.CASH_WITHDRAWN,
    Event.UNITS_DEPOSITED,
    Event.UNITS_RELEASED,
    Event.DAY_STARTED,
    Event.INSTRUCTED,
    Event.TRADE_SETTLED,
    Event.PARAMETER_CHANGED,
    Event.REJECTED,
    Event.ACCOUNT_CHANGED,
    Event.PARTICIPANT_CHANGED,
)
_IS_OTHER = np.zeros(256, np.bool_)
_IS_OTHER[list(_OTHER_KINDS)] = True
_STEP_KINDS = (
    Event.TRADE_SETTLED,
    Event.PARAMETER_CHANGED,
    Event.REJECTED,
    Event.ACCOUNT_CHANGED,
    Event.PARTICIPANT_CHANGED,
)


def _others(
    events: NDArray[Any], data: bytes, first_event: int
) -> tuple[list[tuple[int, SettlementItem]], list[Posting], list[Numbered]]:
    """(event number, item) of what is no trade, the postings, and the steps of trades."""
    numbered: list[tuple[int, SettlementItem]] = []
    postings: list[Posting] = []
    steps: list[Numbered] = []
    for at in np.flatnonzero(_are_others(events)).tolist():
        row = next(frames.event_rows(data[at * RECORD_SIZE : (at + 1) * RECORD_SIZE]))
        if row.kind in _STEP_KINDS:
            steps.append((first_event + at, row))
            continue
        if row.kind == Event.ACCOUNT_OPENED:
            steps.append((first_event + at, row))
        if row.kind == Event.INSTRUCTED:
            passed = _instruction(row, _notes_after(events, data, at))
            if passed.kind in INSTRUCTIONS:
                steps.append((first_event + at, passed))
                continue
            item: SettlementItem = passed
        else:
            item = _moved(row)
        numbered.append((first_event + at, item))
        postings += postings_of(first_event + at, item)
    return numbered, postings, steps


def _are_others(events: NDArray[Any]) -> NDArray[np.bool_]:
    kinds, word = events["kind"], events["order_type"]
    found: NDArray[np.bool_] = _IS_OTHER[kinds]
    if not found.any():
        return found
    found &= (kinds != _REJECTED) | (word == _SETTLE)
    found &= (kinds != _PARAMETER) | (word == _RESALE)
    is_control = (kinds == _ACCOUNT) | (kinds == _PARTICIPANT)
    found &= ~is_control | (word == _SUSPENDED)
    return found


def _moved(row: frames.EventRow) -> SettlementItem:
    match row.kind:
        case Event.ACCOUNT_OPENED:
            return AccountOpened(row.account_id, row.order_id)
        case Event.CASH_DEPOSITED:
            return CashMoved(row.account_id, row.quantity, row.order_id)
        case Event.CASH_WITHDRAWN:
            return CashMoved(row.account_id, -row.quantity, row.order_id)
        case Event.UNITS_DEPOSITED:
            return UnitsDeposited(row.account_id, row.instrument_id, row.quantity, row.order_id)
        case Event.UNITS_RELEASED:
            return UnitsReleased(row.account_id, row.instrument_id, row.quantity, row.order_id)
        case _:
            return DayTurned(row.quantity)


def _instruction(row: frames.EventRow, notes: bytes) -> InstructionPassed:
    return InstructionPassed(
        row.order_id,
        row.order_type,
        row.account_id,
        row.instrument_id,
        row.quantity,
        row.price,
        _text(row.client_order_id),
        _text(notes),
    )


def _text(data: bytes) -> str:
    # A zero inside is no text for a database; what stands for undecodable bytes stands for it too.
    return data.rstrip(b"\0").decode("utf-8", "replace").replace("\0", "\ufffd")


def _notes_after(events: NDArray[Any], data: bytes, at: int) -> bytes:
    kinds, text = events["kind"], b""
    while at + 1 < len(kinds) and kinds[at + 1] == Event.NOTED and len(text) < NOTE_BYTES_MAX:
        at += 1
        text += data[(at + 1) * RECORD_SIZE - frames.NOTE_BYTES : (at + 1) * RECORD_SIZE]
    return text[:NOTE_BYTES_MAX]


class PostingColumns(NamedTuple):
    """Postings as columns; names as in `ledger.Posting`."""

    event_number: Column
    leg: Column
    account: Column
    asset: Column
    amount: Column


def posting_columns(
    trades: Trades, others: list[Posting], held: Column = _NO_TRADES
) -> PostingColumns:
    """The postings of trades (as `ledger.postings_of` gives them) and of the rest. O(postings).

    `held` are the places of trades that are settled later.
    """
    count = len(trades)
    accounts = np.empty((count, TRADE_LEGS), np.int64)
    assets = np.full((count, TRADE_LEGS), CASH, np.int64)
    amounts = np.empty((count, TRADE_LEGS), np.int64)
    for leg in (Leg.BUYER_CASH, Leg.BUYER_UNITS, Leg.BUYER_FEE):
        accounts[:, leg] = trades.buyer_account
    for leg in (Leg.SELLER_CASH, Leg.SELLER_UNITS, Leg.SELLER_FEE):
        accounts[:, leg] = trades.seller_account
    for leg in (Leg.SELLER_CASH, Leg.SELLER_FEE, Leg.BUYER_UNITS) if len(held) else ():
        accounts[held, leg] += HELD_SETTLEMENT
    accounts[:, Leg.FEE_INCOME] = FEE_INCOME
    assets[:, Leg.SELLER_UNITS] = assets[:, Leg.BUYER_UNITS] = trades.instrument_id
    value = trades.price * trades.quantity
    amounts[:, Leg.BUYER_CASH], amounts[:, Leg.SELLER_CASH] = -value, value
    amounts[:, Leg.SELLER_UNITS], amounts[:, Leg.BUYER_UNITS] = -trades.quantity, trades.quantity
    amounts[:, Leg.BUYER_FEE], amounts[:, Leg.SELLER_FEE] = -trades.buyer_fee, -trades.seller_fee
    amounts[:, Leg.FEE_INCOME] = trades.buyer_fee + trades.seller_fee
    some = amounts.ravel() != 0
    legs = np.broadcast_to(np.arange(TRADE_LEGS, dtype=np.int64), (count, TRADE_LEGS))
    of_trades = (np.repeat(trades.trade_id, TRADE_LEGS), legs, accounts, assets, amounts)
    rest = np.array(others, np.int64).reshape(len(others), len(PostingColumns._fields)).T
    return PostingColumns(
        *(
            np.concatenate((column.ravel()[some], other))
            for column, other in zip(of_trades, rest, strict=True)
        )
    )


def net_changes(postings: PostingColumns) -> list[tuple[int, int, int]]:
    """(account, asset, amount) of what postings change, by account and asset. O(n log n).

    Sums are taken modulo 2**64: a partial sum may leave 63 bits, the whole one cannot, since every
    balance lies within `layout.TOTAL_LIMIT` before and after.
    """
    if not len(postings.amount):
        return []
    keys = (postings.account << _ASSET_BITS) | postings.asset
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    starts = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
    sums = np.add.reduceat(postings.amount[order], starts)
    keys = keys[starts]
    accounts, assets = keys >> _ASSET_BITS, keys & ((1 << _ASSET_BITS) - 1)
    changed = sums != 0
    return list(
        zip(
            accounts[changed].tolist(),
            assets[changed].tolist(),
            sums[changed].tolist(),
            strict=True,
        )
    )
