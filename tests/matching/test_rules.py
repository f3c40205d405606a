"""Rules that a scenario cannot say: precedence, undecodable frames, the edges of the interface."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest

from matching import compiled
from matching.layout import (
    COUNT_MAX,
    AccountParameter,
    Command,
    Event,
    ExecInst,
    OrderType,
    Parameter,
    Phase,
    Reason,
    Side,
    TimeInForce,
)
from matching.protocol import EngineProtocol, Limits
from tests.matching.frames import command, events, frame, header

SECOND = 1_000_000_000
MARKET = {"order_type": OrderType.MARKET, "time_in_force": TimeInForce.IOC, "price": 0}
KNOWN = {"client_order_id": b"known"}

BASE: dict[str, Any] = {
    "account_id": 1,
    "instrument_id": 1,
    "side": Side.SELL,
    "order_type": OrderType.LIMIT,
    "time_in_force": TimeInForce.DAY,
    "quantity": 10,
    "price": 7_000,
    "client_order_id": b"new",
}
"""An order that is accepted, and the body of the one known as b"known"."""

BROKEN: dict[Reason, dict[str, Any]] = {
    Reason.SESSIONS_FULL: {"session_id": 1, "ref": 1, "limits": {"sessions_max": 0}},
    Reason.EXPIRED: {"valid_ms": 999},
    Reason.UNKNOWN_ACCOUNT: {"account_id": 99},
    Reason.UNKNOWN_INSTRUMENT: {"instrument_id": 99},
    Reason.INVALID_SIDE: {"side": 3},
    Reason.INVALID_ORDER_TYPE: {"order_type": 5},
    Reason.INVALID_TIME_IN_FORCE: {"time_in_force": 5},
    Reason.MARKET_ORDER_CANNOT_REST: MARKET | {"time_in_force": TimeInForce.DAY},
    Reason.MARKET_ORDER_HAS_PRICE: MARKET | {"price": 7_000},
    Reason.INVALID_INSTRUCTIONS: {"order_id": 8},
    Reason.INVALID_TERMS: {"terms": {"ref": 7_000, "quantity": 10}},
    Reason.EXPIRE_DATE_OUT_OF_RANGE: {
        "time_in_force": TimeInForce.GTD,
        "terms": {"order_id": 10**8},
    },
    Reason.CLIENT_ORDER_ID_REUSED_INSTRUMENT: KNOWN | {"instrument_id": 2},
    Reason.CLIENT_ORDER_ID_REUSED_SIDE: KNOWN | {"side": Side.BUY},
    Reason.CLIENT_ORDER_ID_REUSED_ORDER_TYPE: KNOWN | MARKET,
    Reason.CLIENT_ORDER_ID_REUSED_TIME_IN_FORCE: KNOWN | {"time_in_force": TimeInForce.GTC},
    Reason.CLIENT_ORDER_ID_REUSED_QUANTITY: KNOWN | {"quantity": 20},
    Reason.CLIENT_ORDER_ID_REUSED_PRICE: KNOWN | {"price": 7_005},
    Reason.CLIENT_ORDER_ID_REUSED_TERMS: KNOWN | {"order_id": ExecInst.NON_PERSISTENT},
    Reason.ACCOUNT_SUSPENDED: {"SUSPENDED": 1},
    Reason.ORDER_RATE_EXCEEDED: {"ORDER_RATE": 1},
    Reason.MARKET_CLOSED: {"phase": Phase.CLOSED},
    Reason.MARKET_HALTED: {"phase": Phase.HALT},
    Reason.ORDER_NOT_ALLOWED_IN_PHASE: {
        "phase": Phase.VOLATILITY_CALL,
        "time_in_force": TimeInForce.IOC,
    },
    Reason.QUANTITY_NOT_POSITIVE: {"quantity": 0},
    Reason.QUANTITY_ABOVE_MAX: {"quantity": 1_010},
    Reason.QUANTITY_NOT_LOT: {"quantity": 15},
    Reason.QUANTITY_BELOW_MIN: {"quantity": 10, "QUANTITY_MIN": 20},
    Reason.DISPLAY_QUANTITY_OUT_OF_RANGE: {"terms": {"quantity": 5}},
    Reason.MINIMUM_QUANTITY_OUT_OF_RANGE: {"terms": {"price": -1}},
    Reason.PRICE_NOT_POSITIVE: {"price": -5},
    Reason.PRICE_ABOVE_MAX: {"price": 10**9 + 5},
    Reason.PRICE_NOT_TICK: {"price": 9_001},
    Reason.PRICE_ABOVE_BAND: {"price": 7_705},
    Reason.PRICE_BELOW_BAND: {"price": 6_295},
    Reason.NO_LIQUIDITY: MARKET | {"side": Side.SELL},
    Reason.VALUE_ABOVE_MAX: {"quantity": 900, "price": 7_100},
    Reason.STOP_PRICE_OUT_OF_RANGE: {"order_type": OrderType.STOP_LIMIT, "terms": {"ref": 7_001}},
    Reason.PRICE_OUTSIDE_COLLAR: {"side": Side.BUY, "price": 7_005, "COLLAR_BP": 1},
    Reason.POST_ONLY_WOULD_TRADE: {"side": Side.BUY, "order_id": ExecInst.POST_ONLY},
    Reason.ORDERS_FULL: {"limits": {"orders_max": 1}},
    Reason.CLIENT_ORDER_IDS_FULL: {"limits": {"client_order_ids_max": 1}},
    Reason.HOLDING_ABOVE_MAX: {"side": Side.BUY, "HOLDING_MAX": 109},
    Reason.POSITION_ABOVE_MAX: {"side": Side.BUY, "POSITION_MAX": 109},
    Reason.INSUFFICIENT_CASH: {"side": Side.BUY},
    Reason.INSUFFICIENT_UNITS: {"quantity": 100},
}
"""How to break each rule of a new order, in rising number."""

EXCLUSIVE = {
    # A market order has no limit price that could be wrong, and is never GTC.
    (Reason.CLIENT_ORDER_ID_REUSED_TIME_IN_FORCE, Reason.NO_LIQUIDITY),
    (Reason.CLIENT_ORDER_ID_REUSED_PRICE, Reason.NO_LIQUIDITY),
    *(
        (reason, Reason.NO_LIQUIDITY)
        for reason in Reason
        if Reason.PRICE_NOT_POSITIVE <= reason <= Reason.PRICE_BELOW_BAND
    ),
    # What rests is no market order; what an order that trades at once, or that must not trade,
    # cannot have.
    (Reason.ORDER_NOT_ALLOWED_IN_PHASE, Reason.DISPLAY_QUANTITY_OUT_OF_RANGE),
    (Reason.ORDER_NOT_ALLOWED_IN_PHASE, Reason.POST_ONLY_WOULD_TRADE),
    (Reason.EXPIRE_DATE_OUT_OF_RANGE, Reason.CLIENT_ORDER_ID_REUSED_ORDER_TYPE),
    (Reason.EXPIRE_DATE_OUT_OF_RANGE, Reason.NO_LIQUIDITY),
    (Reason.CLIENT_ORDER_ID_REUSED_ORDER_TYPE, Reason.DISPLAY_QUANTITY_OUT_OF_RANGE),
    (Reason.CLIENT_ORDER_ID_REUSED_ORDER_TYPE, Reason.POST_ONLY_WOULD_TRADE),
    (Reason.DISPLAY_QUANTITY_OUT_OF_RANGE, Reason.NO_LIQUIDITY),
    (Reason.DISPLAY_QUANTITY_OUT_OF_RANGE, Reason.POST_ONLY_WOULD_TRADE),
    (Reason.MINIMUM_QUANTITY_OUT_OF_RANGE, Reason.POST_ONLY_WOULD_TRADE),
    (Reason.NO_LIQUIDITY, Reason.POST_ONLY_WOULD_TRADE),
    # A stop is no market order, trades not at once, and has no other terms but a date.
    *(
        (reason, Reason.STOP_PRICE_OUT_OF_RANGE)
        for reason in (
            Reason.EXPIRE_DATE_OUT_OF_RANGE,
            Reason.CLIENT_ORDER_ID_REUSED_ORDER_TYPE,
            Reason.ORDER_NOT_ALLOWED_IN_PHASE,
            Reason.DISPLAY_QUANTITY_OUT_OF_RANGE,
            Reason.MINIMUM_QUANTITY_OUT_OF_RANGE,
            Reason.NO_LIQUIDITY,
        )
    ),
    (Reason.STOP_PRICE_OUT_OF_RANGE, Reason.POST_ONLY_WOULD_TRADE),
}

REUSED = {
    "instrument_id": Reason.CLIENT_ORDER_ID_REUSED_INSTRUMENT,
    "side": Reason.CLIENT_ORDER_ID_REUSED_SIDE,
    "order_type": Reason.CLIENT_ORDER_ID_REUSED_ORDER_TYPE,
    "time_in_force": Reason.CLIENT_ORDER_ID_REUSED_TIME_IN_FORCE,
    "quantity": Reason.CLIENT_ORDER_ID_REUSED_QUANTITY,
    "price": Reason.CLIENT_ORDER_ID_REUSED_PRICE,
    "order_id": Reason.CLIENT_ORDER_ID_REUSED_TERMS,
}

ELSEWHERE = {
    Reason.UNKNOWN_COMMAND,
    Reason.UNKNOWN_ORDER,
    Reason.CLIENT_ORDER_ID_REUSED_ORDER,
    Reason.QUANTITY_NOT_ABOVE_EXECUTED,
    # listings, blocks and sealed bids: see bad_input_deals.py
    Reason.NOT_ALLOWED_BY_POLICY,
    Reason.BLOCKS_CLOSED,
    Reason.AUCTION_NOT_OPEN,
    Reason.AUCTION_ALREADY_OPEN,
    Reason.BID_IRREVOCABLE,
    Reason.BIDDING_CLOSED,
    Reason.UNKNOWN_COUNTERPARTY,
    Reason.QUANTITY_ABOVE_LISTED,
    Reason.QUANTITY_DIFFERS,
    Reason.BID_ABOVE_MAX,
    Reason.PRICE_BEYOND_RESERVE,
    Reason.PRICE_DIFFERS,
    Reason.LISTING_OUT_OF_REACH,
    Reason.QUOTE_CROSSED,
}
"""Of cancels and replaces only, or of no command at all."""


def answer(engine_type: type[EngineProtocol], change: dict[str, Any]) -> tuple[int, int]:
    """Kind and reason of the first event of the order, in a market made for it."""
    change = dict(change)
    engine = engine_type(Limits()._replace(**change.pop("limits", {})))
    phase = change.pop("phase", None)
    settings = {p: change.pop(p.name) for p in Parameter if p.name in change}
    controls = {p: change.pop(p.name) for p in AccountParameter if p.name in change}
    terms = change.pop("terms", None)
    opening = []
    for instrument_id in (1, 2):
        named = {"instrument_id": instrument_id}
        opening.append(command(Command.INSTRUMENT_OPEN, **named))
        for parameter, value in (
            (Parameter.TICK_SIZE, 5),
            (Parameter.LOT_SIZE, 10),
            (Parameter.QUANTITY_MAX, 1_000),
            (Parameter.VALUE_MAX, 6_000_000),
            (Parameter.BAND_BP, 1_000),
        ):
            fields = named | {"order_type": parameter, "quantity": value}
            opening.append(command(Command.INSTRUMENT_PARAMETER, **fields))
        opening.append(command(Command.REFERENCE_PRICE, price=7_000, **named))
    opening.append(command(Command.ACCOUNT_OPEN, account_id=1))
    opening.append(command(Command.UNITS_DEPOSIT, account_id=1, instrument_id=1, quantity=100))
    opening.append(command(Command.PHASE_CHANGE, order_type=Phase.CONTINUOUS))
    opening.append(command(Command.NEW_ORDER, **(BASE | KNOWN)))
    if phase is not None:
        opening.append(command(Command.PHASE_CHANGE, order_type=phase))
    for parameter, value in settings.items():
        fields = {"order_type": parameter, "quantity": value, "instrument_id": 1}
        opening.append(command(Command.INSTRUMENT_PARAMETER, **fields))
    for control, value in controls.items():
        fields = {"order_type": control, "quantity": value, "account_id": 1}
        opening.append(command(Command.ACCOUNT_PARAMETER, **fields))
    rows = events(engine.apply(0, SECOND, frame(opening)))
    assert all(row.kind != Event.REJECTED for row in rows)
    order = [command(Command.NEW_ORDER, **(BASE | change))]
    if terms is not None:
        order.append(command(Command.ORDER_TERMS, **terms))
    before = [command(Command.NEW_ORDER, **(BASE | {"quantity": 0}))] if controls else []
    rows = events(engine.apply(1, 2 * SECOND, frame([*before, *order], time_ns=SECOND)))
    first = next(row for row in rows if row.command_index == len(before))
    return first.kind, first.reason


def test_every_reason_of_an_order_is_in_the_table() -> None:
    orders = {r for r in Reason if Reason.SESSIONS_FULL <= r < Reason.ACCOUNT_EXISTS}
    assert orders - ELSEWHERE == BROKEN.keys()
    assert list(BROKEN) == sorted(BROKEN)


def test_the_base_order_is_accepted(engine_type: type[EngineProtocol]) -> None:
    assert answer(engine_type, {}) == (Event.ACCEPTED, Reason.NONE)
    assert answer(engine_type, KNOWN) == (Event.DUPLICATE, Reason.NONE)


@pytest.mark.parametrize("reason", BROKEN)
def test_one_broken_rule(reason: Reason, engine_type: type[EngineProtocol]) -> None:
    assert answer(engine_type, BROKEN[reason]) == (Event.REJECTED, reason)


def test_of_two_broken_rules_the_lower_is_told(engine_type: type[EngineProtocol]) -> None:
    for low, high in combinations(BROKEN, 2):
        if (low, high) in EXCLUSIVE:
            continue
        both = BROKEN[high] | BROKEN[low]
        told = first_field_reused(both) if low in REUSED.values() else low
        assert answer(engine_type, both) == (Event.REJECTED, told), (low.name, high.name)


def first_field_reused(order: dict[str, Any]) -> Reason:
    """What breaks another rule may also be one more field in which a known body differs."""
    return next(
        reason
        for field, reason in REUSED.items()
        if order.get(field, BASE.get(field, 0)) != BASE.get(field, 0)
    )


TICK = command(Command.CLOCK_TICK)

REFUSED: dict[str, tuple[bytes, Reason]] = {
    "nothing": (b"", Reason.FRAME_TOO_SHORT),
    "short": (frame([TICK])[:79], Reason.FRAME_TOO_SHORT),
    "magic": (frame([TICK], magic=1, version=9), Reason.FRAME_WRONG_MAGIC),
    "version": (frame([TICK], version=2, kind=9), Reason.FRAME_WRONG_VERSION),
    "events": (frame([TICK], kind=2, count=0), Reason.FRAME_WRONG_KIND),
    "none": (frame([]), Reason.FRAME_COUNT_OUT_OF_RANGE),
    "too many": (frame([TICK] * (COUNT_MAX + 1)), Reason.FRAME_COUNT_OUT_OF_RANGE),
    "a lie": (frame([TICK], count=2, checksum=5), Reason.FRAME_WRONG_SIZE),
    "cut": (frame([TICK, TICK])[:-1], Reason.FRAME_WRONG_SIZE),
    "longer": (frame([TICK]) + b"x", Reason.FRAME_WRONG_SIZE),
    "largest lie": (header(TICK, count=2**32 - 1) + TICK, Reason.FRAME_COUNT_OUT_OF_RANGE),
    "checksum": (frame([TICK], checksum=5), Reason.FRAME_WRONG_CHECKSUM),
    "changed": (frame([TICK])[:-1] + b"x", Reason.FRAME_WRONG_CHECKSUM),
}


@pytest.mark.parametrize("name", REFUSED)
def test_undecodable_frame(name: str, engine_type: type[EngineProtocol]) -> None:
    data, reason = REFUSED[name]
    engine = engine_type()
    (event,) = events(engine.apply(0, 5, data))
    assert (event.kind, event.reason, event.command_index) == (Event.FRAME_REFUSED, reason, 0)
    assert (engine.next_offset, engine.next_event, engine.time_ns) == (1, 1, 5)


def test_the_largest_frame_is_heard(engine_type: type[EngineProtocol]) -> None:
    opens = [command(Command.INSTRUMENT_OPEN, instrument_id=i) for i in range(1, COUNT_MAX + 1)]
    heard = events(engine_type().apply(0, 0, frame(opens)))
    assert [e.command_index for e in heard] == list(range(COUNT_MAX))


def test_only_the_next_offset_is_taken(engine_type: type[EngineProtocol]) -> None:
    engine = engine_type()
    engine.apply(0, 10, frame([TICK]))
    before = engine.snapshot()
    for offset in (0, 2, -1):
        with pytest.raises(ValueError, match="not the next"):
            engine.apply(offset, 99, frame([TICK]))
    assert engine.snapshot() == before


def test_time_never_goes_back(engine_type: type[EngineProtocol]) -> None:
    engine = engine_type()
    for offset, (append_ns, expected) in enumerate([(10, 10), (5, 10), (-7, 10), (11, 11)]):
        engine.apply(offset, append_ns, frame([TICK]))
        assert engine.time_ns == expected


@pytest.mark.parametrize("kind", [k for k in range(256) if k not in set(Command)])
def test_unknown_command(kind: int) -> None:
    engine = compiled.Engine()
    record = command(kind, session_id=3, ref=9)
    (event,) = events(engine.apply(0, 0, frame([record])))
    assert (event.kind, event.reason) == (Event.REJECTED, Reason.UNKNOWN_COMMAND)
    assert (event.order_type, event.value) == (kind, 9)
    # It has not used up its number.
    tick = command(Command.CLOCK_TICK, session_id=3, ref=9)
    assert engine.apply(1, 0, frame([tick])) == b""


def test_order_id_is_the_log_position(engine_type: type[EngineProtocol]) -> None:
    engine = engine_type()
    engine.apply(0, 0, frame([TICK]))
    opening = [
        command(Command.INSTRUMENT_OPEN, instrument_id=1),
        command(Command.ACCOUNT_OPEN, account_id=1),
        command(Command.UNITS_DEPOSIT, account_id=1, instrument_id=1, quantity=100),
        command(Command.PHASE_CHANGE, order_type=Phase.CONTINUOUS),
        command(Command.NEW_ORDER, **BASE),
    ]
    heard = events(engine.apply(1, 0, frame(opening)))
    assert heard[-1].name == "ACCEPTED"
    assert heard[-1].order_id == 1 << 16 | 4


def test_refusal_echoes_the_command(engine_type: type[EngineProtocol]) -> None:
    fields = BASE | {"session_id": 7, "ref": 3, "order_id": 12}
    (event,) = events(engine_type().apply(0, 0, frame([command(Command.NEW_ORDER, **fields)])))
    assert (event.name, event.reason) == ("REJECTED", Reason.UNKNOWN_ACCOUNT)
    assert (event.order_type, event.value, event.order_id) == (Command.NEW_ORDER, 3, 12)
    for name in ("account_id", "instrument_id", "side", "time_in_force", "quantity", "price"):
        assert getattr(event, name) == fields[name]
    assert event.client_order_id == b"new".ljust(16, b"\0")


def test_limits_must_not_be_negative(engine_type: type[EngineProtocol]) -> None:
    with pytest.raises(ValueError, match="negative"):
        engine_type(Limits(-1, 1, 1, 1))
