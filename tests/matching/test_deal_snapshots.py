"""Snapshots of listings, blocks and auctions that wait: a restart, and bytes that are not sound."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from matching.layout import Event, OrderType, Side
from matching.protocol import EngineProtocol
from matching.snapshot import Snapshot, decode, encode
from tests.matching.bad_input import MARKET
from tests.matching.bad_input_deals import BEFORE, DEALS, LISTED, ORDER
from tests.matching.frames import command, events, frame

SECOND = 1_000_000_000


@pytest.fixture
def sound(engine_type: type[EngineProtocol]) -> bytes:
    """A market with everything that waits: a listing, a proposal, two auctions, a bid."""
    engine = engine_type()
    good = [command(DEALS[name].kind, **DEALS[name].good) for name in ("sealed bid", "auction")]
    for offset, commands in enumerate((MARKET, BEFORE, good)):
        heard = events(engine.apply(offset, SECOND, frame(commands)))
        assert all(row.kind != Event.REJECTED for row in heard)
    return engine.snapshot()


def _set(section: str, column: str, value: int, row: int = 0) -> Callable[[Snapshot], Snapshot]:
    def change(snapshot: Snapshot) -> Snapshot:
        rows = getattr(snapshot, section).copy()
        rows[column][row] = value
        return replace(snapshot, **{section: rows})

    return change


def _of_bid(column: str, value: int) -> Callable[[Snapshot], Snapshot]:
    def change(snapshot: Snapshot) -> Snapshot:
        at = int((snapshot.orders["order_type"] == OrderType.BID).nonzero()[0][0])
        return _set("orders", column, value, at)(snapshot)

    return change


UNSOUND: dict[str, Callable[[Snapshot], Snapshot]] = {
    "pricing": _set("auctions", "pricing", 3),
    "tie-break": _set("auctions", "tie_break", 0),
    "flags": _set("auctions", "flags", 32),
    "limit of the bids": _set("auctions", "bid_max_bp", 10_001),
    "no multiple": _set("auctions", "bid_multiple", 0),
    "another multiple": _set("auctions", "bid_multiple", 7),
    "instrument": _set("auctions", "instrument_id", 9),
    "instrument of another": _set("auctions", "instrument_id", LISTED),
    "offer": _set("auctions", "order_id", ORDER["listing"]),
    "no auction": lambda s: replace(s, auctions=s.auctions[1:]),
    "no auction at all": lambda s: replace(s, auctions=s.auctions[:0]),
    "auctions out of order": lambda s: replace(s, auctions=s.auctions[::-1]),
    "side of a bid": _of_bid("side", Side.SELL),
    "bid elsewhere": _of_bid("instrument_id", LISTED),
    "bid off the multiple": _of_bid("leaves", 45),
}


@pytest.mark.parametrize("name", UNSOUND)
def test_unsound_auctions(name: str, sound: bytes, engine_type: type[EngineProtocol]) -> None:
    forged = encode(UNSOUND[name](decode(sound)))
    assert forged != sound
    with pytest.raises(ValueError, match="unsound"):
        engine_type.restore(forged)


def test_what_waits_goes_on_after_a_restart(
    sound: bytes, engine_type: type[EngineProtocol]
) -> None:
    engine = engine_type.restore(sound)
    assert engine.snapshot() == sound
    waited = [DEALS[name] for name in ("confirmation", "pick", "clearing")]
    commands = [command(case.kind, **case.good | {"client_order_id": b""}) for case in waited]
    heard = events(engine.apply(engine.next_offset, SECOND, frame(commands)))
    assert [e.reason for e in heard if e.kind == Event.FILL] == [3, 3, 2, 2, 4, 4]
    assert engine.self_check() == []
