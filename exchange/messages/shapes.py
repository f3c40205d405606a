"""What each field of a command and of an event is called in JSON, and in which words.

The layout stands in `matching.layout`; this table only names what a kind of record uses a field
for. A kind without a row, and a field that its row does not name, go by the layout's own name. So a
new kind is readable before it has a row, and no byte of a record is ever lost.
"""

from __future__ import annotations

from struct import Struct
from typing import Any, NamedTuple

import numpy as np

from exchange.messages.words import Bits, Names, Words
from matching.layout import (
    COMMAND,
    EVENT,
    FILL,
    SELF_TRADE_SHIFT,
    AccountParameter,
    AuctionFlag,
    Command,
    Event,
    ExecInst,
    Instruction,
    Liquidity,
    MassCancelScope,
    OrderStatus,
    OrderType,
    Parameter,
    Phase,
    Pricing,
    Reason,
    SelfTrade,
    SettlementStep,
    Side,
    TieBreak,
    TimeInForce,
    TradeMethod,
)

Layout = np.dtype[Any]

WORDS: dict[str, Words] = {
    "side": Names(Side),
    "order_type": Names(OrderType),
    "time_in_force": Names(TimeInForce),
    "reason": Names(Reason),
    "phase": Names(Phase),
    "parameter": Names(Parameter),
    "account_parameter": Names(AccountParameter),
    "instruction": Names(Instruction),
    "liquidity": Names(Liquidity),
    "method": Names(TradeMethod),
    "order_status": Names(OrderStatus),
    "settlement_step": Names(SettlementStep),
    "mass_cancel_scope": Names(MassCancelScope),
    "pricing": Names(Pricing),
    "tie_break": Names(TieBreak),
    "command": Names(Command),
    "instructions": Bits(ExecInst, SelfTrade, SELF_TRADE_SHIFT),
    "flags": Bits(AuctionFlag),
}
"""Fields, by their name in JSON, whose numbers have names."""

PLAIN = frozenset({"order_type", "time_in_force"})
"""Of these, what means something else in each kind: a number where a kind has no row."""


def _cut(layout: Layout, slot: str, *parts: tuple[str, str]) -> Layout:
    """A layout with one field cut into others of the same size together."""
    fields = [(name, layout[name].str) for name in layout.names or ()]
    place = next(index for index, (name, _) in enumerate(fields) if name == slot)
    return np.dtype([*fields[:place], *parts, *fields[place + 1 :]])


_OTHER_SIDE = (("sell_quantity", "<i8"), ("sell_price", "<i8"))
_CASH_AND_TRADE = (("cash_to_buyer", "<i8"), ("trade_id", "<u8"))
_AUCTION = (("flags", "u1"), ("carry", "u1"), ("bid_max_bp", "<u2"), ("bid_multiple", "<u4"))
_TEXT = ("text", "S40")  # takes the place of all that follows `ref` or `value`

COMMAND_LAYOUTS: dict[Command, Layout] = {
    Command.QUOTE: _cut(COMMAND, "client_order_id", *_OTHER_SIDE),
    Command.AUCTION_OPEN: _cut(COMMAND, "order_id", *_AUCTION),
    Command.SETTLE_TRADE: _cut(COMMAND, "client_order_id", *_CASH_AND_TRADE),
    Command.NOTE: np.dtype([*COMMAND.descr[:9], _TEXT]),
}
EVENT_LAYOUTS: dict[Event, Layout] = {
    Event.FILL: FILL,
    Event.TERMS_SET: _cut(
        EVENT, "client_order_id", ("expire_date", "<u8"), ("instructions", "<i8")
    ),
    Event.QUOTED: _cut(EVENT, "client_order_id", *_OTHER_SIDE),
    Event.AUCTION_OPENED: _cut(EVENT, "value", *_AUCTION),
    Event.AUCTION_CLEARED: _cut(EVENT, "client_order_id", ("seed", "<i8"), ("opening_seed", "<i8")),
    Event.TRADE_SETTLED: _cut(EVENT, "client_order_id", *_CASH_AND_TRADE),
    Event.NOTED: np.dtype([*EVENT.descr[:9], _TEXT]),
}
"""Kinds whose 64 bytes are not cut as COMMAND's or EVENT's."""

_NAMES = "account_id instrument_id side order_type time_in_force order_id"
_TERMS = "account_id instrument_id side order_type time_in_force quantity price"
_TRANSFER = "account_id quantity order_id=transfer_id"
_TRANSFER_UNITS = "account_id instrument_id quantity order_id=transfer_id"
_INSTRUCTION = "order_type=instruction account_id instrument_id quantity price"
_SETTLEMENT = (
    "order_type=settlement_step trade_id account_id=buyer_account order_id=seller_account "
    "instrument_id quantity price=cash_from_seller cash_to_buyer"
)
_QUOTE = (
    "account_id instrument_id quantity=buy_quantity price=buy_price sell_quantity sell_price "
    "order_type=instructions?"
)
_AUCTION_TERMS = (
    "account_id instrument_id side quantity order_type=pricing time_in_force=tie_break "
    "price=reserve flags carry bid_max_bp bid_multiple"
)
_CALL = "instrument_id price quantity=volume value=surplus"
_MASS_CANCEL = (
    "account_id instrument_id side order_id=participant_id quantity=of_session_id "
    "time_in_force=mass_cancel_scope?"
)

COMMAND_ROWS: dict[Command, str] = {
    Command.NEW_ORDER: f"{_TERMS} client_order_id order_id=instructions?",
    Command.CANCEL_ORDER: "account_id order_id client_order_id",
    Command.REPLACE_ORDER: "account_id order_id quantity price client_order_id",
    Command.ORDER_TERMS: "ref=stop_price quantity=display_quantity price=minimum_quantity "
    "order_id=expire_date",
    Command.MASS_CANCEL: _MASS_CANCEL,
    Command.QUOTE: _QUOTE,
    Command.PICK_ORDER: "account_id instrument_id side order_id quantity price client_order_id",
    Command.BLOCK_PROPOSE: "account_id instrument_id side order_id=counterparty_id quantity price "
    "client_order_id",
    Command.BLOCK_CONFIRM: "account_id instrument_id side order_id quantity price client_order_id",
    Command.ACCOUNT_OPEN: "account_id order_id=participant_id",
    Command.CASH_DEPOSIT: _TRANSFER,
    Command.CASH_WITHDRAW: _TRANSFER,
    Command.UNITS_DEPOSIT: _TRANSFER_UNITS,
    Command.UNITS_RELEASE: _TRANSFER_UNITS,
    Command.ACCOUNT_PARAMETER: "account_id instrument_id? order_type=account_parameter quantity",
    Command.PARTICIPANT_PARAMETER: "order_id=participant_id order_type=account_parameter quantity",
    Command.INSTRUMENT_OPEN: "instrument_id",
    Command.INSTRUMENT_PARAMETER: "instrument_id order_type=parameter quantity",
    Command.PHASE_CHANGE: "instrument_id order_type=phase quantity=seed?",
    Command.REFERENCE_PRICE: "instrument_id price",
    Command.DAY_ROLL: "quantity=trading_date",
    Command.CLOCK_TICK: "",
    Command.EPOCH_START: "quantity=epoch order_id=node",
    Command.AUCTION_OPEN: f"{_AUCTION_TERMS} client_order_id",
    Command.AUCTION_BID: "account_id instrument_id side order_id=auction_id quantity price "
    "client_order_id",
    Command.AUCTION_CLEAR: "instrument_id order_id=auction_id quantity=seed? price=reserve",
    Command.AUCTION_CANCEL: "instrument_id order_id=auction_id",
    Command.AUCTION_TERMS: "quantity=closes_ns? price=seed?",
    Command.INSTRUCTION: _INSTRUCTION,
    Command.NOTE: "text",
    Command.SETTLE_TRADE: _SETTLEMENT,
}
EVENT_ROWS: dict[Event, str] = {
    Event.ACCEPTED: f"{_TERMS} order_id client_order_id value=hold",
    Event.REJECTED: "reason order_type=command account_id instrument_id value=ref",
    Event.DUPLICATE: "order_type=command account_id instrument_id order_id value=ref",
    Event.FILL: "account_id instrument_id side order_id contra_order_id order_type=liquidity "
    "reason=method time_in_force=order_status quantity price value=leaves fee",
    Event.CANCELLED: f"reason {_TERMS} order_id client_order_id value=released",
    Event.REPLACED: "account_id instrument_id side order_type=priority_kept time_in_force quantity "
    "price order_id client_order_id value=hold",
    Event.TERMS_SET: f"{_NAMES} value=stop_price quantity=display_quantity price=minimum_quantity "
    "expire_date instructions",
    Event.TRIGGERED: f"{_TERMS} order_id client_order_id value=hold",
    Event.REFILLED: f"{_NAMES} quantity",
    Event.ACCOUNT_OPENED: "account_id order_id=participant_id",
    Event.CASH_DEPOSITED: f"{_TRANSFER} value=total",
    Event.CASH_WITHDRAWN: f"{_TRANSFER} value=total",
    Event.UNITS_DEPOSITED: f"{_TRANSFER_UNITS} value=total",
    Event.UNITS_RELEASED: f"{_TRANSFER_UNITS} value=total",
    Event.UNITS_UNLOCKED: "account_id instrument_id quantity value=total",
    Event.ACCOUNT_CHANGED: "account_id instrument_id? order_type=account_parameter quantity",
    Event.PARTICIPANT_CHANGED: "order_id=participant_id order_type=account_parameter quantity",
    Event.MASS_CANCELLED: f"{_MASS_CANCEL} value=cancelled",
    Event.QUOTED: f"{_QUOTE} order_id",
    Event.INSTRUMENT_OPENED: "instrument_id",
    Event.PARAMETER_CHANGED: "instrument_id order_type=parameter quantity",
    Event.PHASE_CHANGED: "instrument_id order_type=phase",
    Event.REFERENCE_CHANGED: "instrument_id price",
    Event.DAY_CLOSED: "instrument_id price=close quantity=volume value=turnover",
    Event.DAY_STARTED: "quantity=trading_date",
    Event.EPOCH_STARTED: "quantity=epoch order_id=node",
    Event.CALL_ENDING: "instrument_id order_type=phase",
    Event.INDICATIVE: _CALL,
    Event.UNCROSSED: _CALL,
    Event.AUCTION_OPENED: f"{_AUCTION_TERMS} order_id=auction_id",
    Event.AUCTION_CLEARED: "instrument_id order_id=auction_id price quantity=sold value=tonnes_bid "
    "seed opening_seed",
    Event.AUCTION_CANCELLED: "reason instrument_id order_id=auction_id quantity=offered "
    "value=tonnes_bid",
    Event.AUCTION_CARRIED: "instrument_id order_id=auction_id quantity value=auctions_from_here",
    Event.BIDDING_CLOSES: "account_id instrument_id side order_id=auction_id value=closes_ns",
    Event.INSTRUCTED: f"{_INSTRUCTION} order_id value=ref",
    Event.NOTED: "text",
    Event.TRADE_SETTLED: f"{_SETTLEMENT} value=ref",
    Event.FRAME_REFUSED: "reason",
}
"""The fields that mean something in a kind, in the order of JSON: `slot` or `slot=name`, with `?`
where 0 goes unsaid."""


class Part(NamedTuple):
    """One field of a record of one kind."""

    place: int  # among the fields of the record
    name: str
    low: int  # of a number; 0 and 0 for bytes
    high: int
    width: int  # of bytes; 0 for a number
    words: Words | None
    is_own: bool  # its row names it
    is_shown: bool  # also when it is 0


class Shape(NamedTuple):
    """A kind of record: how its 64 bytes are cut, and its fields in the order of JSON."""

    record: Struct
    parts: tuple[Part, ...]

    def by_name(self) -> dict[str, Part]:
        """The parts, and the bytes once more by their names in hexadecimal."""
        named = {part.name: part for part in self.parts}
        return named | {f"{part.name}_hex": part for part in self.parts if part.width}


def command_shape(kind: int) -> Shape:
    """The shape of a command, known or not."""
    try:
        known = Command(kind)
    except ValueError:
        return _shape(COMMAND, None)
    return _shape(COMMAND_LAYOUTS.get(known, COMMAND), COMMAND_ROWS.get(known))


def event_shape(kind: int) -> Shape:
    """The shape of an event, known or not."""
    try:
        known = Event(kind)
    except ValueError:
        return _shape(EVENT, None)
    return _shape(EVENT_LAYOUTS.get(known, EVENT), EVENT_ROWS.get(known))


def _shape(layout: Layout, row: str | None) -> Shape:
    slots = list(layout.names or ())
    own = (row or "").split()
    seen = {_term(term)[0] for term in own}
    others = [f"{slot}?" for slot in slots if slot not in seen and slot != "kind"]
    parts = tuple(
        _part(slots.index(slot), name, layout[slot], place < len(own), is_shown, row is None)
        for place, (slot, name, is_shown) in enumerate(map(_term, (*own, *others)))
    )
    return Shape(Struct("<" + "".join(_format(layout[slot]) for slot in slots)), parts)


def _term(term: str) -> tuple[str, str, bool]:
    slot, _, name = term.rstrip("?").partition("=")
    return slot, name or slot, not term.endswith("?")


def _format(field: Layout) -> str:
    if field.kind == "S":
        return f"{field.itemsize}s"
    letter = {1: "b", 2: "h", 4: "i", 8: "q"}[field.itemsize]
    return letter.upper() if field.kind == "u" else letter


def _part(
    place: int, name: str, field: Layout, is_own: bool, is_shown: bool, is_bare: bool
) -> Part:
    if field.kind == "S":
        return Part(place, name, 0, 0, field.itemsize, None, is_own, is_shown)
    bounds = np.iinfo(field)
    words = None if is_bare and name in PLAIN else WORDS.get(name)
    return Part(place, name, int(bounds.min), int(bounds.max), 0, words, is_own, is_shown)
