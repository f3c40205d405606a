"""The simulated brokers' view of the venue."""

from __future__ import annotations

from typing import Any, cast

from exchange.messages.executions import ExecutionReport
from gateway.client import Client
from gateway.demo.simulated import SimulatedTrader


class Resting:
    """A client whose accounts have an order on the book and an auction's offer, without a price."""

    async def orders(self, **_: Any) -> list[ExecutionReport]:
        """Both."""
        seen = {"exec_type": "NEW", "order_status": "NEW", "symbol": "EUA", "side": "SELL"}
        return [
            ExecutionReport("EU", 101, order_id=1, price="71.25", order_type="LIMIT", **seen),
            ExecutionReport("EU", 101, order_id=2, order_type="OFFER", **seen),
        ]


async def test_an_offer_without_a_price_is_no_order_of_the_book() -> None:
    trader = SimulatedTrader(cast(Client, Resting()))
    (order,) = await trader.open_orders("EUA", 101)
    assert (order.order_id, order.price) == (1, 7125)
