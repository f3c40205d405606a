"""A session that operators slowed down and the budget that it shares with its firm."""

from __future__ import annotations

import pytest

from exchange.reference.venue import Key
from gateway.access.throttle import Throttle
from gateway.refusal import Refused
from tests.gateway.conftest import House
from tests.gateway.entry.test_gateway_parts import SECOND, HandClock

OF_FIRM, OF_SESSION = 10, 2  # messages a second


async def test_what_one_budget_refuses_is_taken_from_neither(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, clock = house.gateway.context, HandClock()
    monkeypatch.setattr(context, "throttle", Throttle(clock, OF_FIRM))
    ring = context.identities.ring
    slow, other = ring.find("deputy"), ring.find("yangtze")
    rates = context.views["EU"].acts.session_rates
    monkeypatch.setitem(rates, slow.session, OF_SESSION)

    def taken(key: Key) -> int:
        count = 0
        for _ in range(2 * OF_FIRM):
            try:
                context.take(key, "orders")
                count += 1
            except Refused:
                continue
        return count

    assert taken(slow) == OF_SESSION
    assert taken(other) == OF_FIRM - OF_SESSION
    clock.now += SECOND
    assert taken(other) == OF_FIRM
    assert taken(slow) == 0
    clock.now += SECOND * OF_SESSION // OF_FIRM  # room for as many in the firm's budget
    assert taken(slow) == OF_SESSION
