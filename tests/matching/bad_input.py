"""What can be wrong with each kind of command: the table behind `test_bad_input.py`.

All is said of one market (`MARKET`): two instruments with tick 5, lot 10 and a band of 10 % around
7,000, a third without rules; accounts 1 and 3 with units, 2 and 4 with cash; four orders rest, one
of them partly executed.
"""

from __future__ import annotations

from struct import Struct
from typing import Any, NamedTuple

from matching.layout import (
    INDEX_BITS,
    PRICE_LIMIT,
    QUANTITY_LIMIT,
    TOTAL_LIMIT,
    AccountParameter,
    Command,
    ExecInst,
    Instruction,
    Parameter,
    Phase,
    Reason,
    Resale,
    SettlementStep,
    Side,
)
from tests.matching.frames import command
from tests.matching.test_rules import BASE, BROKEN

Fields = dict[str, Any]


class Fault(NamedTuple):
    """How to break one rule: by fields, by what happens before, by tables that are full.

    The field `terms` holds those of the ORDER_TERMS right after the command, `closes_ns` the
    closing time of the AUCTION_TERMS there.
    """

    fields: Fields = {}
    before: tuple[bytes, ...] = ()
    full: tuple[str, ...] = ()  # names of `Limits` which the market has just reached


class Case(NamedTuple):
    """A kind of command: one that is heard, and each fault it may have, in rising number."""

    kind: Command
    good: Fields
    faults: dict[Reason, Fault] = {}
    before: tuple[bytes, ...] = ()


def phase(which: Phase, instrument_id: int = 0) -> bytes:
    return command(Command.PHASE_CHANGE, order_type=which, instrument_id=instrument_id)


def _parameter(instrument_id: int, parameter: int, value: int) -> bytes:
    fields = {"instrument_id": instrument_id, "order_type": parameter, "quantity": value}
    return command(Command.INSTRUMENT_PARAMETER, **fields)


def _parameters(instrument_id: int) -> list[bytes]:
    values = {
        Parameter.TICK_SIZE: 5,
        Parameter.LOT_SIZE: 10,
        Parameter.QUANTITY_MAX: 1_000,
        Parameter.VALUE_MAX: 6_000_000,
        Parameter.BAND_BP: 1_000,
    }
    return [_parameter(instrument_id, *setting) for setting in values.items()]


def _market() -> tuple[list[bytes], dict[str, int]]:
    """The commands that make the market, in one frame at offset 0; order ids by label."""
    made = []
    for instrument_id in (1, 2):
        made.append(command(Command.INSTRUMENT_OPEN, instrument_id=instrument_id))
        made += _parameters(instrument_id)
        made.append(command(Command.REFERENCE_PRICE, instrument_id=instrument_id, price=7_000))
    made.append(command(Command.INSTRUMENT_OPEN, instrument_id=FREE))
    for account_id in (1, 2, 3, 4):
        named = {"account_id": account_id}
        made.append(command(Command.ACCOUNT_OPEN, order_id=account_id + 10, **named))
        if account_id % 2:
            made.append(command(Command.UNITS_DEPOSIT, instrument_id=1, quantity=100, **named))
        else:
            made.append(command(Command.CASH_DEPOSIT, quantity=10**6, **named))
    made.append(phase(Phase.CONTINUOUS))
    ids = {}
    for label, account_id, changes in (
        ("gone", 3, {"price": 6_905}),
        ("took", 2, {"price": 6_905, "side": Side.BUY}),
        ("part", 3, {"price": 7_200, "quantity": 30}),
        ("ten", 2, {"price": 7_200, "side": Side.BUY}),
        ("known", 1, {}),
        ("other", 3, {"price": 7_300}),
        ("bid", 4, {"price": 6_500, "side": Side.BUY, "instrument_id": 2}),
    ):
        ids[label] = len(made)
        named = {"account_id": account_id, "client_order_id": label.encode()}
        made.append(command(Command.NEW_ORDER, **(BASE | named | changes)))
    return made, ids


FREE = 3
"""An instrument without rules of its own."""

MARKET, ORDER = _market()


def _limit_order(
    account_id: int, side: Side, instrument_id: int, quantity: int, price: int
) -> bytes:
    fields = {"account_id": account_id, "side": side, "instrument_id": instrument_id}
    fields |= {"quantity": quantity, "price": price, "client_order_id": b""}
    return command(Command.NEW_ORDER, **(BASE | fields))


def _sell_side(quantity: int, price: int) -> bytes:
    return Struct("<qq").pack(quantity, price)


SENDER = {
    Reason.SESSIONS_FULL: Fault({"session_id": 77, "ref": 1}, full=("sessions_max",)),
    Reason.EXPIRED: Fault({"valid_ms": 999}),
}
"""Of every command with a sender."""


def control(account_id: int, parameter: AccountParameter, value: int) -> bytes:
    fields = {"account_id": account_id, "order_type": parameter, "quantity": value}
    return command(Command.ACCOUNT_PARAMETER, **fields)


def senders(account_id: int, instrument_id: int) -> dict[Reason, Fault]:
    """An account that may not send, or has just sent all it may."""
    spent = BASE | {"account_id": account_id, "instrument_id": instrument_id, "quantity": 0}
    spent["client_order_id"] = b""
    return {
        Reason.ACCOUNT_SUSPENDED: Fault(
            before=(control(account_id, AccountParameter.SUSPENDED, 1),)
        ),
        Reason.ORDER_RATE_EXCEEDED: Fault(
            before=(
                control(account_id, AccountParameter.ORDER_RATE, 1),
                command(Command.NEW_ORDER, **spent),
            )
        ),
    }


def _new_order_faults() -> dict[Reason, Fault]:
    """Those of `test_rules`; but the last price is another here, and a rate is spent before."""
    faults = {}
    for reason, change in BROKEN.items():
        fields = dict(change)
        before = [phase(which) for which in [fields.pop("phase", None)] if which is not None]
        before += [_parameter(1, p, fields.pop(p.name)) for p in Parameter if p.name in fields]
        before += [control(1, p, fields.pop(p.name)) for p in AccountParameter if p.name in fields]
        if reason == Reason.PRICE_OUTSIDE_COLLAR:
            fields["price"] = 7_205
        faults[reason] = Fault(fields, tuple(before), tuple(fields.pop("limits", ())))
    return faults | senders(1, 1)


def _case(kind: Command, good: Fields, faults: dict[Reason, Fault], *before: bytes) -> Case:
    return Case(kind, good, SENDER | faults, before)


ACCOUNT = {Reason.UNKNOWN_ACCOUNT: Fault({"account_id": 99})}
INSTRUMENT = {Reason.UNKNOWN_INSTRUMENT: Fault({"instrument_id": 99})}
NOT_POSITIVE = {Reason.QUANTITY_NOT_POSITIVE: Fault({"quantity": 0})}
PARAMETER = {
    Reason.UNKNOWN_PARAMETER: Fault({"order_type": 0}),
    Reason.PARAMETER_OUT_OF_RANGE: Fault({"quantity": -1}),
}
LIMIT_PRICE = {
    Reason.PRICE_NOT_POSITIVE: Fault({"price": -5}),
    Reason.PRICE_ABOVE_MAX: Fault({"price": 10**9 + 5}),
    Reason.PRICE_NOT_TICK: Fault({"price": 9_001}),
    Reason.PRICE_ABOVE_BAND: Fault({"price": 7_705}),
    Reason.PRICE_BELOW_BAND: Fault({"price": 6_295}),
    Reason.VALUE_ABOVE_MAX: Fault({"quantity": 900, "price": 7_100}),
}
REPLACE = {
    **ACCOUNT,
    Reason.UNKNOWN_ORDER: Fault({"order_id": 9}),
    Reason.INVALID_TERMS: Fault({"terms": {"ref": 7_000}}),
    Reason.CLIENT_ORDER_ID_REUSED_ORDER: Fault({"client_order_id": b"other"}),
    Reason.CLIENT_ORDER_ID_REUSED_QUANTITY: Fault({"client_order_id": b"part", "quantity": 40}),
    Reason.CLIENT_ORDER_ID_REUSED_PRICE: Fault(
        {"client_order_id": b"part", "quantity": 30, "price": 7_205}
    ),
    Reason.CLIENT_ORDER_ID_REUSED_TERMS: Fault(
        {"client_order_id": b"part", "quantity": 30, "price": 7_200, "terms": {"quantity": 10}}
    ),
    Reason.MARKET_CLOSED: Fault(before=(phase(Phase.CLOSED),)),
    Reason.MARKET_HALTED: Fault(before=(phase(Phase.HALT),)),
    Reason.QUANTITY_NOT_POSITIVE: Fault({"quantity": 0}),
    Reason.QUANTITY_ABOVE_MAX: Fault({"quantity": 1_010}),
    Reason.QUANTITY_NOT_LOT: Fault({"quantity": 15}),
    Reason.QUANTITY_NOT_ABOVE_EXECUTED: Fault({"quantity": 10}),
    Reason.QUANTITY_BELOW_MIN: Fault(
        {"quantity": 40}, before=(_parameter(1, Parameter.QUANTITY_MIN, 50),)
    ),
    Reason.DISPLAY_QUANTITY_OUT_OF_RANGE: Fault({"terms": {"quantity": 5}}),
    Reason.MINIMUM_QUANTITY_OUT_OF_RANGE: Fault({"terms": {"price": -1}}),
    **LIMIT_PRICE,
    Reason.CLIENT_ORDER_IDS_FULL: Fault(full=("client_order_ids_max",)),
}
"""Of the ask of account 3, ten of thirty sold."""

QUOTE = {
    "account_id": 2,
    "instrument_id": 1,
    "quantity": 10,
    "price": 6_900,
    "client_order_id": _sell_side(10, 7_100),
}
QUOTE_FAULTS = {
    **ACCOUNT,
    **INSTRUMENT,
    Reason.INVALID_INSTRUCTIONS: Fault({"order_type": ExecInst.POST_ONLY_REPRICE}),
    Reason.INVALID_TERMS: Fault({"quantity": 0}),
    Reason.MARKET_CLOSED: Fault(before=(phase(Phase.CLOSED),)),
    Reason.MARKET_HALTED: Fault(before=(phase(Phase.HALT),)),
    Reason.QUANTITY_NOT_POSITIVE: Fault({"quantity": -10}),
    Reason.QUANTITY_ABOVE_MAX: Fault({"quantity": 1_010}),
    Reason.QUANTITY_NOT_LOT: Fault({"quantity": 15}),
    Reason.QUANTITY_BELOW_MIN: Fault(
        {"quantity": 10}, before=(_parameter(1, Parameter.QUANTITY_MIN, 20),)
    ),
    **LIMIT_PRICE,
    Reason.POST_ONLY_WOULD_TRADE: Fault({"order_type": ExecInst.POST_ONLY, "price": 7_000}),
    Reason.ORDERS_FULL: Fault(full=("orders_max",)),
    Reason.QUOTE_CROSSED: Fault({"price": 7_300}),
    Reason.INSUFFICIENT_CASH: Fault({"quantity": 800}),
    Reason.INSUFFICIENT_UNITS: Fault({"client_order_id": _sell_side(500, 7_100)}),
}
"""Of the buy side, but for the last: the sell side is looked at after it."""

UNSETTLED = (
    _parameter(FREE, Parameter.RESALE_NEXT_DAY, Resale.SETTLED),
    command(Command.UNITS_DEPOSIT, account_id=1, instrument_id=FREE, quantity=5),
    _limit_order(1, Side.SELL, FREE, 5, 100),
    _limit_order(2, Side.BUY, FREE, 5, 100),
)
"""Account 2 bought 5 t of account 1 for 500, which is not settled."""

LOCKED = (
    _parameter(1, Parameter.RESALE_NEXT_DAY, Resale.NEXT_DAY),
    _limit_order(4, Side.BUY, 1, 10, 7_200),
)
"""Account 4 bought units of instrument 1 that the day's end unlocks."""

CASES: dict[str, Case] = {
    "order": Case(Command.NEW_ORDER, BASE, _new_order_faults()),
    "cancel": _case(
        Command.CANCEL_ORDER,
        {"account_id": 3, "order_id": ORDER["part"]},
        ACCOUNT | {Reason.UNKNOWN_ORDER: Fault({"order_id": 9})},
    ),
    "replace of an ask": _case(
        Command.REPLACE_ORDER,
        {
            "account_id": 3,
            "order_id": ORDER["part"],
            "quantity": 40,
            "price": 7_200,
            "client_order_id": b"new",
        },
        REPLACE | {Reason.INSUFFICIENT_UNITS: Fault({"quantity": 500})},
    ),
    "replace of a bid": _case(
        Command.REPLACE_ORDER,
        {"account_id": 4, "order_id": ORDER["bid"], "quantity": 20, "price": 6_500},
        {
            Reason.QUANTITY_NOT_POSITIVE: Fault({"quantity": 0}),
            **LIMIT_PRICE,
            Reason.INSUFFICIENT_CASH: Fault({"quantity": 500}),
        },
    ),
    "mass cancel": _case(
        Command.MASS_CANCEL,
        {"account_id": 3},
        {
            **ACCOUNT,
            **INSTRUMENT,
            Reason.INVALID_SIDE: Fault({"side": 3}),
            Reason.INVALID_TIME_IN_FORCE: Fault({"time_in_force": 3}),
        },
    ),
    "quote": _case(Command.QUOTE, QUOTE, QUOTE_FAULTS),
    "account": _case(
        Command.ACCOUNT_OPEN,
        {"account_id": 50, "order_id": 5},
        {
            Reason.UNKNOWN_ACCOUNT: Fault({"account_id": 0}),
            Reason.ACCOUNT_EXISTS: Fault({"account_id": 1}),
            Reason.ACCOUNTS_FULL: Fault(full=("accounts_max",)),
        },
    ),
    "cash in": _case(
        Command.CASH_DEPOSIT,
        {"account_id": 1, "quantity": 10},
        ACCOUNT | NOT_POSITIVE | {Reason.TOTAL_ABOVE_MAX: Fault({"quantity": TOTAL_LIMIT})},
    ),
    "cash out": _case(
        Command.CASH_WITHDRAW,
        {"account_id": 2, "quantity": 10},
        ACCOUNT | NOT_POSITIVE | {Reason.INSUFFICIENT_CASH: Fault({"quantity": 10**6})},
    ),
    "units in": _case(
        Command.UNITS_DEPOSIT,
        {"account_id": 1, "instrument_id": 1, "quantity": 10},
        {
            **ACCOUNT,
            **INSTRUMENT,
            **NOT_POSITIVE,
            Reason.TOTAL_ABOVE_MAX: Fault({"quantity": TOTAL_LIMIT}),
        },
    ),
    "units out": _case(
        Command.UNITS_RELEASE,
        {"account_id": 1, "instrument_id": 1, "quantity": 10},
        {
            **ACCOUNT,
            **INSTRUMENT,
            **NOT_POSITIVE,
            Reason.INSUFFICIENT_UNITS: Fault({"quantity": 100}),
        },
    ),
    "trade": _case(
        Command.SETTLE_TRADE,
        {
            "account_id": 2,
            "instrument_id": FREE,
            "order_type": SettlementStep.VOID,
            "quantity": 5,
            "price": 500,
            "order_id": 1,
            "client_order_id": _sell_side(500, 7),
        },
        {
            **ACCOUNT,
            **INSTRUMENT,
            Reason.INVALID_ORDER_TYPE: Fault({"order_type": 0}),
            Reason.UNKNOWN_COUNTERPARTY: Fault({"order_id": 99}),
            **NOT_POSITIVE,
            Reason.INSUFFICIENT_CASH: Fault({"price": 501}),
            Reason.INSUFFICIENT_UNITS: Fault({"quantity": 6}),
            Reason.PARAMETER_OUT_OF_RANGE: Fault({"client_order_id": _sell_side(-1, 7)}),
        },
        *UNSETTLED,
    ),
    "account parameter": _case(
        Command.ACCOUNT_PARAMETER,
        {"account_id": 1, "order_type": AccountParameter.STP_GROUP, "quantity": 3},
        ACCOUNT | PARAMETER,
    ),
    "participant parameter": _case(
        Command.PARTICIPANT_PARAMETER,
        {"order_id": 11, "order_type": AccountParameter.POSITION_MAX, "quantity": 500},
        {Reason.UNKNOWN_ACCOUNT: Fault({"order_id": 99})} | PARAMETER,
    ),
    "instrument": _case(
        Command.INSTRUMENT_OPEN,
        {"instrument_id": 9},
        {
            Reason.UNKNOWN_INSTRUMENT: Fault({"instrument_id": 0}),
            Reason.INSTRUMENT_EXISTS: Fault({"instrument_id": 1}),
        },
    ),
    "instrument parameter": _case(
        Command.INSTRUMENT_PARAMETER,
        {"instrument_id": 1, "order_type": Parameter.PROTECTION_BP, "quantity": 5},
        INSTRUMENT
        | PARAMETER
        | {
            Reason.ORDERS_RESTING: Fault({"order_type": Parameter.TICK_SIZE}),
            Reason.UNITS_LOCKED: Fault(
                {"order_type": Parameter.RESALE_NEXT_DAY, "quantity": Resale.SETTLED}, LOCKED
            ),
        },
    ),
    "phase": _case(
        Command.PHASE_CHANGE,
        {"instrument_id": 1, "order_type": Phase.HALT},
        INSTRUMENT
        | {
            Reason.UNKNOWN_PHASE: Fault({"order_type": 200}),
            Reason.PHASE_TRANSITION_REFUSED: Fault({"order_type": Phase.CONTINUOUS}),
        },
    ),
    "reference price": _case(
        Command.REFERENCE_PRICE,
        {"instrument_id": 1, "price": 7_000},
        INSTRUMENT
        | {
            Reason.PARAMETER_OUT_OF_RANGE: Fault({"price": 0}),
            Reason.PHASE_TRANSITION_REFUSED: Fault(before=(phase(Phase.CONTINUOUS),)),
        },
        phase(Phase.HALT),
    ),
    "day": _case(
        Command.DAY_ROLL,
        {"quantity": 20_261_123},
        {
            Reason.PARAMETER_OUT_OF_RANGE: Fault({"quantity": 100_000_000}),
            Reason.NOT_ALL_CLOSED: Fault(before=(phase(Phase.CONTINUOUS, 2),)),
            Reason.DATE_NOT_LATER: Fault({"quantity": 0}),
        },
        phase(Phase.CLOSED),
    ),
    "tick": _case(Command.CLOCK_TICK, {}, {}),
    "epoch": _case(
        Command.EPOCH_START,
        {"quantity": 1, "order_id": 3},
        {Reason.EPOCH_STALE: Fault({"quantity": 7})},
    ),
    "instruction": _case(
        Command.INSTRUCTION,
        {
            "account_id": 1,
            "instrument_id": 1,
            "order_type": Instruction.SURRENDER,
            "quantity": 5,
        },
        ACCOUNT | INSTRUMENT | {Reason.UNKNOWN_INSTRUCTION: Fault({"order_type": 0})},
    ),
}
"""Each kind of command that is answered; what an engine learns comes here too."""

UNANSWERED = {Command.NOTE, Command.ORDER_TERMS, Command.AUCTION_TERMS}
"""Parts of the command before them; without it they give nothing."""

REPLACED = {"quantity": 20, "price": 7_000}

SINGLE: dict[str, tuple[Case, Reason]] = {
    "cancel of a filled order": (
        Case(Command.CANCEL_ORDER, {"account_id": 3, "order_id": ORDER["gone"]}),
        Reason.UNKNOWN_ORDER,
    ),
    "cancel by the label of a filled order": (
        Case(Command.CANCEL_ORDER, {"account_id": 3, "client_order_id": b"gone"}),
        Reason.UNKNOWN_ORDER,
    ),
    "cancel of nothing": (Case(Command.CANCEL_ORDER, {"account_id": 3}), Reason.UNKNOWN_ORDER),
    "cancel of another's order": (
        Case(Command.CANCEL_ORDER, {"account_id": 2, "order_id": ORDER["part"]}),
        Reason.UNKNOWN_ORDER,
    ),
    "cancel by another's label": (
        Case(Command.CANCEL_ORDER, {"account_id": 2, "client_order_id": b"part"}),
        Reason.UNKNOWN_ORDER,
    ),
    "replace of a filled order": (
        Case(Command.REPLACE_ORDER, REPLACED | {"account_id": 3, "order_id": ORDER["gone"]}),
        Reason.UNKNOWN_ORDER,
    ),
    "replace of another's order": (
        Case(Command.REPLACE_ORDER, REPLACED | {"account_id": 2, "order_id": ORDER["part"]}),
        Reason.UNKNOWN_ORDER,
    ),
    "replace of a quote": (
        Case(
            Command.REPLACE_ORDER,
            REPLACED | {"account_id": 2, "order_id": 1 << INDEX_BITS},
            before=(command(Command.QUOTE, **QUOTE),),
        ),
        Reason.NOT_ALLOWED_BY_POLICY,
    ),
    "price x quantity past 63 bits": (
        Case(
            Command.NEW_ORDER,
            BASE | {"instrument_id": FREE, "price": PRICE_LIMIT, "quantity": QUANTITY_LIMIT},
        ),
        Reason.VALUE_ABOVE_MAX,
    ),
}
"""Orders that are gone, another's or not to be replaced; a product that no signed word holds."""
