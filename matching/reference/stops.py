"""Stops: orders that wait for the last price to reach theirs."""

from __future__ import annotations

from matching.layout import Event, OrderType, Phase, Queue, Side, TimeInForce
from matching.reference.book import Order
from matching.reference.instruments import Instrument
from matching.reference.orders import names, take_out
from matching.reference.state import State
from matching.reference.trading import trade


def trigger_stops(state: State) -> None:
    """Let every stop trade that the command at hand has triggered, the instruments by id.

    O((stops triggered) x (log levels + fills)). Each may trigger others, also on the other side.
    """
    for instrument_id in sorted(state.stirred):
        instrument: Instrument = state.instruments[instrument_id]
        while (order := _triggered(instrument)) is not None:
            _trigger(state, instrument, order)
    state.stirred.clear()


def _triggered(instrument: Instrument) -> Order | None:
    """The stop that trades next."""
    last = instrument.last_price
    if instrument.phase != Phase.CONTINUOUS or last == 0:
        return None
    buy = instrument.queues[Queue.STOPS, Side.BUY].first()
    if buy is not None and last >= buy.stop_price:
        return buy
    sell = instrument.queues[Queue.STOPS, Side.SELL].first()
    return sell if sell is not None and last <= sell.stop_price else None


def _trigger(state: State, instrument: Instrument, order: Order) -> None:
    take_out(state, instrument, order)
    order.queue, order.stop_price = Queue.BOOK, 0
    if order.order_type == OrderType.STOP:
        order.order_type, order.time_in_force = OrderType.MARKET, TimeInForce.IOC
        order.expire_date = 0
    else:
        order.order_type = OrderType.LIMIT
    hold = order.hold(instrument.fee_max())
    state.emit(Event.TRIGGERED, value=hold, quantity=order.leaves, **names(order))
    trade(state, instrument, order, minimum=0)
