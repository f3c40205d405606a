"""Memory taken beforehand: the engine says and keeps the same."""

from __future__ import annotations

from resource import RUSAGE_THREAD, getrusage

import numpy as np
import pytest

from benchmarks.workload import frame as framed
from benchmarks.workload import opening
from matching import compiled, reference
from matching.layout import COMMAND, INDEX_BITS, Command, OrderType, Side, TimeInForce
from matching.protocol import EngineProtocol, Limits
from tests.matching.flows import Flow, everything
from tests.matching.twin import Twin

BODIES = [reference.Engine, compiled.Engine]


def test_what_is_said_does_not_depend_on_it() -> None:
    twin, flow = Twin(), Flow(11)
    ready = compiled.Engine()
    ready.reserve(orders=5_000, client_order_ids=100_000)
    for number, record in enumerate([*flow.opening(), *flow.frames(150, everything)]):
        said = twin.apply(record)
        flow.hear(said)
        assert ready.apply(*record) == said == ready.said
        if number % 40 == 0:
            ready.reserve(orders=number, client_order_ids=number * 1_000)
    assert twin.far.near == 0 < ready.near
    assert ready.self_check() == []
    assert ready.snapshot() == twin.compiled.snapshot()


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("wanted", [{"orders": 101}, {"orders": -1}, {"client_order_ids": 201}])
def test_no_more_than_the_limits(body: type[EngineProtocol], wanted: dict[str, int]) -> None:
    engine = body(Limits(orders_max=100, client_order_ids_max=200))
    engine.reserve(orders=100, client_order_ids=200)
    (name, value), *_ = wanted.items()
    with pytest.raises(ValueError, match=rf"{name} {value} is outside 0\.\.[12]00"):
        engine.reserve(**wanted)


MANY, BATCH = 100_000, 64
FEW = 64  # pages; those behind the first two megabytes may be huge, those in it are not


def market() -> compiled.Engine:
    """An engine with an instrument and an account."""
    engine = compiled.Engine()
    engine.apply(0, 0, framed(opening(1, 1).tobytes()))
    return engine


def fill_and_empty(engine: compiled.Engine, orders: int) -> int:
    """So many bids at a hundred prices, then all cancelled; pages that the system had to give."""
    place = np.arange(orders)
    new = np.zeros(orders, COMMAND)
    new["account_id"] = new["instrument_id"] = new["quantity"] = 1
    new["kind"], new["side"], new["price"] = Command.NEW_ORDER, Side.BUY, 1 + place % 100
    new["order_type"], new["time_in_force"] = OrderType.LIMIT, TimeInForce.GTC
    gone = np.zeros(orders, COMMAND)
    gone["kind"], gone["account_id"] = Command.CANCEL_ORDER, 1
    gone["order_id"] = engine.next_offset + place // BATCH << INDEX_BITS | place % BATCH
    frames = [
        framed(rows[at : at + BATCH].tobytes())
        for rows in (new, gone)
        for at in range(0, orders, BATCH)
    ]
    before = getrusage(RUSAGE_THREAD).ru_minflt
    for offset, data in enumerate(frames, engine.next_offset):
        engine.apply(offset, 0, data)
    return getrusage(RUSAGE_THREAD).ru_minflt - before


@pytest.mark.parametrize("more", [0, 1, 30_000])
def test_what_was_reserved_is_kept_when_the_book_empties(more: int) -> None:
    """Whatever more there was has gone back, and is taken anew."""
    engine = market()
    engine.reserve(orders=MANY)
    fill_and_empty(engine, 1_000)  # so that Python has what it needs
    assert fill_and_empty(engine, MANY) < FEW
    fill_and_empty(engine, MANY + more)
    assert engine.self_check() == []
    assert fill_and_empty(engine, MANY) < FEW


def test_what_was_not_reserved_goes_back() -> None:
    engine = market()
    fill_and_empty(engine, 1_000)
    assert fill_and_empty(engine, MANY) > FEW
    assert engine.self_check() == []
    assert fill_and_empty(engine, MANY) > FEW
