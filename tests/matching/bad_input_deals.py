"""What can be wrong with picks, blocks and sealed bids: `bad_input.py`, gone on with.

Their market has four instruments with tick 5, lot 10 and a band of 10 % around 7,000. In them wait
a listing, a proposal and an auction, all of one seller, and orders under labels that are known.
"""

from __future__ import annotations

from matching.layout import (
    INDEX_BITS,
    AccountParameter,
    AuctionFlag,
    Command,
    OrderType,
    Parameter,
    Phase,
    Policy,
    Pricing,
    Reason,
    Side,
    TieBreak,
    TimeInForce,
)
from tests.matching import bad_input
from tests.matching.bad_input import (
    ACCOUNT,
    INSTRUMENT,
    SENDER,
    Case,
    Fault,
    Fields,
    control,
    phase,
    senders,
)
from tests.matching.frames import command

LISTED, BLOCKS, AUCTIONS, PLAIN = 11, 12, 13, 14  # instruments
SELLER, BUYER = 21, 22
CASH, UNITS = 10**14, 10**9
NOW_NS = 2 * 10**9  # engine time when a probe comes
TERMS = AuctionFlag.IN_BAND | 6_000 << 16 | 10 << 32
DEALT: Fields = {"quantity": 500, "price": 7_000, "client_order_id": b"new"}
OFFER: Fields = DEALT | {
    "account_id": SELLER,
    "instrument_id": AUCTIONS,
    "side": Side.SELL,
    "order_type": Pricing.UNIFORM,
    "time_in_force": TieBreak.PRO_RATA,
    "order_id": TERMS,
}


def _parameter(instrument_id: int, parameter: Parameter, value: int) -> bytes:
    fields = {"order_type": parameter, "quantity": value, "instrument_id": instrument_id}
    return command(Command.INSTRUMENT_PARAMETER, **fields)


def _market() -> tuple[tuple[bytes, ...], dict[str, int]]:
    """The commands that make it, in one frame at offset 1; order ids by name."""
    made = [phase(Phase.CLOSED)]
    for instrument_id in (LISTED, BLOCKS, AUCTIONS, PLAIN):
        made.append(command(Command.INSTRUMENT_OPEN, instrument_id=instrument_id))
        policy = Policy.LISTED if instrument_id == LISTED else Policy.PRICE_TIME
        for parameter, value in (
            (Parameter.TICK_SIZE, 5),
            (Parameter.LOT_SIZE, 10),
            (Parameter.QUANTITY_MAX, 1_000),
            (Parameter.BAND_BP, 1_000),
            (Parameter.POLICY, policy),
            (Parameter.BLOCK_OPEN, 1),
            (Parameter.BLOCK_QUANTITY_MIN, 200),
            (Parameter.BLOCK_BAND_BP, 3_000),
        ):
            made.append(_parameter(instrument_id, parameter, value))
        made.append(command(Command.REFERENCE_PRICE, instrument_id=instrument_id, price=7_000))
    for account_id in (SELLER, BUYER):
        named = {"account_id": account_id}
        made.append(command(Command.ACCOUNT_OPEN, **named))
        made.append(command(Command.CASH_DEPOSIT, quantity=CASH, **named))
        for instrument_id in (LISTED, BLOCKS, AUCTIONS, PLAIN):
            named["instrument_id"] = instrument_id
            made.append(command(Command.UNITS_DEPOSIT, quantity=UNITS, **named))
    made.append(phase(Phase.CONTINUOUS))
    ask = {"side": Side.SELL, "order_type": OrderType.LIMIT, "time_in_force": TimeInForce.GTC}
    ask |= {"price": 7_000, "quantity": 100, "account_id": SELLER}
    known = ask | {"client_order_id": b"known"}
    proposal = {"account_id": SELLER, "side": Side.SELL, "order_id": BUYER}
    proposal |= {"instrument_id": BLOCKS, "client_order_id": b""}
    ids = {}
    for name, kind, fields in (
        ("listing", Command.NEW_ORDER, ask | {"instrument_id": LISTED}),
        (
            "proposal",
            Command.BLOCK_PROPOSE,
            DEALT | proposal,
        ),
        ("auction", Command.AUCTION_OPEN, OFFER | {"client_order_id": b""}),
        ("known", Command.NEW_ORDER, known | {"instrument_id": BLOCKS}),
        ("known too", Command.NEW_ORDER, known | {"instrument_id": PLAIN, "account_id": BUYER}),
    ):
        ids[name] = 1 << INDEX_BITS | len(made)
        made.append(command(kind, **fields))
    return tuple(made), ids


BEFORE, ORDER = _market()


def _case(kind: Command, good: Fields, faults: dict[Reason, Fault]) -> Case:
    return Case(kind, DEALT | good, SENDER | ACCOUNT | INSTRUMENT | faults, BEFORE)


def _one_group() -> tuple[bytes, ...]:
    group = {"order_type": AccountParameter.STP_GROUP, "quantity": 9}
    return tuple(
        command(Command.ACCOUNT_PARAMETER, account_id=account_id, **group)
        for account_id in (SELLER, BUYER)
    )


SIDE = {Reason.INVALID_SIDE: Fault({"side": 3})}
KNOWN = {Reason.CLIENT_ORDER_ID_REUSED_INSTRUMENT: Fault({"client_order_id": b"known"})}
HOURS = {
    Reason.MARKET_CLOSED: Fault(before=(phase(Phase.CLOSED),)),
    Reason.MARKET_HALTED: Fault(before=(phase(Phase.HALT),)),
}
CLOSED = {Reason.BLOCKS_CLOSED: Fault(before=(_parameter(BLOCKS, Parameter.BLOCK_OPEN, 0),))}
NOT_POSITIVE = {Reason.QUANTITY_NOT_POSITIVE: Fault({"quantity": 0})}
ABOVE_LIMIT = {Reason.QUANTITY_ABOVE_MAX: Fault({"quantity": 10**10 + 10})}
PRICE = {
    Reason.PRICE_NOT_POSITIVE: Fault({"price": -5}),
    Reason.PRICE_ABOVE_MAX: Fault({"price": 10**9 + 5}),
    Reason.PRICE_NOT_TICK: Fault({"price": 9_001}),
}
ROOM = {
    Reason.ORDERS_FULL: Fault(full=("orders_max",)),
    Reason.CLIENT_ORDER_IDS_FULL: Fault(full=("client_order_ids_max",)),
}
SENT = senders(BUYER, PLAIN)
ABOVE = {
    Reason.HOLDING_ABOVE_MAX: Fault(
        before=tuple(
            _parameter(instrument_id, Parameter.HOLDING_MAX, UNITS)
            for instrument_id in (LISTED, BLOCKS, AUCTIONS)
        )
    ),
    Reason.POSITION_ABOVE_MAX: Fault(
        before=(control(BUYER, AccountParameter.POSITION_MAX, 4 * UNITS),)
    ),
}
NO_CASH = {
    Reason.INSUFFICIENT_CASH: Fault(
        before=(command(Command.CASH_WITHDRAW, account_id=BUYER, quantity=CASH),)
    )
}
NO_UNITS = {
    Reason.INSUFFICIENT_UNITS: Fault(
        before=(
            command(Command.UNITS_RELEASE, account_id=SELLER, instrument_id=PLAIN, quantity=UNITS),
        )
    )
}

BUYS: Fields = {"account_id": BUYER, "side": Side.BUY}
DEALS: dict[str, Case] = {
    "pick": _case(
        Command.PICK_ORDER,
        BUYS | {"instrument_id": LISTED, "order_id": ORDER["listing"], "quantity": 50},
        SIDE
        | {
            Reason.UNKNOWN_ORDER: Fault({"order_id": ORDER["proposal"]}),
            **KNOWN,
            **SENT,
            **HOURS,
            **NOT_POSITIVE,
            Reason.QUANTITY_ABOVE_MAX: Fault({"quantity": 1_010}),
            Reason.QUANTITY_NOT_LOT: Fault({"quantity": 45}),
            Reason.QUANTITY_ABOVE_LISTED: Fault({"quantity": 110}),
            Reason.VALUE_ABOVE_MAX: Fault(
                {"quantity": 90}, before=(_parameter(LISTED, Parameter.VALUE_MAX, 600_000),)
            ),
            **ROOM,
            Reason.PRICE_DIFFERS: Fault({"price": 7_005}),
            Reason.LISTING_OUT_OF_REACH: Fault(before=_one_group()),
            **ABOVE,
            **NO_CASH,
        },
    ),
    "proposal": _case(
        Command.BLOCK_PROPOSE,
        BUYS | {"instrument_id": BLOCKS, "order_id": SELLER},
        SIDE
        | {
            **KNOWN,
            **SENT,
            **HOURS,
            **CLOSED,
            Reason.UNKNOWN_COUNTERPARTY: Fault({"order_id": 1 << 32 | SELLER}),
            **NOT_POSITIVE,
            **ABOVE_LIMIT,
            Reason.QUANTITY_NOT_LOT: Fault({"quantity": 505}),
            Reason.QUANTITY_BELOW_MIN: Fault({"quantity": 100}),
            **PRICE,
            Reason.PRICE_ABOVE_BAND: Fault({"price": 9_105}),
            Reason.PRICE_BELOW_BAND: Fault({"price": 4_895}),
            Reason.VALUE_ABOVE_MAX: Fault(
                {"quantity": 10**10, "price": 10**6},
                before=(_parameter(BLOCKS, Parameter.BLOCK_BAND_BP, 0),),
            ),
            **ROOM,
            **ABOVE,
            **NO_CASH,
        },
    ),
    "confirmation": _case(
        Command.BLOCK_CONFIRM,
        BUYS | {"instrument_id": BLOCKS, "order_id": ORDER["proposal"]},
        SIDE
        | {
            Reason.UNKNOWN_ORDER: Fault({"order_id": ORDER["listing"]}),
            **KNOWN,
            **SENT,
            **HOURS,
            **CLOSED,
            Reason.UNKNOWN_COUNTERPARTY: Fault(before=_one_group()),
            Reason.QUANTITY_DIFFERS: Fault({"quantity": 490}),
            **ROOM,
            Reason.PRICE_DIFFERS: Fault({"price": 7_005}),
            **ABOVE,
            **NO_CASH,
        },
    ),
    "auction": _case(
        Command.AUCTION_OPEN,
        OFFER | {"instrument_id": PLAIN},
        SIDE
        | {
            **KNOWN,
            **senders(SELLER, PLAIN),
            Reason.AUCTION_ALREADY_OPEN: Fault({"instrument_id": AUCTIONS, "side": Side.SELL}),
            Reason.BIDDING_CLOSED: Fault({"closes_ns": NOW_NS}),
            **NOT_POSITIVE,
            **ABOVE_LIMIT,
            **PRICE,
            Reason.VALUE_ABOVE_MAX: Fault({"quantity": 10**10, "price": 10**6}),
            **ROOM,
            **NO_UNITS,
        },
    ),
    "sealed bid": _case(
        Command.AUCTION_BID,
        BUYS | {"instrument_id": AUCTIONS, "order_id": ORDER["auction"], "quantity": 50},
        SIDE
        | {
            **KNOWN,
            **SENT,
            Reason.AUCTION_NOT_OPEN: Fault({"order_id": ORDER["listing"]}),
            **NOT_POSITIVE,
            **ABOVE_LIMIT,
            Reason.QUANTITY_NOT_LOT: Fault({"quantity": 45}),
            Reason.BID_ABOVE_MAX: Fault({"quantity": 310}),
            **PRICE,
            Reason.PRICE_ABOVE_BAND: Fault({"price": 7_705}),
            Reason.PRICE_BELOW_BAND: Fault({"price": 6_295}),
            **ROOM,
            Reason.PRICE_BEYOND_RESERVE: Fault({"price": 6_500}),
            **ABOVE,
            **NO_CASH,
        },
    ),
    "clearing": Case(
        Command.AUCTION_CLEAR,
        {"instrument_id": AUCTIONS, "order_id": ORDER["auction"], "price": 6_500},
        {
            **SENDER,
            **INSTRUMENT,
            Reason.AUCTION_NOT_OPEN: Fault({"order_id": ORDER["listing"]}),
            Reason.PRICE_NOT_POSITIVE: Fault({"price": -1}),
            Reason.PRICE_ABOVE_MAX: Fault({"price": 10**9 + 1}),
            Reason.BIDDING_NOT_CLOSED: Fault(
                {"instrument_id": PLAIN, "order_id": 0},
                (
                    command(Command.AUCTION_OPEN, **OFFER | {"instrument_id": PLAIN}),
                    command(Command.AUCTION_TERMS, quantity=NOW_NS + 1),
                ),
            ),
        },
        BEFORE,
    ),
    "calling off": Case(
        Command.AUCTION_CANCEL,
        {"instrument_id": AUCTIONS},
        {
            **SENDER,
            **INSTRUMENT,
            Reason.AUCTION_NOT_OPEN: Fault({"order_id": ORDER["listing"]}),
        },
        BEFORE,
    ),
}

CASES = bad_input.CASES | DEALS
"""Every kind of command that is answered."""

WHOLE = OFFER | {"instrument_id": PLAIN, "order_id": AuctionFlag.WHOLE_LOT | 1 << 32}
FIRST = TieBreak.BY_TIME
UNSOUND_TERMS: dict[str, Fields] = {
    "pricing": OFFER | {"order_type": 3},
    "tie-break": OFFER | {"time_in_force": 4},
    "flag": OFFER | {"order_id": TERMS | 32},
    "bids beyond the whole": OFFER | {"order_id": 10_001 << 16 | 1 << 32},
    "the whole pro rata": WHOLE,
    "the whole to a limit": WHOLE | {"time_in_force": FIRST, "order_id": 4 | 1 << 16 | 1 << 32},
    "no multiple": OFFER | {"quantity": 505},
    "a multiple beyond": OFFER | {"order_id": (2**32 - 1) << 32},
    "closing time": OFFER | {"closes_ns": -1},
}
"""They are looked at with the form, so before what the log says: an auction is open there."""

IRREVOCABLE = 1 << INDEX_BITS | len(BEFORE)
BID = 1 << INDEX_BITS | len(BEFORE) + 1
KEPT = (
    *BEFORE,
    command(
        Command.AUCTION_OPEN,
        **OFFER | {"instrument_id": PLAIN, "order_id": AuctionFlag.IRREVOCABLE | 1 << 32},
    ),
    command(
        Command.AUCTION_BID,
        **DEALT | BUYS | {"instrument_id": PLAIN, "order_id": IRREVOCABLE, "client_order_id": b""},
    ),
)
CHANGE = {"account_id": BUYER, "order_id": BID, "quantity": 600, "price": 7_000}

SINGLE: dict[str, tuple[Case, Reason]] = {
    **bad_input.SINGLE,
    **{
        f"auction with unsound terms: {name}": (
            Case(Command.AUCTION_OPEN, fields, before=BEFORE),
            Reason.INVALID_AUCTION_TERMS,
        )
        for name, fields in UNSOUND_TERMS.items()
    },
    "cancel of an offer": (
        Case(
            Command.CANCEL_ORDER,
            {"account_id": SELLER, "order_id": ORDER["auction"]},
            before=BEFORE,
        ),
        Reason.UNKNOWN_ORDER,
    ),
    "replace of an offer": (
        Case(
            Command.REPLACE_ORDER,
            CHANGE | {"account_id": SELLER, "order_id": ORDER["auction"]},
            before=BEFORE,
        ),
        Reason.UNKNOWN_ORDER,
    ),
    "replace of a block": (
        Case(
            Command.REPLACE_ORDER,
            CHANGE | {"account_id": SELLER, "order_id": ORDER["proposal"]},
            before=BEFORE,
        ),
        Reason.NOT_ALLOWED_BY_POLICY,
    ),
    "cancel of an irrevocable bid": (
        Case(Command.CANCEL_ORDER, {"account_id": BUYER, "order_id": BID}, before=KEPT),
        Reason.BID_IRREVOCABLE,
    ),
    "replace of an irrevocable bid": (
        Case(Command.REPLACE_ORDER, CHANGE, before=KEPT),
        Reason.BID_IRREVOCABLE,
    ),
    "bid for a part of a whole lot": (
        Case(
            Command.AUCTION_BID,
            DEALT | BUYS | {"instrument_id": PLAIN, "order_id": IRREVOCABLE, "quantity": 490},
            before=(
                *BEFORE,
                command(Command.AUCTION_OPEN, **WHOLE | {"time_in_force": FIRST}),
            ),
        ),
        Reason.QUANTITY_DIFFERS,
    ),
}
"""Orders that are not to be changed, auctions that contradict themselves."""
