"""Peers written in Python, each driven by its fastest public way.

Left out: order-matching 0.12.0, at some 250 operations a second a minute for the book alone; and
packages that keep a book for reading but match no orders.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from importlib import import_module

from benchmarks.peers.compiled import cython_orderbook
from benchmarks.peers.driven import Driven, Module, Peer
from benchmarks.peers.flow import CANCEL, NEW, Operation, Trade


def akhil4n(id_max: int, is_kept: bool) -> Driven:
    """The twin of cython-orderbook; trades stay in its log."""
    return cython_orderbook(id_max, is_kept, "orderbook")


def matching_engine(_: int, is_kept: bool) -> Driven:
    """Events come back from each command."""
    domain: Module = import_module("matching_engine.domain")
    trade: Module = import_module("matching_engine.events").Trade
    process = import_module("matching_engine.engine").MatchingEngine().process
    new, cancel, numbered = domain.NewOrder, domain.CancelOrder, domain.SequencedCommand
    sides = (domain.Side.BUY, domain.Side.SELL)
    kept: list[Module] = []
    number = 0

    def run(operations: Sequence[Operation]) -> None:
        nonlocal number
        for kind, side, order, price, quantity, old in operations:
            if kind != NEW:
                number += 1
                process(numbered(number, 0, cancel(order if kind == CANCEL else old, side + 1)))
            if kind != CANCEL:
                number += 1
                command = new(order, side + 1, sides[side], price, quantity)
                said = process(numbered(number, 0, command))
                if is_kept:
                    kept.extend(one for one in said if type(one) is trade)

    def finish() -> list[Trade]:
        return [(t.maker_order_id, t.taker_order_id, t.price, t.qty) for t in kept]

    return Driven(run, finish=finish)


def lightmatchingengine(id_max: int, is_kept: bool) -> Driven:
    """Trades come back from each call."""
    module: Module = import_module("lightmatchingengine.lightmatchingengine")
    book = module.LightMatchingEngine()
    add, cancel, ids = book.add_order, book.cancel_order, [0] * (id_max + 1)
    kept: list[tuple[int, int, Module]] = []

    def run(operations: Sequence[Operation]) -> None:
        for kind, side, order, price, quantity, old in operations:
            if kind != NEW:
                cancel(ids[order if kind == CANCEL else old], "X")
            if kind != CANCEL:
                made, trades = add("X", price, quantity, side + 1)
                ids[order] = made.order_id
                if is_kept and trades:
                    kept.append((order, side, trades))

    def finish() -> list[Trade]:
        back = {given: order for order, given in enumerate(ids)}
        return [
            (back[t.order_id], taker, t.trade_price, t.trade_qty)
            for taker, side, trades in kept
            for t in trades
            if t.trade_side != side + 1
        ]

    return Driven(run, finish=finish)


def pyorderbook(id_max: int, is_kept: bool) -> Driven:
    """A blotter of the trades comes back from each call."""
    logging.disable(logging.CRITICAL)
    types: Module = import_module("pyorderbook.order")
    book: Module = import_module("pyorderbook.book").Book()
    match, cancel, make = book.match, book.cancel, types.Order
    sides = (types.Side.BID, types.Side.ASK)
    orders: list[Module] = [None] * (id_max + 1)
    kept: list[tuple[int, Module]] = []

    def run(operations: Sequence[Operation]) -> None:
        for kind, side, order, price, quantity, old in operations:
            if kind != NEW:
                cancel(orders[order if kind == CANCEL else old])
            if kind != CANCEL:
                made = orders[order] = make(sides[side], "X", price, quantity)
                said = match(made)
                if is_kept:
                    kept.append((order, said.trades))

    def finish() -> list[Trade]:
        back = {made.id: at for at, made in enumerate(orders) if made is not None}
        return [
            (back.get(t.standing_order_id), taker, int(t.fill_price), t.fill_quantity)
            for taker, trades in kept
            for t in trades
        ]

    return Driven(run, finish=finish)


def fastlob(id_max: int, is_kept: bool) -> Driven:
    """A result comes back from each call, one line a price."""
    logging.disable(logging.CRITICAL)
    module: Module = import_module("fastlob")
    book = module.Orderbook(start=True)
    process, cancel, terms = book.process, book.cancel, module.OrderParams
    sides = (module.OrderSide.BID, module.OrderSide.ASK)
    ids: list[Module] = [None] * (id_max + 1)
    kept: list[tuple[int, Module]] = []

    def run(operations: Sequence[Operation]) -> None:
        for kind, side, order, price, quantity, old in operations:
            if kind != NEW:
                cancel(ids[order if kind == CANCEL else old])
            if kind != CANCEL:
                said = process(terms(sides[side], price, quantity))
                ids[order] = said.orderid()
                if is_kept:
                    kept.append((order, said))

    def finish() -> list[Trade]:
        return [
            (None, taker, int(price), int(quantity))
            for taker, said in kept
            for price, quantity in (said._execprices or {}).items()
        ]

    return Driven(run, finish=finish, close=book.stop)


def manticore(_: int, is_kept: bool) -> Driven:
    """Trades stay in its history, of 10,000 at most while the clock runs, as it comes."""
    logging.disable(logging.CRITICAL)
    make: Module = import_module("manticore_orderbook.core.orderbook").OrderBook
    most = 10**9 if is_kept else 10_000
    book = make("X", enable_logging=False, check_expiry_interval=3600.0, max_trade_history=most)
    add, cancel, sides = book.add_order, book.cancel_order, ("buy", "sell")

    def run(operations: Sequence[Operation]) -> None:
        for kind, side, order, price, quantity, old in operations:
            if kind != NEW:
                cancel(str(order if kind == CANCEL else old))
            if kind != CANCEL:
                add(sides[side], float(price), float(quantity), order_id=str(order))

    def finish() -> list[Trade]:
        return [
            (
                int(t["maker_order_id"]),
                int(t["taker_order_id"]),
                int(t["price"]),
                int(t["quantity"]),
            )
            for t in book.get_trade_history(most)
        ]

    return Driven(run, finish=finish)


def convexpi(_: int, is_kept: bool) -> Driven:
    """Trades come back from each call."""
    module: Module = import_module("convexpi.arena.engine")
    book, make = module.OrderBook(), module.Order
    submit, cancel, sides = book.submit, book.cancel, (module.Side.BUY, module.Side.SELL)
    kept: list[Module] = []

    def run(operations: Sequence[Operation]) -> None:
        for kind, side, order, price, quantity, old in operations:
            if kind != NEW:
                cancel(order if kind == CANCEL else old, "a")
            if kind != CANCEL:
                said = submit(make("a", sides[side], quantity, price, order_id=order), 0)
                if is_kept:
                    kept.extend(said)

    def finish() -> list[Trade]:
        return [(t.maker_order_id, t.taker_order_id, t.price, t.qty) for t in kept]

    return Driven(run, finish=finish)


PEERS = [
    Peer("matching-engine", "matching-engine==0.1.1", "Python", "call, events returned", True,
         matching_engine, python=(3, 12)),
    Peer("akhil4n-orderbook", "akhil4n-orderbook==0.1.1", "Python", "call, log inside", False,
         akhil4n),
    Peer("lightmatchingengine", "lightmatchingengine==2019.1.4", "Python",
         "call, trades returned", True, lightmatchingengine),
    Peer("pyorderbook", "pyorderbook==0.4.9", "Python", "call, trades returned", True,
         pyorderbook),
    Peer("convexpi-arena", "convexpi-arena==0.2.0", "Python", "call, trades returned", True,
         convexpi, also=("websockets==15.0.1",), is_bare=True),
    Peer("manticore-orderbook", "manticore-orderbook==1.0.1", "Python", "call, log inside", False,
         manticore),
    Peer("fastlob", "fastlob==0.0.24", "Python", "call, result returned", True, fastlob,
         is_by_price=True),
]  # fmt: skip
