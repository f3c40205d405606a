"""What happens to an accepted order, however it trades: holds, fills, the end."""

from __future__ import annotations

from matching.layout import (
    Event,
    Liquidity,
    OrderStatus,
    Parameter,
    Queue,
    Reason,
    Resale,
    Side,
    TradeMethod,
)
from matching.reference.book import Order
from matching.reference.instruments import Instrument
from matching.reference.records import fill_tail
from matching.reference.state import State


def names(order: Order) -> dict[str, int | bytes]:
    """What an event says of the order it is about. O(1)."""
    return {
        "side": order.side,
        "order_type": order.order_type,
        "time_in_force": order.time_in_force,
        "instrument_id": order.instrument_id,
        "account_id": order.account_id,
        "price": order.price,
        "order_id": order.order_id,
        "client_order_id": order.client_order_id,
    }


def move_hold(state: State, order: Order, more: int) -> None:
    """Hold that much more of what the order gives, less when negative. O(1)."""
    purse = (
        state.accounts[order.account_id]
        if order.side == Side.BUY
        else state.holding(order.account_id, order.instrument_id)
    )
    purse.available -= more
    purse.held += more


def fill(
    state: State,
    instrument: Instrument,
    pair: tuple[Order, Order],
    quantity: int,
    price: int,
    fees_bp: tuple[int, int],
    method: TradeMethod = TradeMethod.BOOK_TRADE,
) -> None:
    """Trade `quantity` at `price` between the maker and the taker, each with its fee. O(1)."""
    maker, taker = pair
    for order, contra, liquidity, fee_bp in (
        (maker, taker, Liquidity.MAKER, fees_bp[0]),
        (taker, maker, Liquidity.TAKER, fees_bp[1]),
    ):
        fee = _settle(state, instrument, order, quantity, price, fee_bp)
        said = names(order) | {"order_type": liquidity, "price": price, "reason": method}
        said["time_in_force"] = OrderStatus.PARTIALLY_FILLED if order.leaves else OrderStatus.FILLED
        said["client_order_id"] = fill_tail(contra.order_id, fee)
        state.emit(Event.FILL, value=order.leaves, quantity=quantity, **said)


def _settle(
    state: State, instrument: Instrument, order: Order, quantity: int, price: int, fee_bp: int
) -> int:
    """Pay or deliver one side of a fill, give back what its hold no longer needs; the fee."""
    account = state.accounts[order.account_id]
    holding = state.holding(order.account_id, order.instrument_id)
    value = quantity * price
    old_hold = order.hold(instrument.fee_max())
    order.leaves -= quantity
    fee = order.charge(instrument.fee(order.side, fee_bp).of(quantity, value))
    state.fees += fee
    if order.side == Side.SELL:
        holding.held -= quantity
        if instrument[Parameter.RESALE_NEXT_DAY] == Resale.SETTLED:
            account.locked += value - fee
        else:
            account.available += value - fee
        return fee
    freed = old_hold - order.hold(instrument.fee_max())
    account.held -= freed
    account.available += freed - value - fee
    if instrument[Parameter.RESALE_NEXT_DAY]:
        holding.locked += quantity
    else:
        holding.available += quantity
    return fee


def rest(state: State, instrument: Instrument, order: Order) -> None:
    """Put the order last in its queue; an iceberg shows its first slice. O(log levels)."""
    if order.queue == Queue.BOOK:
        order.visible = min(order.display_quantity, order.leaves)
    instrument.queues[order.queue, order.side].add(order)
    state.orders[order.order_id] = order


def take_out(state: State, instrument: Instrument, order: Order) -> None:
    """Take the order out of the queue where it stands. O(log levels)."""
    instrument.queues[order.queue, order.side].remove(order)
    del state.orders[order.order_id]


def refill(state: State, instrument: Instrument, order: Order) -> None:
    """Show the next slice of an iceberg, last at its price. O(log levels)."""
    take_out(state, instrument, order)
    rest(state, instrument, order)
    state.emit(Event.REFILLED, quantity=order.visible, **names(order))


def end_resting(state: State, order: Order, reason: Reason) -> None:
    """Take an order out of the queue where it stands and say why. O(log levels)."""
    instrument: Instrument = state.instruments[order.instrument_id]
    take_out(state, instrument, order)
    end(state, instrument, order, reason)


def end_all(state: State, instrument: Instrument, queue: Queue, reason: Reason) -> None:
    """End every order of a queue, buys first, each side in its order. O(orders log levels)."""
    for side in Side:
        for order in list(instrument.queues[queue, side]):
            end_resting(state, order, reason)


def end(state: State, instrument: Instrument, order: Order, reason: Reason) -> None:
    """Give back the hold of an order that rests nowhere and say why. O(1)."""
    hold = order.hold(instrument.fee_max())
    move_hold(state, order, -hold)
    state.emit(Event.CANCELLED, value=hold, quantity=order.leaves, reason=reason, **names(order))
