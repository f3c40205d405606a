"""Bad input: one numbered refusal for each command, the lowest number first, and nothing moved.

What can be wrong with each kind of command stands in `bad_input.py`; the values at and beyond the
limits of each field are made from the layout.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache, lru_cache
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from matching import COMPILED, compiled, reference
from matching.layout import (
    COMMAND,
    COUNT_MAX,
    FRAME_SIZE_MAX,
    PRICE_LIMIT,
    QUANTITY_LIMIT,
    TOTAL_LIMIT,
    VALUE_LIMIT,
    Command,
    Event,
    Reason,
)
from matching.protocol import EngineProtocol
from matching.snapshot import decode, encode
from tests.matching.bad_input import MARKET, UNANSWERED, Case, Fault, Fields
from tests.matching.bad_input_deals import CASES, SINGLE
from tests.matching.frames import EventRow, command, events, frame
from tests.matching.test_rules import REFUSED

SECOND = 1_000_000_000
REFUSALS = {Event.REJECTED, Event.DUPLICATE}
FULL = {
    "orders_max": "orders",
    "client_order_ids_max": "client_order_ids",
    "accounts_max": "accounts",
    "sessions_max": "sessions",
}
"""Each limit, and the table it bounds."""

REUSED = range(Reason.CLIENT_ORDER_ID_REUSED_ORDER, Reason.ACCOUNT_SUSPENDED)


@cache
def market(before: tuple[bytes, ...], full: frozenset[str]) -> bytes:
    """The snapshot of the market after some commands, with tables that have just been filled."""
    engine = reference.Engine()
    heard = events(engine.apply(0, SECOND, frame(MARKET)))
    assert not [e for e in heard if e.kind == Event.REJECTED]
    engine.apply(1, 2 * SECOND, frame([*before, command(Command.CLOCK_TICK)], time_ns=SECOND))
    snapshot = decode(engine.snapshot())
    limits = {name: len(getattr(snapshot, FULL[name])) for name in full}
    return encode(replace(snapshot, limits=snapshot.limits._replace(**limits)))


@pytest.fixture(autouse=True)
def _known_markets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A market that is restored thousands of times is looked through once."""
    known = lru_cache(64)(decode)
    monkeypatch.setattr("matching.reference.engine.decode_snapshot", known)
    if COMPILED:
        monkeypatch.setattr("matching.compiled.decode_snapshot", known)


@lru_cache(4_096)  # most refusals leave the same behind
def untouched(data: bytes) -> bytes:
    """What a refusal must leave as it was: all but the place in the log, and what it counts."""
    s = decode(data)
    accounts, participants = s.accounts.copy(), s.participants.copy()
    for rows in (accounts, participants):
        rows["rate_count"] = rows["rate_second"] = 0
    return encode(
        replace(
            s,
            next_offset=0,
            next_event=0,
            time_ns=0,
            sessions=s.sessions[:0],
            accounts=accounts,
            participants=participants,
        )
    )


def probe(engine: EngineProtocol, fields: Fields) -> list[EventRow]:
    """What one command, with its terms, is answered, sent a second before it arrives."""
    fields = dict(fields)
    terms, closes_ns = fields.pop("terms", None), fields.pop("closes_ns", None)
    records = [command(**fields)]
    if terms is not None:
        records.append(command(Command.ORDER_TERMS, **terms))
    if closes_ns is not None:
        records.append(command(Command.AUCTION_TERMS, quantity=closes_ns))
    sent = frame(records, time_ns=SECOND)
    return events(engine.apply(engine.next_offset, 2 * SECOND, sent))


def refusal(engine_type: type[EngineProtocol], case: Case, faults: list[Fault]) -> int:
    """The one reason heard when the command has these faults; nothing but counters has moved."""
    fields: Fields = {"kind": case.kind} | case.good
    before, full = list(case.before), set()
    for fault in faults:
        fields |= fault.fields
        before += fault.before
        full |= set(fault.full)
    data = market(tuple(before), frozenset(full))
    engine = engine_type.restore(data)
    (event,) = probe(engine, fields)
    assert engine.self_check() == []
    assert event.kind == Event.REJECTED
    assert (event.order_type, event.value) == (case.kind, fields.get("ref", 0))
    assert untouched(engine.snapshot()) == untouched(data)
    return event.reason


def test_every_kind_of_command_has_its_case() -> None:
    """Also those that an engine has just learned."""
    heard = {case.kind for case in CASES.values()} | UNANSWERED
    for kind in Command:
        answers = events(reference.Engine().apply(0, 0, frame([command(kind)])))
        is_known = Reason.UNKNOWN_COMMAND not in {e.reason for e in answers}
        assert kind in heard or not is_known, f"{kind.name}: see bad_input.CASES"
        assert is_known or kind not in heard - UNANSWERED, kind.name


def test_every_reason_has_its_fault() -> None:
    """But for those of orders that end well, which flows and scenarios meet."""
    told = {reason for case in CASES.values() for reason in case.faults}
    told |= {reason for table in (REFUSED, SINGLE) for _, reason in table.values()}
    told |= {Reason.NONE, Reason.UNKNOWN_COMMAND}
    wanted = {reason for reason in Reason if reason < Reason.CANCELLED_BY_REQUEST}
    assert wanted - told == set(), "see bad_input.CASES"
    for case in CASES.values():
        assert list(case.faults) == sorted(case.faults), case.kind.name


@pytest.mark.parametrize("name", CASES)
def test_the_good_command_is_heard(name: str, engine_type: type[EngineProtocol]) -> None:
    case = CASES[name]
    engine = engine_type.restore(market(case.before, frozenset()))
    heard = probe(engine, {"kind": case.kind} | case.good)
    assert engine.self_check() == []
    assert not {e.kind for e in heard} & REFUSALS
    assert bool(heard) == (case.kind != Command.CLOCK_TICK)


@pytest.mark.parametrize("name", CASES)
def test_one_fault_is_one_refusal(name: str, engine_type: type[EngineProtocol]) -> None:
    case = CASES[name]
    for reason, fault in case.faults.items():
        assert refusal(engine_type, case, [fault]) == reason, reason.name


def fit_together(one: Fault, other: Fault) -> bool:
    """Whether a command can have both faults: no field is wrong in two ways."""
    return all(other.fields.get(name, value) == value for name, value in one.fields.items())


@pytest.mark.parametrize("name", [name for name in CASES if name != "order"])
def test_of_two_faults_the_lower_number_is_told(
    name: str, engine_type: type[EngineProtocol]
) -> None:
    """Those of a new order are paired in `test_rules.py`."""
    case = CASES[name]
    tried = set()
    for low, high in combinations(case.faults, 2):
        if not fit_together(case.faults[low], case.faults[high]):
            continue
        tried |= {low, high}
        told = refusal(engine_type, case, [case.faults[low], case.faults[high]])
        if low in REUSED:  # the other fault may be one more field in which the body differs
            assert told <= low, (low.name, high.name)
            assert told in REUSED, (low.name, high.name)
        else:
            assert told == low, (low.name, high.name)
    assert tried == (case.faults.keys() if len(case.faults) > 1 else set())


@pytest.mark.parametrize("name", SINGLE)
def test_an_order_that_is_gone(name: str, engine_type: type[EngineProtocol]) -> None:
    case, reason = SINGLE[name]
    assert refusal(engine_type, case, []) == reason


def test_a_ref_used_twice(engine_type: type[EngineProtocol]) -> None:
    for case in CASES.values():
        engine = engine_type.restore(market(case.before, frozenset()))
        numbered = command(case.kind, **case.good | {"session_id": 5, "ref": 9})
        engine.apply(2, SECOND, frame([numbered]))
        before = engine.snapshot()
        for offset, ref in enumerate((9, 8, 0, -(2**63)), 3):
            record = command(case.kind, **case.good | {"session_id": 5, "ref": ref})
            (event,) = events(engine.apply(offset, SECOND, frame([record])))
            assert (event.kind, event.value) == (Event.DUPLICATE, ref), case.kind.name
        assert untouched(engine.snapshot()) == untouched(before)
        assert decode(engine.snapshot()).sessions.tobytes() == decode(before).sessions.tobytes()


# -- values at and beyond the limits ---------------------------------------------------------------

EDGES = {0, 1, 2, PRICE_LIMIT, QUANTITY_LIMIT, VALUE_LIMIT, TOTAL_LIMIT}


def values(field: str) -> list[Any]:
    """At the limits of the layout and of the type of the field, one below and one beyond."""
    kind = COMMAND[field]
    if kind.kind == "S":
        return [b"", b"\xff" * 16, b"\0" * 15 + b"\1", b"a" * 16]
    if kind.itemsize == 1:
        return [*range(12), 29, 30, 31, 127, 128, 254, 255]
    bounds = np.iinfo(kind)
    edges = EDGES | {int(bounds.min), int(bounds.max)}
    near = {edge + step for edge in edges for step in (-1, 0, 1)}
    return sorted(value for value in near if bounds.min <= value <= bounds.max)


def variations(good: Fields) -> list[Fields]:
    """One field at a time, then price and quantity together."""
    found = [good | {name: value} for name in COMMAND.names or () for value in values(name)]
    edges = sorted(EDGES | {-1, PRICE_LIMIT + 1, QUANTITY_LIMIT + 1, 2**63 - 1, -(2**63)})
    return found + [good | {"price": p, "quantity": q} for p in edges for q in edges]


def both(data: bytes) -> tuple[EngineProtocol, EngineProtocol]:
    """The reference and the compiled engine, gone on from a snapshot."""
    return reference.Engine.restore(data), compiled.Engine.restore(data)


@pytest.mark.parametrize("name", CASES)
def test_values_at_and_beyond_the_limits(name: str) -> None:
    """Both engines alike, one answer to a refusal, and nothing moved by it."""
    data, idle = market(CASES[name].before, frozenset()), []
    twin = both(data)
    for fields in variations({"kind": CASES[name].kind} | CASES[name].good):
        heard, other = (probe(engine, fields) for engine in twin)
        assert heard == other, fields
        if not heard or {e.kind for e in heard} & REFUSALS:
            assert len(heard) <= 1, fields
            idle.append(fields)
        else:
            assert [engine.self_check() for engine in twin] == [[], []], fields
            assert len({engine.snapshot() for engine in twin}) == 1, fields
            twin = both(data)
    assert len({engine.snapshot() for engine in twin}) == 1
    assert idle
    engine = compiled.Engine.restore(data)
    for fields in idle:
        probe(engine, fields)
    assert untouched(engine.snapshot()) == untouched(data)


# -- frames ---------------------------------------------------------------------------------------

WRONG_HEADER: dict[Reason, dict[str, int]] = {
    Reason.FRAME_WRONG_MAGIC: {"magic": 1},
    Reason.FRAME_WRONG_VERSION: {"version": 9},
    Reason.FRAME_WRONG_KIND: {"kind": 2},
    Reason.FRAME_COUNT_OUT_OF_RANGE: {"count": 0},
    Reason.FRAME_WRONG_SIZE: {"count": 2},
    Reason.FRAME_WRONG_CHECKSUM: {"checksum": 5},
}


def frame_refusal(engine: EngineProtocol, data: bytes) -> int:
    """The one reason for which a frame is refused; nothing has moved."""
    before = untouched(engine.snapshot())
    (event,) = events(engine.apply(engine.next_offset, SECOND, data))
    assert event.kind == Event.FRAME_REFUSED
    assert untouched(engine.snapshot()) == before
    return event.reason


def test_of_two_faults_of_a_header_the_lower_number_is_told(
    engine_type: type[EngineProtocol],
) -> None:
    engine = engine_type.restore(market((), frozenset()))
    deposit = command(Command.CASH_DEPOSIT, account_id=1, quantity=5)
    for low, high in combinations(WRONG_HEADER, 2):
        data = frame([deposit], **(WRONG_HEADER[high] | WRONG_HEADER[low]))
        assert frame_refusal(engine, data) == low, (low.name, high.name)


def test_a_frame_of_every_wrong_size(engine_type: type[EngineProtocol]) -> None:
    engine = engine_type.restore(market((), frozenset()))
    good = frame([command(Command.CASH_DEPOSIT, account_id=1, quantity=5)] * 2)
    for size in range(len(good)):
        told = Reason.FRAME_TOO_SHORT if size < 80 else Reason.FRAME_WRONG_SIZE
        assert frame_refusal(engine, good[:size]) == told
    for more in (1, 63, 64, FRAME_SIZE_MAX):
        assert frame_refusal(engine, good + bytes(more)) == Reason.FRAME_WRONG_SIZE
    tick = command(Command.CLOCK_TICK)
    told = frame_refusal(engine, frame([tick] * (COUNT_MAX + 1)))
    assert told == Reason.FRAME_COUNT_OUT_OF_RANGE


def test_every_bit_of_a_record_is_under_the_checksum(engine_type: type[EngineProtocol]) -> None:
    engine = engine_type.restore(market((), frozenset()))
    good = frame([command(Command.CASH_DEPOSIT, account_id=1, quantity=5)])
    for bit in range(8 * 80, 8 * len(good)):
        changed = bytearray(good)
        changed[bit // 8] ^= 1 << bit % 8
        assert frame_refusal(engine, bytes(changed)) == Reason.FRAME_WRONG_CHECKSUM
