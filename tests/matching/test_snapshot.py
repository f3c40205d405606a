"""Snapshots: a round trip on both engines, and no engine from unsound bytes."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from matching import compiled
from matching.layout import AccountParameter, Command, Phase
from matching.parameters import OF_PARTICIPANTS
from matching.protocol import EngineProtocol, Limits
from matching.snapshot import HASH_SIZE, SNAPSHOT_HEADER, Snapshot, decode, encode
from tests.matching.controls import PARTICIPANTS
from tests.matching.flows import everything, slices
from tests.matching.frames import command, frame
from tests.matching.twin import run, trade


@pytest.fixture(scope="module")
def sound() -> bytes:
    """A snapshot with rows in every section."""
    twin, flow = trade(6, everything, 60)
    run(twin, flow, flow.frames(20, slices))
    only = dict.fromkeys(OF_PARTICIPANTS, 0) | {AccountParameter.SUSPENDED: 1}
    fields = {"kind": Command.PARTICIPANT_PARAMETER, "order_id": PARTICIPANTS[0]}
    twin.apply(
        flow.record(frame([command(order_type=p, quantity=v, **fields) for p, v in only.items()]))
    )
    data = twin.reference.snapshot()
    snapshot = decode(data)
    for name in (
        "accounts", "holdings", "instruments", "orders", "order_terms", "sessions",
        "client_order_ids",
    ):  # fmt: skip
        assert len(getattr(snapshot, name)) > 1, name
    assert len(snapshot.participants)
    return data


def test_round_trip(sound: bytes, engine_type: type[EngineProtocol]) -> None:
    assert encode(decode(sound)) == sound
    engine = engine_type.restore(sound)
    assert engine.snapshot() == sound
    assert engine.state_hash() == sound[-HASH_SIZE:]
    assert engine.self_check() == []


def test_limits_travel(engine_type: type[EngineProtocol]) -> None:
    engine = engine_type(Limits(1, 2, 3, 4))
    assert decode(engine.snapshot()).limits == Limits(1, 2, 3, 4)
    assert engine_type.restore(engine.snapshot()).snapshot() == engine.snapshot()


def test_an_engine_travels_only_as_its_snapshot() -> None:
    with pytest.raises(TypeError, match="as its snapshot"):
        pickle.dumps(compiled.Engine())


@pytest.mark.parametrize("at", [0, 4, 8, 100, 160, 500, -40, -1])
def test_a_changed_byte_is_found(sound: bytes, at: int, engine_type: type[EngineProtocol]) -> None:
    changed = bytearray(sound)
    changed[at] ^= 1
    with pytest.raises(ValueError, match="snapshot"):
        engine_type.restore(bytes(changed))


@pytest.mark.parametrize("size", [0, 1, SNAPSHOT_HEADER.itemsize, 300, -1])
def test_cut_bytes_are_found(sound: bytes, size: int, engine_type: type[EngineProtocol]) -> None:
    with pytest.raises(ValueError, match="snapshot"):
        engine_type.restore(sound[:size])
    with pytest.raises(ValueError, match="size"):
        engine_type.restore(sound + b"x")


def _set(section: str, column: str, value: Any, row: int = 0) -> Callable[[Snapshot], Snapshot]:
    def change(snapshot: Snapshot) -> Snapshot:
        rows = getattr(snapshot, section).copy()
        rows[column][row] = value
        return replace(snapshot, **{section: rows})

    return change


def _outside_a_call(column: str) -> Callable[[Snapshot], Snapshot]:
    def change(snapshot: Snapshot) -> Snapshot:
        return _set("instruments", column, 5)(_set("instruments", "phase", Phase.HALT)(snapshot))

    return change


def _rated(rows: Any, second: int) -> Any:
    changed = rows.copy()
    changed["order_rate"], changed["rate_count"], changed["rate_second"] = 5, 1, second
    return changed


def _of_a_plain_order(terms: dict[str, int]) -> Callable[[Snapshot], Snapshot]:
    """A row of terms for an order which has none."""

    def change(snapshot: Snapshot) -> Snapshot:
        orders, rows = snapshot.orders, snapshot.order_terms
        plain = orders["order_id"][~np.isin(orders["order_id"], rows["order_id"])]
        row = np.zeros(1, rows.dtype)
        row["order_id"] = plain[0]
        for column, value in terms.items():
            row[column] = value
        rows = np.concatenate([rows, row])
        return replace(snapshot, order_terms=rows[np.argsort(rows["order_id"])])

    return change


def _swap(section: str) -> Callable[[Snapshot], Snapshot]:
    def change(snapshot: Snapshot) -> Snapshot:
        rows = getattr(snapshot, section).copy()
        rows[:2] = rows[1::-1]
        return replace(snapshot, **{section: rows})

    return change


UNSOUND: dict[str, Callable[[Snapshot], Snapshot]] = {
    "account of a holding": _set("holdings", "account_id", 6),
    "instrument of a holding": _set("holdings", "instrument_id", 3),
    "account of an order": _set("orders", "account_id", 999),
    "instrument of an order": _set("orders", "instrument_id", 999),
    "account of a label": _set("client_order_ids", "account_id", 0),
    "side of an order": _set("orders", "side", 3),
    "time in force": _set("orders", "time_in_force", 3),
    "leaves nothing": _set("orders", "leaves", 0),
    "leaves too much": _set("orders", "leaves", 10**10 + 1),
    "price nothing": _set("orders", "price", 0),
    "price too high": _set("orders", "price", 10**9 + 1),
    "order id nothing": _set("orders", "order_id", 0),
    "charged below": _set("orders", "charged", -1),
    "uncharged above": _set("orders", "uncharged", 5_000),
    "cash below": _set("accounts", "available", -1),
    "cash too much": _set("accounts", "available", 1),
    "cash held": _set("accounts", "held", 1),
    "units too many": _set("holdings", "available", 1),
    "units locked below": _set("holdings", "locked", -5),
    "tick": _set("instruments", "tick_size", 0),
    "fee": _set("instruments", "taker_fee_bp", 1_001),
    "tick of a step": _set("instruments", "tick_from_2", 5),
    "terms of no order": _set("order_terms", "order_id", 1),
    "terms that say nothing": _of_a_plain_order({}),
    "display below": _set("order_terms", "display_quantity", -1),
    "shows too much": _set("order_terms", "visible", 10**10),
    "expire date of no GTD": _of_a_plain_order({"expire_date": 20_261_122}),
    "phase": _set("instruments", "phase", 7),
    "moment of a change": _set("instruments", "change_at_ns", -1),
    "volume of a call": _set("instruments", "indicative_volume", 2**62 + 1),
    "a change outside a call": _outside_a_call("change_at_ns"),
    "a price outside a call": _outside_a_call("indicative_price"),
    "close rule": _set("instruments", "close_rule", 0),
    "units": _set("instruments", "units", 0),
    "accounts out of order": _swap("accounts"),
    "holdings out of order": _swap("holdings"),
    "instruments out of order": _swap("instruments"),
    "orders out of order": lambda s: replace(s, orders=s.orders[::-1]),
    "sessions out of order": _swap("sessions"),
    "labels out of order": _swap("client_order_ids"),
    "order twice": lambda s: replace(s, orders=s.orders[[0, *range(len(s.orders))]]),
    "cash total": lambda s: replace(s, cash=s.cash + 1),
    "fees": lambda s: replace(s, fees=s.fees + 1),
    "offset": lambda s: replace(s, next_offset=-1),
    "participant nobody": _set("participants", "participant", 0),
    "participant without accounts": _set("participants", "participant", 77),
    "participant without limits": _set("participants", "suspended", 0),
    "orders counted without a rate": _set("participants", "rate_count", 1),
    "second counted without a rate": _set("participants", "rate_second", 1),
    "second to come": lambda s: replace(
        s, participants=_rated(s.participants, s.time_ns // 1_000_000_000 + 1)
    ),
    "participant suspended twice": _set("participants", "suspended", 2),
    "limits": lambda s: replace(s, limits=s.limits._replace(orders_max=0)),
    "limit below": lambda s: replace(s, limits=s.limits._replace(sessions_max=-1)),
}


@pytest.mark.parametrize("name", UNSOUND)
def test_wrong_rows_with_a_right_hash(
    name: str, sound: bytes, engine_type: type[EngineProtocol]
) -> None:
    forged = encode(UNSOUND[name](decode(sound)))
    assert forged != sound
    with pytest.raises(ValueError, match="unsound"):
        engine_type.restore(forged)
