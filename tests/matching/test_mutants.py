"""Planted bugs: the comparison of the two engines must find each of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from matching.layout import BP, PRICE_LIMIT, Event, Parameter, Phase, Queue, Reason, Side
from matching.protocol import Limits
from matching.reference import (
    administration,
    book,
    calls,
    limits,
    mass,
    phases,
    quotes,
    self_trade,
    settlement,
    stops,
    trading,
)
from matching.reference.accounts import Controls
from matching.reference.book import BookSide, Fee, Order
from matching.reference.call_price import CallPrice
from matching.reference.engine import Engine
from matching.reference.instruments import Instrument
from matching.reference.orders import names
from matching.reference.state import State
from matching.reference.terms import Terms
from tests.matching import flows
from tests.matching.flows import Flow
from tests.matching.limit_flows import limited
from tests.matching.maker_flows import MAKER_FLOWS
from tests.matching.twin import Twin, run

Mutant = tuple[Any, str, Callable[..., Any]]


def _first_is_last(self: BookSide, limit: int) -> Any:
    yield from list(_within(self, limit))[::-1]


def _forgetful(state: Any, c: Any, order: Any, terms: int) -> None:
    if c.quantity % 3:
        _remember(state, c, order, terms)


def _highest_price(bids: Any, asks: Any, reference: int) -> CallPrice:
    found = _call_price(bids, asks, reference)
    return found._replace(price=max(bids)) if found.volume else found


def _swapped(state: Any, instrument: Any, pair: Any, *rest: Any) -> None:
    _fill(state, instrument, pair[::-1], *rest)


def _always_said(state: Any, instrument: Any) -> None:
    instrument.indicative = CallPrice(0, 0, 0)
    _say_indicative(state, instrument)


def _one_sided(self: Instrument, side: int, limit: int) -> int:
    reach = _reach(self, side, limit)
    return reach if 0 < reach <= PRICE_LIMIT else limit


def _hidden_in_front(state: Any, taker: Any, makers: Any) -> int:
    found = 0
    for maker in makers:
        if _prevents(state, taker, maker):
            break
        found += maker.leaves
    return found


def _old_sides_stand(self: Instrument, side: int, price: int, gone: Any = ()) -> bool:
    return _would_trade(self, side, price)


def _sells_first(instrument: Any) -> Any:
    sell = instrument.queues[Queue.STOPS, Side.SELL].first()
    if sell is not None and 0 < instrument.last_price <= sell.stop_price:
        return sell if instrument.phase == Phase.CONTINUOUS else None
    return _triggered(instrument)


def _held_alone(state: Any, account_ids: Any, instrument_ids: Any) -> int:
    orders, state.orders = state.orders, {}
    try:
        return _position(state, account_ids, instrument_ids)
    finally:
        state.orders = orders


_position, _edge = limits._position, Instrument.collar_edge
_prevents, _would_trade, _triggered = (
    self_trade.prevents,
    Instrument.would_trade,
    stops._triggered,
)
_call_price, _fill, _say_indicative = calls.call_price, calls.fill, calls.say_indicative
_reach = Instrument.reach


def _refilled_in_place(state: State, instrument: Instrument, order: Order) -> None:
    order.visible = min(order.display_quantity, order.leaves)
    state.emit(Event.REFILLED, quantity=order.visible, **names(order))


def _undated(instrument: Instrument, order: Order, next_date: int) -> Reason:
    reason = _end_of_day_reason(instrument, order, next_date)
    return Reason.NONE if reason == Reason.DATE_EXPIRED else reason


_end_of_day_reason = trading._end_of_day_reason
_within, _remember = BookSide.within, trading._remember
_band, _protection = Instrument.band, Instrument.protection_price

MUTANTS: dict[str, Mutant] = {
    "fees rounded down": (book, "half_up", lambda a, b: a // b),
    "band rounded down": (
        Instrument,
        "round_half_up",
        lambda self, a, b: self.round_down(a // b),
    ),
    "hold without fees": (
        Order,
        "hold",
        lambda self, fee: self.leaves * (self.price, 1)[self.side - 1],
    ),
    "fees of each fill": (Order, "charge", lambda self, more: (more + 5_000) // BP),
    "tonnes cost nothing": (Fee, "of", lambda self, _quantity, value: value * self.bp),
    "both sides pay": (
        Instrument,
        "fee",
        lambda self, _side, bp: Fee(bp, self[Parameter.TONNE_FEE]),
    ),
    "last comes first": (BookSide, "within", _first_is_last),
    "band is wider": (
        Instrument,
        "band",
        lambda self: (edges := _band(self)) and (edges[0], edges[1] + 5),
    ),
    "no protection": (
        Instrument,
        "protection_price",
        lambda self, side: _protection(self, side) and (10**9 if side == 1 else 1),
    ),
    "labels not remembered": (trading, "_remember", _forgetful),
    "labels never full": (trading, "label_refusal", lambda state, c: Reason.NONE),
    "nothing unlocked": (administration, "_unlock", lambda state: None),
    "the day unlocks what is not settled": (administration, "_is_of_the_day", lambda *asked: True),
    "settled without a check": (settlement, "_refusal", lambda state, c: Reason.NONE),
    "close is the last price": (Instrument, "closing_price", lambda self: self.last_price),
    "nobody outside the band": (Instrument, "outside_band", lambda self, price: False),
    "calls take the highest price": (calls, "call_price", _highest_price),
    "the later order makes": (calls, "fill", _swapped),
    "calls end when they are told to": (phases, "draw", lambda seed, key: 0),
    "indicative prices are said again": (phases, "say_indicative", _always_said),
    "no volatility": (Instrument, "reach", lambda self, side, limit: limit),
    "volatility of the worse side only": (Instrument, "reach", _one_sided),
    "orders for the opening go on": (phases, "_end_call_orders", lambda *told: None),
    "orders for the close stay parked": (phases, "_enter_the_book", lambda *told: None),
    "market orders know no edge": (Instrument, "band_edge", lambda self, side: 7_000),
    "own orders are met": (trading, "prevents", lambda state, taker, maker: False),
    "groups are not known": (self_trade, "are_one", lambda state, one, other: one == other),
    "all is fillable in front of an own order": (trading, "fillable", _hidden_in_front),
    "sells are triggered first": (stops, "_triggered", _sells_first),
    "stops are never triggered": (stops, "_triggered", lambda instrument: None),
    "a mass cancel ends all": (mass, "_fits", lambda state, c, order: True),
    "old quotes stay": (quotes, "end_resting", lambda state, order, reason: None),
    "old quotes are in the way": (Instrument, "would_trade", _old_sides_stand),
    "nobody is suspended": (trading, "sender_refusal", lambda state, account_id: Reason.NONE),
    "seconds never end": (Controls, "heard_in", lambda self, second: self.rate_count),
    "participants do not count": (
        limits,
        "_owners",
        lambda state, account: [(account.controls, {account.account_id})],
    ),
    "buys that rest do not count": (limits, "_position", _held_alone),
    "holdings without bound": (trading, "holding_refusal", lambda *asked: Reason.NONE),
    "no collar": (trading, "collar_refusal", lambda instrument, order: Reason.NONE),
    "collar is wider": (
        Instrument,
        "collar_edge",
        lambda self, side, base: _edge(self, side, base) + (10 if side == Side.BUY else -10),
    ),
    "slices keep their place": (trading, "refill", _refilled_in_place),
    "icebergs show all": (Order, "showing", property(lambda self: self.leaves)),
    "any minimum": (trading, "quantities_refusal", lambda i, order, terms: Reason.NONE),
    "post-only trades": (Instrument, "would_trade", lambda self, side, price, gone=(): False),
    "one tick for all prices": (
        Instrument,
        "tick_at",
        lambda self, price: self[Parameter.TICK_SIZE],
    ),
    "GTD is GTC": (trading, "_end_of_day_reason", _undated),
    "labels forget terms": (Terms, "digest", lambda self, instructions: 0),
    "what follows goes alone": (Engine, "_belongs", lambda self, c: bool(c.session_id)),
    "sessions not numbered": (Engine, "_is_numbered", lambda self, c: True),
}


def _compare() -> None:
    # Each flow in markets of its own, so that none depends on what another leaves behind.
    for commands in (
        flows.trading,
        flows.calls,
        flows.slices,
        limited,
        *MAKER_FLOWS.values(),
    ):
        for seed in (0, 1, 2, 3, 33) if commands is flows.trading else range(4):
            twin, flow = Twin(Limits(client_order_ids_max=120)), Flow(seed)
            run(twin, flow, flow.opening())
            run(twin, flow, [flow.rules()] if seed else [])
            run(twin, flow, flow.frames(100, commands))
    for seed in range(1, 5):
        twin, flow = Twin(Limits(client_order_ids_max=60)), Flow(seed)
        run(twin, flow, flow.opening())
        run(twin, flow, [flow.rules()])
        for _ in range(6):
            run(twin, flow, flow.frames(30, flows.trading))
            run(twin, flow, flow.frames(25, flows.everything))
            run(twin, flow, flow.frames(15, flows.calls))
            for commands in MAKER_FLOWS.values():
                run(twin, flow, flow.frames(20, commands))
        run(twin, flow, flow.frames(60, limited))


@pytest.mark.parametrize("name", MUTANTS)
def test_planted_bug_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*MUTANTS[name])
    with pytest.raises((AssertionError, KeyError)):
        _compare()


def test_nothing_is_found_without_a_bug() -> None:
    _compare()
