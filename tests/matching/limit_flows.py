"""Seeded flows of accounts and participants near their limits."""

from __future__ import annotations

from collections.abc import Callable

from matching.layout import Command, Parameter
from tests.matching.controls import control
from tests.matching.flows import SECOND, Flow
from tests.matching.frames import command
from tests.matching.maker_flows import quote


def limited(flow: Flow) -> bytes:
    """Limits that come and go, soon reached."""
    if flow.queue:
        return flow.queue.pop(0)
    r = flow.random
    kind = r.random()
    if kind < 0.02:
        flow.now += SECOND // 2
    if kind < 0.7:
        price = flow.mid + r.randint(-60, 60)
        return flow.new_order(instrument_id=1, price=price, quantity=r.randint(1, 300))
    if kind < 0.75:
        return flow.cancel()
    if kind < 0.78:
        return quote(flow)
    if kind < 0.86:
        return flow.replace()
    if kind < 0.96:
        return control(flow, 3)
    if kind < 0.98:
        parameter, values = r.choice(
            (
                (Parameter.COLLAR_BP, (0, 5, 40, 10_000)),
                (Parameter.HOLDING_MAX, (0, 10**7)),
            )
        )
        terms = {"order_type": parameter, "quantity": r.choice(values), "instrument_id": 1}
        return command(Command.INSTRUMENT_PARAMETER, **terms)
    return flow.money() if kind < 0.99 else flow.end_of_day()


LIMIT_FLOWS: dict[str, Callable[[Flow], bytes]] = {"limited": limited}
