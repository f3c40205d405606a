"""Memory taken beforehand: the engine says and keeps the same."""

from __future__ import annotations

import pytest

from matching import compiled, reference
from matching.protocol import EngineProtocol, Limits
from tests.matching.filled import fill_and_empty, market
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


@pytest.mark.parametrize("orders", [69_999, 70_000, 70_001, 100_000])
def test_a_book_empties_and_fills_again(orders: int) -> None:
    """To what was reserved, and beyond."""
    engine = market()
    engine.reserve(orders=70_000)
    for _ in range(2):
        fill_and_empty(engine, orders)
        assert engine.self_check() == []
    again = compiled.Engine.restore(engine.snapshot())
    assert again.state_hash() == engine.state_hash()
