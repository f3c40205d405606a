"""The columns of an order record: which field of RTS 24 each is, and what is not known."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

NOT_KNOWN = "UNKNOWN"
"""What stands where the venue was not told; an empty value is one that does not apply."""


class OrderRecord(msgspec.Struct, frozen=True):
    """One event of an order. Prices are decimal, quantities tonnes."""

    member_id: str
    direct_electronic_access: str
    client_id: str
    investment_decision: str
    execution_decision: str
    non_executing_broker: str
    trading_capacity: str
    liquidity_provision: str
    date_and_time: str
    validity_period: str
    order_restriction: str
    validity_until: str
    priority_time: str
    sequence_number: int
    segment_mic: str
    order_book_code: str
    instrument_code: str
    date_of_receipt: str
    order_id: int
    event: str
    order_type: str
    order_type_classification: str
    limit_price: str
    stop_price: str
    transaction_price: str
    price_currency: str
    price_notation: str
    side: str
    order_status: str
    quantity_notation: str
    initial_quantity: int
    remaining_quantity: int
    displayed_quantity: int
    traded_quantity: int
    minimum_quantity: int
    passive_only: str
    passive_or_aggressive: str
    self_execution_prevention: str
    transaction_id: str
    trading_phase: str
    indicative_price: str
    indicative_volume: int
    auction_seed: str
    account: int
    participant: int
    client_order_id: str
    contra_order_id: str
    fee: str
    trade_method: str
    reason: int
    reason_name: str
    orders_offset: int
    command_index: int


class Field(NamedTuple):
    """One column: its field of RTS 24 (0 = the venue's own) and what stands there."""

    column: str
    number: int
    meaning: str


FIELDS: tuple[Field, ...] = (
    Field("member_id", 1, "the participant's LEI, without one its number in the venue file"),
    Field("direct_electronic_access", 2, "the key's in the venue file: true, a client's"),
    Field("client_id", 3, "the account; whom a member acts for behind it is not known"),
    Field("investment_decision", 4, "the key's in the venue file"),
    Field("execution_decision", 5, "the key's in the venue file; without one the key that signed"),
    Field("non_executing_broker", 6, "the key's in the venue file; empty without one"),
    Field("trading_capacity", 7, "the key's in the venue file: DEAL, MTCH or AOTC"),
    Field("liquidity_provision", 8, "true for a side of a two-sided quote"),
    Field("date_and_time", 9, "engine time of the event, UTC"),
    Field("validity_period", 10, "DAVY, GTCV, GTDV, IOCV, FOKV; GATV at the opening or the close"),
    Field("order_restriction", 11, "VFAR: for an auction (call) only"),
    Field("validity_until", 12, "last trading date (YYYYMMDD) of an order good till date"),
    Field("priority_time", 13, "engine time from which the order has its place"),
    Field("sequence_number", 15, "number of the event in the market, without gaps"),
    Field("segment_mic", 16, "the market's in the venue file"),
    Field("order_book_code", 17, "the instrument's symbol"),
    Field("instrument_code", 18, "the instrument's ISIN in the venue file"),
    Field("date_of_receipt", 19, "the gateway's clock when it sent the order to the log, UTC"),
    Field("order_id", 20, "the venue's id; of a refused order its place on the log"),
    Field("event", 21, "NEWO new, TRIG triggered, REME replaced by the member, REMA by the venue, "
          "CAME cancelled by the member, CAMO by the venue or on disconnect, REMO refused, "
          "EXPI expired, PARF partly filled, FILL filled"),
    Field("order_type", 22, "the venue's name"),
    Field("order_type_classification", 23, "LMTO or STOP; a market order has a limit here too"),
    Field("limit_price", 24, "the limit in force, of a market order its protection price"),
    Field("stop_price", 26, "of a stop"),
    Field("transaction_price", 28, "of a fill"),
    Field("price_currency", 29, "the market's"),
    Field("price_notation", 31, "MONE"),
    Field("side", 32, "BUYI or SELL"),
    Field("order_status", 33, "ACTI; SUSP: a stop, or at the close before the call; FIRM: a quote; "
          "INAC: it has ended"),
    Field("quantity_notation", 34, "UNIT: tonnes"),
    Field("initial_quantity", 36, "the order's total, as last replaced"),
    Field("remaining_quantity", 37, "after the event, hidden quantity included"),
    Field("displayed_quantity", 38, "after the event"),
    Field("traded_quantity", 39, "of this fill"),
    Field("minimum_quantity", 40, "what had to trade on entry; 0 = any"),
    Field("passive_only", 43, "post-only"),
    Field("passive_or_aggressive", 44, "PASV or AGRE of a fill; empty in a call"),
    Field("self_execution_prevention", 45, "whether the order asked for it"),
    Field("transaction_id", 48, "the trade's number: both sides have the same"),
    Field("trading_phase", 49, "the instrument's"),
    Field("indicative_price", 50, "last told in this call"),
    Field("indicative_volume", 51, "last told in this call"),
    Field("auction_seed", 0, "which drew the end of this call, or between bids of this auction"),
    Field("account", 0, "as in client_id"),
    Field("participant", 0, "whose account it is"),
    Field("client_order_id", 0, "the member's own id"),
    Field("contra_order_id", 0, "the other order of a fill"),
    Field("fee", 0, "of a fill"),
    Field("trade_method", 0, "book, call, listing, block or auction"),
    Field("reason", 0, "why it was refused or ended: reasons.md"),
    Field("reason_name", 0, "its name"),
    Field("orders_offset", 0, "record of `orders` that caused the event"),
    Field("command_index", 0, "command in that record"),
)  # fmt: skip

LEFT_OUT: dict[int, str] = {
    14: "priority size: places go by price and time",
    25: "additional limit price: there is none",
    27: "pegged limit price: there are no pegged orders",
    30: "currency of the second leg: there is none",
    35: "quantity currency: quantities are tonnes",
    41: "minimum executable size: field 40 is all there is",
    42: "minimum executable size, first execution only: as field 41",
    46: "strategy linked order: there are no strategies",
    47: "routing strategy: nothing is routed",
}
"""Fields of Table 2 that have no column, and why."""
