"""A FIX session is worth what its key is: scopes, and an end at any time."""

from __future__ import annotations

from typing import Any

import msgspec

from exchange.messages.access_reasons import AccessReason
from tests.gateway.fix.conftest import FixHouse


def change(house: FixHouse, name: str, **fields: Any) -> None:
    """As if the venue file had been changed and read again."""
    assert house.gateway is not None
    house.gateway.context.identities.ring.replace(tuple(
        msgspec.structs.replace(key, **fields) if key.id == name else key
        for key in house.venue.key
    ))  # fmt: skip


async def test_a_revoked_key_is_logged_out_and_cannot_come_back(house: FixHouse) -> None:
    broker, other = house.broker(), house.broker("huadong")
    await broker.enter(house.port)
    await other.enter(house.port)
    change(house, "northern", revoked=True)
    house.fix.tick()
    out = await broker.take("5")
    assert out.get(20001) == str(int(AccessReason.KEY_REVOKED))
    again = house.broker()
    await again.connect(house.port)
    again.logon()
    assert (await again.take("5")).get(20001) == str(int(AccessReason.KEY_REVOKED))
    house.fix.tick()
    other.order("one", t1=102)
    assert (await other.take("8")).get(150) == "0"


async def test_a_key_without_trade_hears_and_asks_for_nothing(house: FixHouse) -> None:
    change(house, "northern", scopes=("drop_copy",))
    risk = house.broker()
    await risk.enter(house.port)
    risk.order("one")
    assert (await risk.take("8")).get(20001) == str(int(AccessReason.SCOPE_NOT_ALLOWED))
