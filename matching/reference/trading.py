"""Orders as they come: checks in order of precedence, then matching.

Each command gives the reason why it is refused, and has then changed nothing.
"""

from __future__ import annotations

from dataclasses import replace

from matching.layout import (
    PRICE_LIMIT,
    AuctionFlag,
    Event,
    ExecInst,
    OrderType,
    Parameter,
    Phase,
    Policy,
    Queue,
    Reason,
    Side,
    TimeInForce,
)
from matching.reference.bids import fixed_refusal, replaced_bid_refusal, reserve_refusal
from matching.reference.book import Order
from matching.reference.calls import phase_refusal
from matching.reference.instruments import Instrument
from matching.reference.limits import collar_refusal, holding_refusal, sender_refusal
from matching.reference.orders import (
    end,
    end_resting,
    fill,
    move_hold,
    names,
    refill,
    rest,
    take_out,
)
from matching.reference.phases import interrupt
from matching.reference.records import NO_LABEL, CommandRecord, terms_tail
from matching.reference.self_trade import fillable, prevent, prevents
from matching.reference.state import Body, State
from matching.reference.terms import (
    AT_A_CALL,
    IMMEDIATE,
    NO_TERMS,
    POST_ONLY,
    RESTING,
    STOPS,
    Terms,
    date_refusal,
    form_refusal,
    instructions_refusal,
    must_match,
    quantities_refusal,
)

_ORDER_TYPES = frozenset({OrderType.MARKET, OrderType.LIMIT}) | STOPS
_UNPRICED = frozenset({OrderType.MARKET, OrderType.STOP})
_TIMES_IN_FORCE = IMMEDIATE | RESTING | AT_A_CALL
_UNTIL_THE_CLOSE = AT_A_CALL | {TimeInForce.DAY}

_BANDED = frozenset({Queue.BOOK, Queue.STOPS, Queue.PARKED})
_DAILY = _BANDED | {Queue.BLOCKS}

REUSED = (
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
    terms = state.terms or NO_TERMS
    reason = (
        _form_refusal(c)
        or instructions_refusal(c.order_type, c.time_in_force, c.order_id)
        or form_refusal(c.order_type, c.time_in_force, c.order_id, terms)
        or date_refusal(state.trading_date, terms)
    )
    if reason:
        return reason
    known = remembered(state, c)
    if known:
        return _answer_known(state, c, known, known._replace(**_asked_anew(c, terms)))
    order = _ordered(instrument, c, position, terms)
    reason = sender_refusal(state, c.account_id)
    reason = reason or refusal(instrument, order, c.price, terms)
    if not reason and len(state.orders) >= state.limits.orders_max:
        reason = Reason.ORDERS_FULL
    reason = reason or label_refusal(state, c)
    if reason:
        return reason
    hold = order.hold(instrument.fee_max())
    reason = holding_refusal(state, instrument, order, order.leaves)
    reason = reason or funds_refusal(state, order, hold)
    if reason:
        return reason
    move_hold(state, order, hold)
    _remember(state, c, order, terms.digest(c.order_id))
    state.emit(Event.ACCEPTED, value=hold, quantity=order.quantity, **names(order))
    _say_terms(state, order)
    enter(state, instrument, order, terms.minimum_quantity)
    return Reason.NONE


def cancel_order(state: State, c: CommandRecord) -> Reason:
    """CANCEL_ORDER by order id or by client order id. O(log levels)."""
    order_id = c.order_id
    if order_id == 0:
        known = remembered(state, c)
        order_id = known.order_id if known else 0
    order = state.orders.get(order_id)
    if order is None or order.queue == Queue.OFFERS:
        return Reason.UNKNOWN_ORDER
    if order.account_id != c.account_id:
        if order.queue != Queue.BLOCKS or order.counterparty != c.account_id:
            return Reason.UNKNOWN_ORDER
        end_resting(state, order, Reason.BLOCK_DECLINED)
        return Reason.NONE
    reason = fixed_refusal(state.instruments[order.instrument_id], order, state.time_ns)
    if not reason:
        end_resting(state, order, Reason.CANCELLED_BY_REQUEST)
    return reason


def replace_order(state: State, c: CommandRecord) -> Reason:
    """REPLACE_ORDER: refuse and leave untouched, or change in place, or enter anew.

    O(log levels + fills).
    """
    known = remembered(state, c)
    asked = {"order_id": c.order_id, "quantity": c.quantity, "price": c.price}
    asked["terms"] = state.terms.digest(0) if state.terms else 0
    if known and known == known._replace(**asked):
        state.duplicate(c, known.order_id)
        return Reason.NONE
    order = state.orders.get(c.order_id)
    if order is None or order.account_id != c.account_id or order.queue == Queue.OFFERS:
        return Reason.UNKNOWN_ORDER
    if order.order_type == OrderType.STOP and c.price != 0:
        return Reason.MARKET_ORDER_HAS_PRICE
    instrument: Instrument = state.instruments[order.instrument_id]
    reason = _new_terms_refusal(state, order)
    if reason:
        return reason
    if known:
        return _answer_known(state, c, known, known._replace(**asked))
    terms = state.terms or NO_TERMS
    changed = _replaced(instrument, order, c, state.terms)
    reason = sender_refusal(state, c.account_id)
    reason = reason or _replace_refusal(state, instrument, c, order, changed)
    if reason:
        return reason
    old_hold = order.hold(instrument.fee_max())
    new_hold = changed.hold(instrument.fee_max())
    reason = holding_refusal(state, instrument, changed, changed.leaves - order.leaves)
    reason = reason or funds_refusal(state, changed, new_hold - old_hold)
    if reason:
        return reason
    move_hold(state, changed, new_hold - old_hold)
    _remember(state, c, changed, asked["terms"])
    is_kept = _keeps_place(order, changed)
    said = names(changed) | {"order_type": int(is_kept)}
    state.emit(Event.REPLACED, value=new_hold, quantity=changed.leaves, **said)
    _say_terms(state, changed)
    if is_kept:
        order.quantity, order.leaves = changed.quantity, changed.leaves
        order.client_order_id = changed.client_order_id
        order.expire_date = changed.expire_date
        order.visible = min(order.visible, order.leaves)
    else:
        take_out(state, instrument, order)
        enter(state, instrument, changed, terms.minimum_quantity)
    return Reason.NONE


def end_outside_band(state: State, instrument: Instrument) -> None:
    """Cancel what the new reference price leaves no place for. O(orders of the instrument)."""
    for (queue, _), line in instrument.queues.items():
        for order in list(line) if queue in _BANDED else ():
            if instrument.outside_band(order.price):
                end_resting(state, order, Reason.BAND_MOVED)
    _end_bids_outside_band(state, instrument)


def _end_bids_outside_band(state: State, instrument: Instrument) -> None:
    auction = instrument.auction
    if auction is None or not auction.flags & AuctionFlag.IN_BAND:
        return
    for side in Side:
        for bid in list(instrument.queues[Queue.BIDS, side]):
            if instrument.outside_band(bid.price):
                end_resting(state, bid, Reason.BAND_MOVED)


def end_of_day(state: State, instrument: Instrument, next_date: int) -> None:
    """Cancel what does not live on to the next day. O(orders of the instrument)."""
    for (queue, _), line in instrument.queues.items():
        for order in list(line) if queue in _DAILY else ():
            reason = _end_of_day_reason(instrument, order, next_date)
            if reason:
                end_resting(state, order, reason)
    _end_bids_outside_band(state, instrument)


def _end_of_day_reason(instrument: Instrument, order: Order, next_date: int) -> Reason:
    if order.time_in_force in _UNTIL_THE_CLOSE or order.queue == Queue.BLOCKS:
        return Reason.DAY_ENDED
    if order.time_in_force == TimeInForce.GTD and order.expire_date < next_date:
        return Reason.DATE_EXPIRED
    return Reason.BAND_MOVED if instrument.outside_band(order.price) else Reason.NONE


# -- checks, in order of Reason ------------------------------------------------------------------


def _form_refusal(c: CommandRecord) -> Reason:
    if c.side not in (Side.BUY, Side.SELL):
        return Reason.INVALID_SIDE
    if c.order_type not in _ORDER_TYPES:
        return Reason.INVALID_ORDER_TYPE
    if c.time_in_force not in (RESTING if c.order_type in STOPS else _TIMES_IN_FORCE):
        return Reason.INVALID_TIME_IN_FORCE
    if c.order_type == OrderType.MARKET and c.time_in_force in RESTING:
        return Reason.MARKET_ORDER_CANNOT_REST
    if c.order_type in _UNPRICED and c.price != 0:
        return Reason.MARKET_ORDER_HAS_PRICE
    return Reason.NONE


def remembered(state: State, c: CommandRecord) -> Body | None:
    """What the account accepted under the label before. O(1)."""
    if c.client_order_id == NO_LABEL:
        return None
    return state.client_order_ids.get((c.account_id, c.client_order_id))


def _asked_anew(c: CommandRecord, terms: Terms) -> dict[str, int]:
    return {
        "instrument_id": c.instrument_id,
        "side": c.side,
        "order_type": c.order_type,
        "time_in_force": c.time_in_force,
        "quantity": c.quantity,
        "price": c.price,
        "terms": terms.digest(c.order_id),
    }


def _new_terms_refusal(state: State, order: Order) -> Reason:
    """Terms that a replace brings, checked as those of a new order of its form."""
    if state.terms is None:
        return Reason.NONE
    return form_refusal(
        order.order_type, order.time_in_force, order.instructions, state.terms
    ) or date_refusal(state.trading_date, state.terms)


def _answer_known(state: State, c: CommandRecord, known: Body, asked: Body) -> Reason:
    for had, has, reason in zip(known, asked, REUSED, strict=True):
        if had != has:
            return reason
    state.duplicate(c, known.order_id)
    return Reason.NONE


def refusal(
    instrument: Instrument,
    order: Order,
    price: int,
    terms: Terms,
    gone: frozenset[int] = frozenset(),
) -> Reason:
    """Phase, quantity, price, value; `price` is the limit as it was asked for. O(log levels).

    `gone` are ids of orders that will be out of the way.
    """
    return (
        phase_refusal(instrument.phase, order.time_in_force, must_match=must_match(order, terms))
        or _policy_refusal(instrument, order, terms)
        or _quantity_refusal(instrument, order)
        or quantities_refusal(instrument, order, terms)
        or _asked_refusal(instrument, order, price)
        or _limit_refusal(instrument, order, gone)
    )


def _quantity_refusal(instrument: Instrument, order: Order) -> Reason:
    if order.quantity <= 0:
        return Reason.QUANTITY_NOT_POSITIVE
    if order.quantity > instrument[Parameter.QUANTITY_MAX]:
        return Reason.QUANTITY_ABOVE_MAX
    if order.quantity % instrument[Parameter.LOT_SIZE]:
        return Reason.QUANTITY_NOT_LOT
    if order.leaves <= 0:
        return Reason.QUANTITY_NOT_ABOVE_EXECUTED
    if order.quantity < instrument[Parameter.QUANTITY_MIN]:
        return Reason.QUANTITY_BELOW_MIN
    return Reason.NONE


def _replace_refusal(
    state: State, instrument: Instrument, c: CommandRecord, order: Order, changed: Order
) -> Reason:
    """As of a new order; what only its own command may change, none."""
    if order.queue == Queue.BIDS:
        return (
            replaced_bid_refusal(state, instrument, order, c.quantity, c.price)
            or label_refusal(state, c)
            or reserve_refusal(instrument, c.price)
        )
    is_fixed = (
        order.instructions & ExecInst.FROM_QUOTE
        or order.order_type == OrderType.MARKET
        or order.queue == Queue.BLOCKS
    )
    return (
        phase_refusal(instrument.phase, order.time_in_force, must_match=False)
        or (Reason.NOT_ALLOWED_BY_POLICY if is_fixed else Reason.NONE)
        or refusal(instrument, changed, c.price, state.terms or NO_TERMS)
        or label_refusal(state, c)
    )


def _policy_refusal(instrument: Instrument, order: Order, terms: Terms) -> Reason:
    """A listing is a plain LIMIT order that may rest."""
    if instrument[Parameter.POLICY] != Policy.LISTED:
        return Reason.NONE
    is_listing = (
        order.order_type == OrderType.LIMIT
        and order.time_in_force in RESTING
        and not order.instructions & (POST_ONLY | ExecInst.FROM_QUOTE)
        and not order.display_quantity
        and not terms.minimum_quantity
    )
    return Reason.NONE if is_listing else Reason.NOT_ALLOWED_BY_POLICY


def _asked_refusal(instrument: Instrument, order: Order, price: int) -> Reason:
    """The limit as it was asked for; of a STOP the one that its stop price leads to."""
    if order.order_type == OrderType.MARKET:
        return Reason.NONE
    if order.order_type == OrderType.STOP:
        if not 0 < order.stop_price <= PRICE_LIMIT:
            return Reason.NONE
        # The lower end of a band may round up to a price that there is not.
        is_above = order.price > PRICE_LIMIT
        return Reason.PRICE_ABOVE_MAX if is_above else _band_refusal(instrument, order.price)
    return _price_refusal(instrument, price)


def _limit_refusal(instrument: Instrument, order: Order, gone: frozenset[int]) -> Reason:
    """What the limit that the order would have leads to."""
    is_market = order.order_type == OrderType.MARKET
    if is_market and not 0 < order.price <= PRICE_LIMIT:
        return Reason.NO_LIQUIDITY
    if order.price * order.quantity > instrument[Parameter.VALUE_MAX]:
        return Reason.VALUE_ABOVE_MAX
    if order.queue == Queue.STOPS and not instrument.is_on_tick(order.stop_price):
        return Reason.STOP_PRICE_OUT_OF_RANGE
    reason = Reason.NONE if is_market else collar_refusal(instrument, order)
    if reason:
        return reason
    if order.instructions & POST_ONLY and instrument.would_trade(order.side, order.price, gone):
        return Reason.POST_ONLY_WOULD_TRADE
    return Reason.NONE


def _price_refusal(instrument: Instrument, price: int) -> Reason:
    if price <= 0:
        return Reason.PRICE_NOT_POSITIVE
    if price > PRICE_LIMIT:
        return Reason.PRICE_ABOVE_MAX
    if price % instrument.tick_at(price):
        return Reason.PRICE_NOT_TICK
    return _band_refusal(instrument, price)


def _band_refusal(instrument: Instrument, price: int) -> Reason:
    band = instrument.band()
    if band and price > band[1]:
        return Reason.PRICE_ABOVE_BAND
    if band and price < band[0]:
        return Reason.PRICE_BELOW_BAND
    return Reason.NONE


def label_refusal(state: State, c: CommandRecord) -> Reason:
    """Whether one more label can be kept. O(1)."""
    is_full = len(state.client_order_ids) >= state.limits.client_order_ids_max
    if is_full and c.client_order_id != NO_LABEL:
        return Reason.CLIENT_ORDER_IDS_FULL
    return Reason.NONE


def funds_refusal(state: State, order: Order, more: int) -> Reason:
    """Whether the account lacks what the order's hold would grow by. O(1)."""
    if order.side == Side.BUY:
        is_short = more > state.accounts[order.account_id].available
        return Reason.INSUFFICIENT_CASH if is_short else Reason.NONE
    is_short = more > state.holding(order.account_id, order.instrument_id).available
    return Reason.INSUFFICIENT_UNITS if is_short else Reason.NONE


# -- accepted orders -------------------------------------------------------------------------------


def _remember(state: State, c: CommandRecord, order: Order, terms: int) -> None:
    if c.client_order_id != NO_LABEL:
        state.client_order_ids[c.account_id, c.client_order_id] = Body(
            order.order_id,
            order.instrument_id,
            order.side,
            order.order_type,
            order.time_in_force,
            c.quantity,
            c.price,
            terms,
        )


def _ordered(instrument: Instrument, c: CommandRecord, position: int, terms: Terms) -> Order:
    """The order that a NEW_ORDER asks for, with the limit it would have."""
    order = Order(
        position,
        c.account_id,
        c.instrument_id,
        c.side,
        c.order_type,
        c.time_in_force,
        c.quantity,
        c.quantity,
        c.price,
        c.client_order_id,
        session_id=c.session_id,
        instructions=c.order_id,
        stop_price=terms.stop_price,
        display_quantity=terms.display_quantity,
        expire_date=terms.expire_date,
        queue=Queue.STOPS if c.order_type in STOPS else Queue.BOOK,
    )
    if order.time_in_force == TimeInForce.AT_THE_CLOSE and instrument.phase != Phase.CLOSING_CALL:
        order.queue = Queue.PARKED
    order.price = _limit(instrument, order)
    return order


def _replaced(instrument: Instrument, order: Order, c: CommandRecord, terms: Terms | None) -> Order:
    """The order that a REPLACE_ORDER asks for, with the limit it would have."""
    changed = replace(
        order,
        quantity=c.quantity,
        leaves=c.quantity - order.executed,
        price=c.price,
        client_order_id=order.client_order_id
        if c.client_order_id == NO_LABEL
        else c.client_order_id,
    )
    if terms is not None:
        changed.stop_price = terms.stop_price
        changed.display_quantity = terms.display_quantity
        changed.expire_date = terms.expire_date
    changed.price = _limit(instrument, changed)
    return changed


def _limit(instrument: Instrument, order: Order) -> int:
    if order.order_type == OrderType.MARKET:
        is_called = order.time_in_force in AT_A_CALL
        find = instrument.band_edge if is_called else instrument.protection_price
        return find(order.side) or 0
    if order.order_type == OrderType.STOP:
        is_sound = 0 < order.stop_price <= PRICE_LIMIT
        return instrument.protected(order.side, order.stop_price) if is_sound else 0
    if order.instructions & ExecInst.POST_ONLY_REPRICE:
        return instrument.price_behind(order.side, order.price)
    return order.price


def _keeps_place(order: Order, changed: Order) -> bool:
    return (
        changed.price == order.price
        and changed.quantity < order.quantity
        and changed.stop_price == order.stop_price
        and changed.display_quantity == order.display_quantity
    )


def _say_terms(state: State, order: Order) -> None:
    """TERMS_SET, if the command brought terms."""
    if state.terms is None:
        return
    said = names(order) | {
        "price": state.terms.minimum_quantity,
        "client_order_id": terms_tail(order.expire_date, order.instructions),
    }
    shown = order.display_quantity
    state.emit(Event.TERMS_SET, value=order.stop_price, quantity=shown, **said)


def enter(state: State, instrument: Instrument, order: Order, minimum: int = 0) -> None:
    """Let an accepted order wait for its stop price, or trade. O(log levels + fills)."""
    state.stirred.add(instrument.instrument_id)
    if order.queue == Queue.STOPS:
        rest(state, instrument, order)
    else:
        trade(state, instrument, order, minimum)


def trade(state: State, instrument: Instrument, taker: Order, minimum: int) -> None:
    """Meet the other side, if it is the time for it, then rest or end. O(log levels + fills).

    `minimum` is what must trade at once.
    """
    if not _is_matched(instrument, taker):
        rest(state, instrument, taker)
        return
    others = instrument.opposite(taker.side)
    limit = instrument.reach(taker.side, taker.price)
    unfilled = Reason.MINIMUM_QUANTITY_UNFILLED
    if taker.time_in_force == TimeInForce.FOK:
        minimum, unfilled = taker.leaves, Reason.FILL_OR_KILL_UNFILLED
    if minimum and fillable(state, taker, others.within(limit)) < minimum:
        end(state, instrument, taker, unfilled)
        return
    fees = instrument[Parameter.MAKER_FEE_BP], instrument[Parameter.TAKER_FEE_BP]
    while taker.leaves:
        maker = next(others.within(limit), None)
        if maker is None:
            break
        if prevents(state, taker, maker):
            prevent(state, instrument, taker, maker)
            continue
        quantity = min(maker.showing, taker.leaves)
        instrument.count_trade(quantity, maker.price)
        fill(state, instrument, (maker, taker), quantity, maker.price, fees)
        maker.visible = max(maker.visible - quantity, 0)
        if not maker.leaves:
            take_out(state, instrument, maker)
        elif not maker.showing:
            refill(state, instrument, maker)
    if not taker.leaves:
        return
    is_stopped = any(others.within(taker.price))
    if taker.time_in_force not in IMMEDIATE:
        rest(state, instrument, taker)
    else:
        end(state, instrument, taker, Reason.IMMEDIATE_OR_CANCEL_REMAINDER)
    if is_stopped:
        interrupt(state, instrument, taker.order_id)


def _is_matched(instrument: Instrument, order: Order) -> bool:
    """Whether an order that comes trades by itself: listings and sealed bids wait."""
    is_matching = instrument[Parameter.POLICY] == Policy.PRICE_TIME
    return is_matching and instrument.phase == Phase.CONTINUOUS and order.queue == Queue.BOOK
