"""Orders as they come: checks in order of precedence, then matching.

Each command gives the reason why it is refused, and has then changed nothing.
"""

from __future__ import annotations

from matching.layout import (
    PRICE_LIMIT,
    Event,
    OrderType,
    Parameter,
    Phase,
    Reason,
    Side,
    TimeInForce,
)
from matching.reference.book import Order
from matching.reference.calls import phase_refusal
from matching.reference.instruments import Instrument
from matching.reference.orders import end, end_resting, fill, move_hold, names
from matching.reference.records import NO_LABEL, CommandRecord
from matching.reference.state import Body, State

_ORDER_TYPES = frozenset({OrderType.MARKET, OrderType.LIMIT})
_IMMEDIATE = frozenset({TimeInForce.IOC, TimeInForce.FOK})
_RESTING = frozenset({TimeInForce.DAY, TimeInForce.GTC})
_TIMES_IN_FORCE = _IMMEDIATE | _RESTING

_REUSED = (
    Reason.CLIENT_ORDER_ID_REUSED_ORDER,
    Reason.CLIENT_ORDER_ID_REUSED_INSTRUMENT,
    Reason.CLIENT_ORDER_ID_REUSED_SIDE,
    Reason.CLIENT_ORDER_ID_REUSED_ORDER_TYPE,
    Reason.CLIENT_ORDER_ID_REUSED_TIME_IN_FORCE,
    Reason.CLIENT_ORDER_ID_REUSED_QUANTITY,
    Reason.CLIENT_ORDER_ID_REUSED_PRICE,
    Reason.CLIENT_ORDER_ID_REUSED_TERMS,
)
"""The refusal for each field of a Body, in its order."""


# -- commands --------------------------------------------------------------------------------------


def new_order(state: State, c: CommandRecord, position: int) -> Reason:
    """NEW_ORDER: refuse, or accept, hold and trade. O(log levels + fills)."""
    instrument: Instrument = state.instruments[c.instrument_id]
    reason = _form_refusal(c)
    if reason:
        return reason
    known = _remembered(state, c)
    if known:
        return _answer_known(state, c, known, known._replace(**_new_terms(c)))
    price = c.price
    if c.order_type == OrderType.MARKET:
        price = instrument.protection_price(c.side) or 0
    reason = _terms_refusal(instrument, c, c.side, price)
    if not reason and len(state.orders) >= state.limits.orders_max:
        reason = Reason.ORDERS_FULL
    reason = reason or _label_refusal(state, c)
    if reason:
        return reason
    order = Order(
        position,
        c.account_id,
        c.instrument_id,
        c.side,
        c.order_type,
        c.time_in_force,
        c.quantity,
        c.quantity,
        price,
        c.client_order_id,
    )
    hold = order.hold(instrument.fee_bp_max())
    reason = _funds_refusal(state, order, hold)
    if reason:
        return reason
    move_hold(state, order, hold)
    _remember(state, c, order)
    state.emit(Event.ACCEPTED, value=hold, quantity=order.quantity, **names(order))
    _trade(state, instrument, order)
    return Reason.NONE


def cancel_order(state: State, c: CommandRecord) -> Reason:
    """CANCEL_ORDER by order id or by client order id. O(log levels)."""
    order_id = c.order_id
    if order_id == 0:
        known = _remembered(state, c)
        order_id = known.order_id if known else 0
    order = state.orders.get(order_id)
    if order is None or order.account_id != c.account_id:
        return Reason.UNKNOWN_ORDER
    end_resting(state, order, Reason.CANCELLED_BY_REQUEST)
    return Reason.NONE


def replace_order(state: State, c: CommandRecord) -> Reason:
    """REPLACE_ORDER: refuse and leave untouched, or change in place, or enter anew.

    O(log levels + fills).
    """
    known = _remembered(state, c)
    asked = {"order_id": c.order_id, "quantity": c.quantity, "price": c.price}
    if known and known == known._replace(**asked):
        state.duplicate(c, known.order_id)
        return Reason.NONE
    order = state.orders.get(c.order_id)
    if order is None or order.account_id != c.account_id:
        return Reason.UNKNOWN_ORDER
    if known:
        return _answer_known(state, c, known, known._replace(**asked))
    instrument: Instrument = state.instruments[order.instrument_id]
    reason = _terms_refusal(instrument, c, order.side, c.price, order)
    reason = reason or _label_refusal(state, c)
    if reason:
        return reason
    changed = _replaced(order, c)
    old_hold = order.hold(instrument.fee_bp_max())
    new_hold = changed.hold(instrument.fee_bp_max())
    reason = _funds_refusal(state, changed, new_hold - old_hold)
    if reason:
        return reason
    move_hold(state, changed, new_hold - old_hold)
    _remember(state, c, changed)
    is_kept = c.price == order.price and c.quantity < order.quantity
    said = names(changed) | {"order_type": int(is_kept)}
    state.emit(Event.REPLACED, value=new_hold, quantity=changed.leaves, **said)
    if is_kept:
        order.quantity, order.leaves = changed.quantity, changed.leaves
        order.client_order_id = changed.client_order_id
    else:
        instrument.book_side(order.side).remove(order)
        del state.orders[order.order_id]
        _trade(state, instrument, changed)
    return Reason.NONE


def end_outside_band(state: State, instrument: Instrument, *, is_day_over: bool) -> None:
    """Cancel what the new reference price, or the end of the day, leaves no place for.

    O(orders of the instrument).
    """
    for book_side in (instrument.bids, instrument.asks):
        for order in list(book_side):
            if is_day_over and order.time_in_force == TimeInForce.DAY:
                end_resting(state, order, Reason.DAY_ENDED)
            elif instrument.outside_band(order.price):
                end_resting(state, order, Reason.BAND_MOVED)


# -- checks, in order of Reason ------------------------------------------------------------------


def _form_refusal(c: CommandRecord) -> Reason:
    if c.side not in (Side.BUY, Side.SELL):
        return Reason.INVALID_SIDE
    if c.order_type not in _ORDER_TYPES:
        return Reason.INVALID_ORDER_TYPE
    if c.time_in_force not in _TIMES_IN_FORCE:
        return Reason.INVALID_TIME_IN_FORCE
    if c.order_type == OrderType.MARKET and c.time_in_force not in _IMMEDIATE:
        return Reason.MARKET_ORDER_CANNOT_REST
    if c.order_type == OrderType.MARKET and c.price != 0:
        return Reason.MARKET_ORDER_HAS_PRICE
    return Reason.NONE


def _remembered(state: State, c: CommandRecord) -> Body | None:
    if c.client_order_id == NO_LABEL:
        return None
    return state.client_order_ids.get((c.account_id, c.client_order_id))


def _new_terms(c: CommandRecord) -> dict[str, int]:
    return {
        "instrument_id": c.instrument_id,
        "side": c.side,
        "order_type": c.order_type,
        "time_in_force": c.time_in_force,
        "quantity": c.quantity,
        "price": c.price,
    }


def _answer_known(state: State, c: CommandRecord, known: Body, asked: Body) -> Reason:
    for had, has, reason in zip(known, asked, _REUSED, strict=True):
        if had != has:
            return reason
    state.duplicate(c, known.order_id)
    return Reason.NONE


def _terms_refusal(
    instrument: Instrument, c: CommandRecord, side: int, price: int, replaced: Order | None = None
) -> Reason:
    """Phase, quantity, price, value; `price` is the effective limit."""
    tif = replaced.time_in_force if replaced else c.time_in_force
    reason = phase_refusal(instrument.phase, tif, must_match=tif in _IMMEDIATE)
    if reason:
        return reason
    if c.quantity <= 0:
        return Reason.QUANTITY_NOT_POSITIVE
    if c.quantity > instrument[Parameter.QUANTITY_MAX]:
        return Reason.QUANTITY_ABOVE_MAX
    if c.quantity % instrument[Parameter.LOT_SIZE]:
        return Reason.QUANTITY_NOT_LOT
    if replaced and c.quantity <= replaced.executed:
        return Reason.QUANTITY_NOT_ABOVE_EXECUTED
    is_market = replaced is None and c.order_type == OrderType.MARKET
    reason = Reason.NONE if is_market else _price_refusal(instrument, price)
    if reason:
        return reason
    if is_market and instrument.opposite(side).best() is None:
        return Reason.NO_LIQUIDITY
    if price * c.quantity > instrument[Parameter.VALUE_MAX]:
        return Reason.VALUE_ABOVE_MAX
    return Reason.NONE


def _price_refusal(instrument: Instrument, price: int) -> Reason:
    if price <= 0:
        return Reason.PRICE_NOT_POSITIVE
    if price > PRICE_LIMIT:
        return Reason.PRICE_ABOVE_MAX
    if price % instrument[Parameter.TICK_SIZE]:
        return Reason.PRICE_NOT_TICK
    band = instrument.band()
    if band and price > band[1]:
        return Reason.PRICE_ABOVE_BAND
    if band and price < band[0]:
        return Reason.PRICE_BELOW_BAND
    return Reason.NONE


def _label_refusal(state: State, c: CommandRecord) -> Reason:
    is_full = len(state.client_order_ids) >= state.limits.client_order_ids_max
    if is_full and c.client_order_id != NO_LABEL:
        return Reason.CLIENT_ORDER_IDS_FULL
    return Reason.NONE


def _funds_refusal(state: State, order: Order, more: int) -> Reason:
    """`more` is what the hold would grow by."""
    if order.side == Side.BUY:
        is_short = more > state.accounts[order.account_id].available
        return Reason.INSUFFICIENT_CASH if is_short else Reason.NONE
    is_short = more > state.holding(order.account_id, order.instrument_id).available
    return Reason.INSUFFICIENT_UNITS if is_short else Reason.NONE


# -- accepted orders -------------------------------------------------------------------------------


def _remember(state: State, c: CommandRecord, order: Order) -> None:
    if c.client_order_id != NO_LABEL:
        state.client_order_ids[c.account_id, c.client_order_id] = Body(
            order.order_id,
            order.instrument_id,
            order.side,
            order.order_type,
            order.time_in_force,
            c.quantity,
            c.price,
        )


def _replaced(order: Order, c: CommandRecord) -> Order:
    return Order(
        order.order_id,
        order.account_id,
        order.instrument_id,
        order.side,
        order.order_type,
        order.time_in_force,
        c.quantity,
        c.quantity - order.executed,
        c.price,
        order.client_order_id if c.client_order_id == NO_LABEL else c.client_order_id,
        accrued=order.accrued,
        charged=order.charged,
    )


def _trade(state: State, instrument: Instrument, taker: Order) -> None:
    """Meet the other side, if it is the time for it, then rest or end."""
    others = instrument.opposite(taker.side)
    is_fok = taker.time_in_force == TimeInForce.FOK
    if is_fok and sum(o.leaves for o in others.within(taker.price)) < taker.leaves:
        end(state, instrument, taker, Reason.FILL_OR_KILL_UNFILLED)
        return
    fees = instrument[Parameter.MAKER_FEE_BP], instrument[Parameter.TAKER_FEE_BP]
    while taker.leaves and instrument.phase == Phase.CONTINUOUS:
        maker = next(others.within(taker.price), None)
        if maker is None:
            break
        quantity = min(maker.leaves, taker.leaves)
        instrument.count_trade(quantity, maker.price)
        fill(state, instrument, (maker, taker), quantity, maker.price, fees)
        if not maker.leaves:
            others.remove(maker)
            del state.orders[maker.order_id]
    if taker.leaves and taker.time_in_force in _RESTING:
        instrument.book_side(taker.side).add(taker)
        state.orders[taker.order_id] = taker
    elif taker.leaves:
        end(state, instrument, taker, Reason.IMMEDIATE_OR_CANCEL_REMAINDER)
