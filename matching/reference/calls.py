"""Calls: orders gather without trading, and at the end one price trades for all of them."""

from __future__ import annotations

from matching.layout import Event, Parameter, Phase, Policy, Reason, TimeInForce, TradeMethod
from matching.reference.book import BookSide
from matching.reference.call_price import NOTHING_CROSSES, CallPrice, call_price
from matching.reference.instruments import Instrument
from matching.reference.orders import fill
from matching.reference.state import State

CALLS = frozenset({Phase.OPENING_CALL, Phase.VOLATILITY_CALL, Phase.CLOSING_CALL})
"""The phases that end with one price, and say before what it would be."""

_FOR_THE_OPENING = frozenset({Phase.START_OF_DAY, Phase.OPENING_CALL})


def phase_refusal(phase: int, time_in_force: int, *, must_match: bool) -> Reason:
    """Why an order is not heard in a phase; `must_match` = at once or never. O(1)."""
    if phase == Phase.CLOSED:
        return Reason.MARKET_CLOSED
    if phase == Phase.HALT:
        return Reason.MARKET_HALTED
    is_opening = time_in_force == TimeInForce.AT_THE_OPENING
    if is_opening and phase not in _FOR_THE_OPENING:
        return Reason.ORDER_NOT_ALLOWED_IN_PHASE
    if must_match and phase != Phase.CONTINUOUS:
        return Reason.ORDER_NOT_ALLOWED_IN_PHASE
    return Reason.NONE


def found_price(instrument: Instrument) -> CallPrice:
    """At which price the book would trade now; zeros in a LISTED instrument. O(orders)."""
    if instrument[Parameter.POLICY] != Policy.PRICE_TIME:
        return NOTHING_CROSSES
    bids, asks = (_tonnes(side) for side in (instrument.bids, instrument.asks))
    return call_price(bids, asks, instrument.base_price())


def say_indicative(state: State, instrument: Instrument) -> None:
    """INDICATIVE, if it is not what was said last. O(orders)."""
    found = found_price(instrument)
    if found != instrument.indicative:
        instrument.indicative = found
        _say(state, Event.INDICATIVE, instrument, found)


def uncross(state: State, instrument: Instrument) -> CallPrice:
    """Trade all that crosses at one price, the best buy with the best sell. O(orders)."""
    found = found_price(instrument)
    if found == NOTHING_CROSSES:
        return found
    _say(state, Event.UNCROSSED, instrument, found)
    rest = found.volume
    while rest:
        rest -= _meet(state, instrument, rest, found.price)
    return found


def _tonnes(side: BookSide) -> dict[int, int]:
    tonnes: dict[int, int] = {}
    for order in side:
        tonnes[order.price] = tonnes.get(order.price, 0) + order.leaves
    return tonnes


def _meet(state: State, instrument: Instrument, rest: int, price: int) -> int:
    """The first buy and the first sell trade; how much."""
    buy, sell = next(iter(instrument.bids)), next(iter(instrument.asks))
    quantity = min(buy.leaves, sell.leaves, rest)
    instrument.count_trade(quantity, price)
    fee_bp = instrument[Parameter.MAKER_FEE_BP]
    pair = (buy, sell) if buy.order_id < sell.order_id else (sell, buy)
    fill(state, instrument, pair, quantity, price, (fee_bp, fee_bp), TradeMethod.CALL_TRADE)
    for order in pair:
        order.visible = min(order.display_quantity, order.leaves)
        if not order.leaves:
            instrument.book_side(order.side).remove(order)
            del state.orders[order.order_id]
    return quantity


def _say(state: State, kind: Event, instrument: Instrument, found: CallPrice) -> None:
    state.emit(
        kind,
        instrument_id=instrument.instrument_id,
        price=found.price,
        quantity=found.volume,
        value=found.surplus,
    )
