"""Which term of an order does not fit its form: the words before those of an INVALID_TERMS."""

from __future__ import annotations

from exchange.messages.frames import ExecInst, OrderType, TimeInForce

_STOPS = (OrderType.STOP, OrderType.STOP_LIMIT)
_IMMEDIATE = (TimeInForce.IOC, TimeInForce.FOK)
_NO_MINIMUM = (TimeInForce.FOK, TimeInForce.AT_THE_OPENING, TimeInForce.AT_THE_CLOSE)
_POST_ONLY = ExecInst.POST_ONLY | ExecInst.POST_ONLY_REPRICE


def misfit(
    form: tuple[int, int, int], stop_price: int, display: int, minimum: int, expire_date: int
) -> str:
    """The first term that does not fit, in words; empty if all do. O(1).

    `form` is the order's type, its time in force and its instructions, as a NEW_ORDER has them;
    the terms are those of an ORDER_TERMS, 0 = none. As the engine's rule of the order's form.
    """
    order_type, time_in_force, _ = form
    if order_type in _STOPS and not stop_price:
        return f"stop_price is missing: a {_name(OrderType, order_type)} needs one"
    if time_in_force == TimeInForce.GTD and not expire_date:
        return "expire_date is missing: GTD needs one"
    if stop_price and order_type not in _STOPS:
        return f"stop_price does not fit {_name(OrderType, order_type)}"
    if expire_date and time_in_force != TimeInForce.GTD:
        return f"expire_date does not fit {_name(TimeInForce, time_in_force)}"
    beside = _beside_display(*form) if display else ""
    if beside:
        return f"display_quantity does not fit {beside}"
    beside = _beside_minimum(*form, display) if minimum else ""
    return f"minimum_quantity does not fit {beside}" if beside else ""


def _beside_display(order_type: int, time_in_force: int, instructions: int) -> str:
    if order_type != OrderType.LIMIT:
        return _name(OrderType, order_type)
    if time_in_force in _IMMEDIATE:
        return _name(TimeInForce, time_in_force)
    return "a post-only order" if instructions & _POST_ONLY else ""


def _beside_minimum(order_type: int, time_in_force: int, instructions: int, display: int) -> str:
    if order_type not in (OrderType.LIMIT, OrderType.MARKET):
        return _name(OrderType, order_type)
    if time_in_force in _NO_MINIMUM:
        return _name(TimeInForce, time_in_force)
    if instructions & _POST_ONLY:
        return "a post-only order"
    return "a display_quantity" if display else ""


def _name(words: type[OrderType | TimeInForce], number: int) -> str:
    return next((word.name for word in words if word == number), str(number))
