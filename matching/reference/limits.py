"""How much accounts and participants may send, hold and buy, and how far an order may reach."""

from __future__ import annotations

from collections.abc import Container, Iterator

from matching.layout import Parameter, Queue, Reason, Side
from matching.reference.accounts import Account, Controls
from matching.reference.book import Order
from matching.reference.instruments import Instrument
from matching.reference.state import State

NS_PER_SECOND = 1_000_000_000


def sender_refusal(state: State, account_id: int) -> Reason:
    """Whether the account may send a command that makes orders now; counts it if so. O(1)."""
    account = state.accounts[account_id]
    both = [account.controls]
    if account.participant in state.participants:
        both.append(state.participants[account.participant])
    if any(controls.suspended for controls in both):
        return Reason.ACCOUNT_SUSPENDED
    second = state.time_ns // NS_PER_SECOND
    counted = [controls for controls in both if controls.order_rate]
    if any(controls.heard_in(second) >= controls.order_rate for controls in counted):
        return Reason.ORDER_RATE_EXCEEDED
    for controls in counted:
        controls.rate_count = controls.heard_in(second) + 1
        controls.rate_second = second
    return Reason.NONE


def holding_refusal(state: State, instrument: Instrument, order: Order, more: int) -> Reason:
    """Whether a buy may grow by `more` tonnes; what does not grow is never refused. O(state)."""
    if order.side == Side.SELL or more <= 0:
        return Reason.NONE
    account = state.accounts[order.account_id]
    place = (account.account_id, instrument.instrument_id)
    holding = state.holdings.get(place)
    holding_max = holding.holding_max if holding else 0
    holding_max = holding_max or instrument[Parameter.HOLDING_MAX]
    if holding_max and _position(state, {account.account_id}, {place[1]}) + more > holding_max:
        return Reason.HOLDING_ABOVE_MAX
    for controls, account_ids in _owners(state, account):
        position_max = controls.position_max
        if position_max and _position(state, account_ids, state.instruments) + more > position_max:
            return Reason.POSITION_ABOVE_MAX
    return Reason.NONE


def collar_refusal(instrument: Instrument, order: Order) -> Reason:
    """Whether a limit reaches too far from the last price, or a stop's from its own. O(1)."""
    is_stop = order.queue == Queue.STOPS
    base = order.stop_price if is_stop else instrument.base_price()
    edge = instrument.collar_edge(order.side, base)
    is_beyond = order.price > edge if order.side == Side.BUY else order.price < edge
    return Reason.PRICE_OUTSIDE_COLLAR if is_beyond else Reason.NONE


def _owners(state: State, account: Account) -> Iterator[tuple[Controls, set[int]]]:
    """Who is limited in what the account buys, each with the accounts that count."""
    yield account.controls, {account.account_id}
    if account.participant in state.participants:
        owned = (a for a in state.accounts.values() if a.participant == account.participant)
        yield state.participants[account.participant], {a.account_id for a in owned}


def _position(state: State, account_ids: Container[int], instrument_ids: Container[int]) -> int:
    """Tonnes that the accounts hold of the instruments, or are buying."""
    held = sum(
        holding.total
        for (account_id, instrument_id), holding in state.holdings.items()
        if account_id in account_ids and instrument_id in instrument_ids
    )
    buying = sum(
        order.leaves
        for order in state.orders.values()
        if order.side == Side.BUY
        and order.account_id in account_ids
        and order.instrument_id in instrument_ids
    )
    return held + buying
