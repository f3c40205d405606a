"""Peers with a core in C++, Rust, Go or Cython, each driven by its fastest public way."""

from __future__ import annotations

import ctypes
import uuid
from collections.abc import Sequence
from importlib import import_module

from benchmarks.peers.driven import Driven, Module, Peer
from benchmarks.peers.flow import BUY, CANCEL, NEW, Operation, Trade


def orderly_chaos(_: int, is_kept: bool, is_heard: bool = True) -> Driven:
    """The wrapper; every trade reaches a Python callback."""
    module: Module = import_module("orderly_chaos")
    book = module.LimitOrderBook()
    limit, cancel, sides = book.limit, book.cancel, (module.Side.BUY, module.Side.SELL)
    heard: list[Module] = []
    if is_heard or is_kept:
        book.on_trade = heard.append

    def run(operations: Sequence[Operation]) -> None:
        for kind, side, order, price, quantity, old in operations:
            if kind != NEW:
                cancel(order if kind == CANCEL else old)
            if kind != CANCEL:
                limit(sides[side], order, quantity, price)

    def finish() -> list[Trade]:
        return [(t.maker_id, t.taker_id, t.price, t.quantity) for t in heard]

    return Driven(run, finish=finish, close=book.close)


def orderly_chaos_raw(_: int, is_kept: bool) -> Driven:
    """Its C functions without the wrapper; no trade is told."""
    native: Module = import_module("orderly_chaos._library").library()
    book = native.oc_book_new()
    limit, cancel = native.oc_book_limit, native.oc_book_cancel

    def run(operations: Sequence[Operation]) -> None:
        for kind, side, order, price, quantity, old in operations:
            if kind != NEW:
                cancel(book, order if kind == CANCEL else old)
            if kind != CANCEL:
                limit(book, 1 - side, order, quantity, price, None)

    def resting() -> tuple[int, int]:
        return native.oc_book_count(book), native.oc_book_volume(book)

    return Driven(run, resting=resting, close=lambda: native.oc_book_free(book))


def limit_order_book(_: int, is_kept: bool) -> Driven:
    """Its C functions without the wrapper; it cannot tell trades."""
    module: Module = import_module("limit_order_book")
    functions: Module = import_module("limit_order_book.library").Library.functions
    book = module.LimitOrderBook()
    limit, cancel, handle = functions.limit, functions.cancel, book._book

    def run(operations: Sequence[Operation]) -> None:
        for kind, side, order, price, quantity, old in operations:
            if kind != NEW:
                cancel(handle, order if kind == CANCEL else old)
            if kind != CANCEL:
                limit(handle, not side, order, quantity, price)

    return Driven(run, resting=lambda: (book.count(), book.volume()))


def lumina(_: int, is_kept: bool) -> Driven:
    """Trades stay in its log, without prices."""
    core: Module = import_module("lumina_lob._core")
    book = core.OrderBook()
    process, cancel = core.MatchingEngine(book).process, book.cancel
    sides, limit = (core.Side.BID, core.Side.ASK), core.OrderType.LIMIT

    def run(operations: Sequence[Operation]) -> None:
        for kind, side, order, price, quantity, old in operations:
            if kind != NEW:
                cancel(order if kind == CANCEL else old)
            if kind != CANCEL:
                process(order, sides[side], price, quantity, limit)

    def finish() -> list[Trade]:
        return [(maker, taker, None, quantity) for taker, maker, quantity in book.trades()]

    return Driven(run, finish=finish)


def liquibook(id_max: int, is_kept: bool, is_heard: bool = True) -> Driven:
    """Every accept, cancel and fill reaches a Python listener."""
    module: Module = import_module("liquibook")
    book = module.DepthOrderBook()
    add, cancel, make = book.add, book.cancel, module.SimpleOrder
    orders: list[Module] = [None] * (id_max + 1)
    heard: list[tuple[int, int, int, int]] = []

    class Listener(module.OrderListener):  # type: ignore[misc]
        def __init__(self) -> None:
            module.OrderListener.__init__(self)

        def end(self) -> None:
            """The listener lives as long as this can be called."""

        def on_accept(self, order: Module) -> None:
            """Not kept."""

        def on_cancel(self, order: Module) -> None:
            """Not kept."""

        def on_fill(self, taker: Module, maker: Module, quantity: int, price: int) -> None:
            """Kept."""
            heard.append((maker.order_id_, taker.order_id_, price, quantity))

    listener = Listener()
    if is_heard or is_kept:
        book.set_order_listener(listener)

    def run(operations: Sequence[Operation]) -> None:
        for kind, side, order, price, quantity, old in operations:
            if kind != NEW:
                cancel(orders[order if kind == CANCEL else old])
            if kind != CANCEL:
                made = orders[order] = make(not side, price, quantity)
                add(made)

    def finish() -> list[Trade]:
        ids = {made.order_id_: at for at, made in enumerate(orders) if made is not None}
        return [(ids.get(maker), ids.get(taker), p, q) for maker, taker, p, q in heard]

    return Driven(run, finish=finish, close=listener.end)


def pylobo(id_max: int, is_kept: bool) -> Driven:
    """A report of the fills comes back from each call; ids are UUIDs."""
    module: Module = import_module("lobo")
    types: Module = import_module("lobo._lobo").orders
    book, report = module.Book(), module.Reports(include_fills=True)
    fill, cancel, make = book.fill, book.cancel, types.LimitOrder
    traders = (uuid.UUID(int=1), uuid.UUID(int=2))
    sides = (types.Side.Buy, types.Side.Sell)
    ids: list[Module] = [None] * (id_max + 1)
    kept: list[tuple[int, Module]] = []

    def run(operations: Sequence[Operation]) -> None:
        for kind, side, order, price, quantity, old in operations:
            if kind != NEW:
                cancel(ids[order if kind == CANCEL else old])
            if kind != CANCEL:
                said = fill(make(price, quantity, traders[side], sides[side]), report)
                ids[order] = said.remaining_order_id
                if is_kept and said.report:
                    kept.append((order, said.report))

    def finish() -> list[Trade]:
        back = {given: order for order, given in enumerate(ids) if given is not None}
        return [
            (back.get(part.maker_order_id), taker, part.price, part.fill_quantity)
            for taker, said in kept
            for part in said.fills or ()
        ]

    return Driven(run, finish=finish)


def litebook(id_max: int, is_kept: bool) -> Driven:
    """Fills come back from each call; prices and quantities are floats, ids strings."""
    module: Module = import_module("litebook")
    book = module.OrderBook(tick_size=1.0)
    create, add, cancel = book.create_order, book.add, book.cancel
    sides = (module.OrderType.Buy, module.OrderType.Sell)
    ids: list[Module] = [None] * (id_max + 1)
    kept: list[tuple[int, int, Module]] = []

    def run(operations: Sequence[Operation]) -> None:
        for kind, side, order, price, quantity, old in operations:
            if kind != NEW:
                cancel(ids[order if kind == CANCEL else old])
            if kind != CANCEL:
                made = create(sides[side], price, quantity)
                ids[order] = made.id
                fills = add(made)
                if is_kept:
                    kept.append((order, side, fills))

    def finish() -> list[Trade]:
        back = {given: order for order, given in enumerate(ids) if given is not None}
        return [
            (
                back.get(part.sell_id if side == BUY else part.buy_id),
                taker,
                int(part.price),
                int(part.quantity),
            )
            for taker, side, fills in kept
            for part in fills
        ]

    return Driven(run, finish=finish)


def obook(id_max: int, is_kept: bool) -> Driven:
    """The wrapper; events are fetched every 64 operations, in a verifying run after each."""
    module: Module = import_module("obook")
    book = module.Book(max_orders=1_500_000)
    submit, cancel, replace, events = book.submit, book.cancel, book.replace, book.events
    ids = [0] * (id_max + 1)
    trade = module.EventKind.TRADE
    heard: list[Module] = []
    pause = 1 if is_kept else 64

    def run(operations: Sequence[Operation]) -> None:
        for at, (kind, side, order, price, quantity, old) in enumerate(operations, 1):
            if kind == NEW:
                ids[order] = submit(side + 1, side, price, quantity).order_id
            elif kind == CANCEL:
                cancel(ids[order], side + 1)
            else:
                ids[order] = replace(ids[old], side + 1, side, price, quantity).order_id
            if at % pause == 0:
                said = events()
                if is_kept:
                    heard.extend(said)

    def finish() -> list[Trade]:
        back = {given: order for order, given in enumerate(ids)}
        return [
            (back[one.maker_id], back[one.taker_id], one.price, one.qty)
            for one in heard
            if one.kind == trade
        ]

    return Driven(run, finish=finish, close=book.close)


def obook_raw(id_max: int, is_kept: bool) -> Driven:
    """Its C functions without the wrapper; events are drained every 128 operations, not read."""
    module: Module = import_module("obook")
    book = module.Book(max_orders=1_500_000)
    library, handle, ids = book._lib, book._h, [0] * (id_max + 1)
    given, state, reason = ctypes.c_int64(), ctypes.c_int32(), ctypes.c_int32()
    answer = (ctypes.byref(state), ctypes.byref(reason))
    named = ctypes.byref(given)
    submit, cancel, replace = library.ob_submit, library.ob_cancel, library.ob_replace
    events, room, most = library.ob_events, book._events, book._EVENT_BATCH

    def run(operations: Sequence[Operation]) -> None:
        for at, (kind, side, order, price, quantity, old) in enumerate(operations, 1):
            terms = (side + 1, side, 0, price, quantity, 0, 0, named, *answer)
            if kind == NEW:
                submit(handle, *terms)
                ids[order] = given.value
            elif kind == CANCEL:
                cancel(handle, ids[order], side + 1, *answer)
            else:
                replace(handle, ids[old], *terms)
                ids[order] = given.value
            if at % 128 == 0:
                while events(handle, room, most) == most:
                    pass

    return Driven(run, close=book.close)


def nanobook(id_max: int, is_kept: bool) -> Driven:
    """Trades come back from each call."""
    book: Module = import_module("nanobook").Exchange()
    limit, cancel, modify = book.submit_limit, book.cancel, book.modify
    sides, ids = ("buy", "sell"), [0] * (id_max + 1)
    kept: list[Module] = []

    def run(operations: Sequence[Operation]) -> None:
        for kind, side, order, price, quantity, old in operations:
            if kind == CANCEL:
                cancel(ids[order])
                continue
            if kind == NEW:
                said = limit(sides[side], price, quantity)
                ids[order] = said.order_id
            else:
                said = modify(ids[old], price, quantity)
                ids[order] = said.new_order_id
            if is_kept:
                kept.extend(said.trades)

    def finish() -> list[Trade]:
        back = {given: order for order, given in enumerate(ids)}
        return [
            (back[t.passive_order_id], back[t.aggressor_order_id], t.price, t.quantity)
            for t in kept
        ]

    return Driven(run, finish=finish)


def cython_orderbook(id_max: int, is_kept: bool, name: str = "cython_orderbook") -> Driven:
    """Trades stay in its log."""
    module: Module = import_module(name)
    book, make = module.OrderBook(), module.Order
    add, cancel = book.add_limit_order, book.cancel_order
    sides = (module.OrderSide.BID, module.OrderSide.ASK)
    ids: list[Module] = [None] * (id_max + 1)

    def run(operations: Sequence[Operation]) -> None:
        for kind, side, order, price, quantity, old in operations:
            if kind != NEW:
                cancel(ids[order if kind == CANCEL else old])
            if kind != CANCEL:
                made = make(side=sides[side], price=price, original_quantity=quantity)
                ids[order] = made.order_id
                add(made)

    def finish() -> list[Trade]:
        back = {given: order for order, given in enumerate(ids) if given is not None}
        return [
            (back[t.filler_id], back[t.aggressor_id], t.price, t.quantity_filled)
            for t in book.trade_log
        ]

    return Driven(run, finish=finish)


def _no_listener(id_max: int, is_kept: bool) -> Driven:
    return liquibook(id_max, is_kept, is_heard=False)


PEERS = [
    Peer("orderly-chaos raw", "orderly-chaos==0.2.0", "C++", "its C functions", False,
         orderly_chaos_raw),
    Peer("orderly-chaos", "orderly-chaos==0.2.0", "C++", "call, callback a trade", True,
         orderly_chaos),
    Peer("limit-order-book raw", "limit-order-book==2.0.0", "C++", "its C functions", False,
         limit_order_book),
    Peer("lumina-lob", "lumina-lob==0.1.4", "C++", "call, log inside", False, lumina),
    Peer("liquibook silent", "liquibook==2.0.1", "C++", "call, no listener", False, _no_listener),
    Peer("liquibook", "liquibook==2.0.1", "C++", "call, listener", True, liquibook),
    Peer("litebook", "litebook==0.0.1", "Rust", "call, fills returned", True, litebook),
    Peer("pylobo", "pylobo==0.1.2", "Rust", "call, fills returned", True, pylobo),
    Peer("nanobook", "nanobook==0.19.2", "Rust", "call, trades returned", True, nanobook),
    Peer("obook raw", "obook==0.1.0", "Go", "its C functions", False, obook_raw),
    Peer("obook", "obook==0.1.0", "Go", "call, events every 64", True, obook),
    Peer("cython-orderbook", "cython-orderbook==0.1.2", "Cython", "call, log inside", False,
         cython_orderbook),
]  # fmt: skip
