"""Seeded flows of stops, self-trades, quotes and mass cancels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from matching.layout import (
    AccountParameter,
    Command,
    OrderType,
    SelfTrade,
    TimeInForce,
)
from tests.matching.flows import ACCOUNTS, INSTRUMENTS, Flow
from tests.matching.frames import command

STOP_TIMES = (TimeInForce.DAY, TimeInForce.GTC, TimeInForce.GTD)


def stop(flow: Flow) -> bytes:
    """A stop near the last price; now and then a wrong one."""
    r = flow.random
    order_type = r.choice((OrderType.STOP, OrderType.STOP_LIMIT))
    tif = r.choice(STOP_TIMES) if r.random() < 0.97 else r.choice((2, 3, 4, 7))
    fields: dict[str, Any] = {
        "order_type": order_type,
        "time_in_force": tif,
        "price": 0 if order_type == OrderType.STOP else flow.price(),
        "quantity": r.randint(1, 60),
        "order_id": r.choice((0, 0, *(mode << 4 for mode in SelfTrade), 4, 1)),
    }
    if r.random() < 0.03:
        fields["price"] = r.choice((0, 1, -1))
    made = flow.new_order(**fields)
    flow.behind = [stop_terms(flow, tif)] if r.random() < 0.98 else []
    return made


def stop_terms(flow: Flow, tif: int) -> bytes:
    r = flow.random
    price = flow.price()
    if r.random() < 0.05:
        price = r.choice((0, 1, -1, 10**9, 10**9 + 1, -(2**63), 2**63 - 1))
    until = flow.date + r.randint(-1, 3) if tif == TimeInForce.GTD else 0
    return command(Command.ORDER_TERMS, ref=price, order_id=until)


def moved_stop(flow: Flow) -> bytes:
    """A replace which may bring another stop price."""
    r = flow.random
    order_id, account_id = flow.some_order()
    if r.random() < 0.5:
        flow.behind = [stop_terms(flow, r.choice(STOP_TIMES))]
    return command(
        Command.REPLACE_ORDER,
        account_id=account_id,
        order_id=order_id,
        quantity=r.randint(1, 60),
        price=r.choice((0, flow.price(), flow.mid)),
        client_order_id=flow.label(),
        **flow.session(),
    )


def requote(flow: Flow) -> bytes:
    """Quotes of one account, which meet little but its own."""
    return quote(flow, (ACCOUNTS[0],))


def quote(flow: Flow, accounts: Sequence[int] = ACCOUNTS) -> bytes:
    """Both sides, one or none; now and then crossed or unsound."""
    r = flow.random
    sides, middle = [], flow.mid + r.randint(-8, 8)
    for distance in (-r.randint(0, 8), r.randint(1, 8)):
        quantity, price = r.randint(1, 40), middle + distance
        if r.random() < 0.1:
            quantity, price = r.choice(((0, 0), (0, 0), (0, price), (quantity, 0), (-1, price)))
        sides.append((quantity, price))
    if r.random() < 0.05:
        sides.reverse()
    (bought, bid), (sold, ask) = sides
    tail = sold.to_bytes(8, "little", signed=True) + ask.to_bytes(8, "little", signed=True)
    account_id = r.choice(accounts)
    position = flow.offset << 16 | flow.index
    flow.orders += [(position, account_id), (position | 0x8000, account_id)]
    return command(
        Command.QUOTE,
        account_id=account_id,
        instrument_id=r.choices(INSTRUMENTS, (8, 2, 1))[0],
        order_type=r.choice((0, 0, 1, 1, 1, 2, 4, *(mode << 4 for mode in SelfTrade), 0x80, 0x50)),
        quantity=bought,
        price=bid,
        client_order_id=tail,
        **flow.session(),
    )


def mass_cancel(flow: Flow) -> bytes:
    """Mostly of little; seldom of everything."""
    r = flow.random
    some = {
        "account_id": r.choice((*ACCOUNTS, 99)),
        "instrument_id": r.choice((*INSTRUMENTS, 9)),
        "side": r.choice((1, 2, 2, 3)),
        "order_id": r.choice(ACCOUNTS) * 10,
        "quantity": r.choice((1, 2, 2**32 - 1, 2**32 + 1, -1)),
        "time_in_force": r.choice((1, 1, 2)),
    }
    chosen = r.sample(tuple(some), r.choice((1, 2, 2, 3, 3)) if r.random() < 0.95 else 0)
    named = {name: some[name] for name in chosen}
    return command(Command.MASS_CANCEL, **named, **flow.session())


def group(flow: Flow) -> bytes:
    """Accounts join and leave a group."""
    r = flow.random
    return command(
        Command.ACCOUNT_PARAMETER,
        order_type=AccountParameter.STP_GROUP,
        account_id=r.choice(ACCOUNTS),
        quantity=r.choice((0, 1, 1, 2, 2**62)),
    )


def guarded(flow: Flow) -> bytes:
    """An order that may carry a mode, in few accounts and prices so that they meet themselves."""
    r = flow.random
    mode, quantity = r.choice((*SelfTrade, *SelfTrade, 5)), r.randint(1, 60)
    tif = r.choice((TimeInForce.DAY, TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK))
    made = flow.new_order(
        account_id=r.choice(ACCOUNTS[:3]),
        instrument_id=r.choices(INSTRUMENTS, (8, 2, 1))[0],
        order_id=mode << 4 | r.choice((0, 0, 0, 4)),
        quantity=quantity,
        price=flow.mid + r.randint(-3, 3),
        order_type=OrderType.LIMIT,
        time_in_force=tif,
    )
    flow.behind = []
    if r.random() < 0.3:
        term = "price" if tif == TimeInForce.IOC else "quantity"  # a minimum, or a slice
        flow.behind = [command(Command.ORDER_TERMS, **{term: r.randint(1, quantity)})]
    return made


def _one_of(*weighted: tuple[int, Callable[[Flow], bytes]]) -> Callable[[Flow], bytes]:
    weights, makers = zip(*weighted, strict=True)

    def commands(flow: Flow) -> bytes:
        if flow.queue:
            return flow.queue.pop(0)
        return flow.random.choices(makers, weights)[0](flow)  # type: ignore[no-any-return]

    return commands


_COMMON = ((2, group), (2, mass_cancel), (8, Flow.cancel), (1, Flow.phase), (1, Flow.end_of_day))

MAKER_FLOWS: dict[str, Callable[[Flow], bytes]] = {
    "stops": _one_of((30, stop), (30, Flow.new_order), (12, moved_stop), *_COMMON),
    "self_trades": _one_of((60, guarded), (8, stop), (8, Flow.replace), *_COMMON),
    "requotes": _one_of((30, requote), (1, Flow.new_order)),
    "quotes": _one_of((30, quote), (25, Flow.new_order), (5, Flow.replace), (5, stop), *_COMMON),
}
