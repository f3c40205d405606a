"""What must always hold, whatever stands on the log."""

from __future__ import annotations

from collections import Counter

from matching.layout import BP, TOTAL_LIMIT, ExecInst, Parameter, Phase, Policy, Queue, Side
from matching.reference.book import Order, half_up
from matching.reference.instruments import Instrument
from matching.reference.state import State


def broken(state: State) -> list[str]:
    """Every broken invariant in words. O(state)."""
    parts = (_money, _units, _books, _stops, _quotes, _bounds)
    return [words for part in parts for words in part(state)]


def _money(state: State) -> list[str]:
    wrong = []
    held: Counter[int] = Counter()
    for order in state.orders.values():
        instrument = state.instruments[order.instrument_id]
        if order.side == Side.BUY:
            held[order.account_id] += order.hold(instrument.fee_max())
        if order.charged != half_up(order.accrued, BP):
            wrong.append(f"order {order.order_id}: charged is not the accrued fee")
    for account in state.accounts.values():
        if min(account.available, account.locked) < 0:
            wrong.append(f"account {account.account_id}: cash is negative")
        if account.held != held[account.account_id]:
            wrong.append(f"account {account.account_id}: cash held is not that of its orders")
    if sum(a.total for a in state.accounts.values()) + state.fees != state.cash:
        wrong.append("cash of the accounts and fees are not the cash of the market")
    return wrong


def _units(state: State) -> list[str]:
    wrong = []
    held: Counter[tuple[int, int]] = Counter()
    units: Counter[int] = Counter()
    for order in state.orders.values():
        if order.side == Side.SELL:
            held[order.account_id, order.instrument_id] += order.leaves
    for (account_id, instrument_id), holding in state.holdings.items():
        name = f"holding of account {account_id} in {instrument_id}"
        units[instrument_id] += holding.total
        if min(holding.available, holding.locked) < 0:
            wrong.append(f"{name}: units are negative")
        if holding.held != held[account_id, instrument_id]:
            wrong.append(f"{name}: units held are not those of its orders")
    for key in held.keys() - state.holdings.keys():
        wrong.append(f"holding of account {key[0]} in {key[1]} is missing")
    for instrument in state.instruments.values():
        if units[instrument.instrument_id] != instrument.units:
            wrong.append(f"instrument {instrument.instrument_id}: units do not add up")
    return wrong


def _books(state: State) -> list[str]:
    wrong = []
    resting = 0
    for instrument in state.instruments.values():
        name = f"instrument {instrument.instrument_id}"
        bid, ask = instrument.bids.best(), instrument.asks.best()
        matches = instrument.phase == Phase.CONTINUOUS
        matches &= instrument[Parameter.POLICY] == Policy.PRICE_TIME
        if matches and bid is not None and ask is not None and bid >= ask:
            wrong.append(f"{name}: the book is crossed")
        wrong += _auctions(instrument)
        for (queue, side), line in instrument.queues.items():
            if not all(line.levels.values()):
                wrong.append(f"{name}: an empty level")
            for order in line:
                resting += 1
                is_known = state.orders.get(order.order_id) is order
                if not is_known or (order.queue, order.side) != (queue, side):
                    wrong.append(f"{name}: order {order.order_id} is on the wrong side or lost")
                if not 0 < order.leaves <= order.quantity:
                    wrong.append(f"{name}: order {order.order_id} has the wrong leaves")
                if not _is_shown_right(order):
                    wrong.append(f"{name}: order {order.order_id} shows what it has not")
    if resting != len(state.orders):
        wrong.append("orders known are not the orders that rest")
    return wrong


def _stops(state: State) -> list[str]:
    wrong = []
    for instrument in state.instruments.values():
        buy = instrument.queues[Queue.STOPS, Side.BUY].first()
        sell = instrument.queues[Queue.STOPS, Side.SELL].first()
        last = instrument.last_price
        if instrument.phase != Phase.CONTINUOUS or last == 0:
            continue
        if (buy and buy.stop_price <= last) or (sell and sell.stop_price >= last):
            wrong.append(f"instrument {instrument.instrument_id}: a triggered stop waits")
    return wrong


def _quotes(state: State) -> list[str]:
    quoted = Counter(
        (order.account_id, order.instrument_id, order.side)
        for order in state.orders.values()
        if order.instructions & ExecInst.FROM_QUOTE
    )
    return [
        f"account {account_id} in {instrument_id}: two quotes on one side"
        for (account_id, instrument_id, _), count in quoted.items()
        if count > 1
    ]


def _is_shown_right(order: Order) -> bool:
    if order.queue != Queue.BOOK or not order.display_quantity:
        return order.visible == 0
    return 0 < order.visible <= min(order.display_quantity, order.leaves)


def _auctions(instrument: Instrument) -> list[str]:
    """One auction at most, with its offer, and no bid without it."""
    offers = [o for side in Side for o in instrument.queues[Queue.OFFERS, side]]
    bids = [b for side in Side for b in instrument.queues[Queue.BIDS, side]]
    auction = instrument.auction
    expected = [auction.order_id] if auction else []
    if [offer.order_id for offer in offers] != expected:
        return [f"instrument {instrument.instrument_id}: offers are not those of its auctions"]
    if any(not offers or bid.side == offers[0].side for bid in bids):
        return [f"instrument {instrument.instrument_id}: a bid without an auction"]
    return []


def _bounds(state: State) -> list[str]:
    wrong = []
    limits = state.limits
    for name, count, bound in (
        ("orders", len(state.orders), limits.orders_max),
        ("client order ids", len(state.client_order_ids), limits.client_order_ids_max),
        ("accounts", len(state.accounts), limits.accounts_max),
        ("sessions", len(state.sessions), limits.sessions_max),
    ):
        if count > bound:
            wrong.append(f"more {name} than their limit")
    if max(state.cash, *(i.units for i in state.instruments.values()), 0) > TOTAL_LIMIT:
        wrong.append("a total is above its limit")
    if min(state.cash, state.fees) < 0:
        wrong.append("a total is negative")
    return wrong
