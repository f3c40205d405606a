"""The inside of the compiled engine's tables: keys with one seat or one tag, full buckets, and a
book that becomes empty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest

from matching.layout import (
    COUNT_MAX,
    INDEX_BITS,
    AccountParameter,
    Command,
    Event,
    OrderType,
    Phase,
    Reason,
    Side,
    TimeInForce,
)
from matching.snapshot import decode, encode
from tests.matching.flows import Flow
from tests.matching.frames import command, frame
from tests.matching.twin import Twin

TICK = command(Command.CLOCK_TICK)
ASK = {
    "account_id": 1,
    "instrument_id": 1,
    "side": Side.SELL,
    "order_type": OrderType.LIMIT,
    "time_in_force": TimeInForce.GTC,
    "quantity": 1,
    "price": 7_000,
}


SEATS = 1 << 17
APART, ORDERS_APART = 2_971_215_073, 32_161_743 << 32
"""Keys this far apart often have one tag; nearer ones hardly ever have."""


def tag_of(key: int) -> int:
    """As in `tables.pxd`."""
    return (key * 0x9E3779B97F4A7C15 & 2**64 - 1) >> 32 | 1


def order_tag(order_id: int) -> int:
    """As in `tables.pxd`."""
    mixed = (order_id >> 1) * 0x9E3779B97F4A7C15 & 2**64 - 1
    return (mixed >> 32 ^ order_id & 2**32 - 1) | 2


def with_one_tag(
    first: Iterable[int], apart: int, tag: Callable[[int], int] = tag_of
) -> tuple[int, int]:
    """Two keys which the tables cannot tell apart by their tags."""
    key = next(key for key in first if tag(key) == tag(key + apart))
    return key, key + apart


def opened() -> tuple[Twin, Flow]:
    twin, flow = Twin(), Flow(1)
    for record in flow.opening():
        twin.apply(record)
    return twin, flow


def used(account_id: int) -> list[bytes]:
    """An account and its session, each command's number seen once, and one that comes again."""
    named = {"account_id": account_id, "session_id": account_id}
    return [
        command(Command.ACCOUNT_OPEN, ref=1, order_id=7, **named),
        command(Command.CASH_WITHDRAW, ref=1, quantity=1, **named),
        command(Command.CASH_DEPOSIT, ref=2, quantity=7, **named),
        command(Command.CASH_WITHDRAW, ref=3, quantity=7, **named),
        command(Command.UNITS_DEPOSIT, ref=4, quantity=9, instrument_id=1, **named),
        command(Command.NEW_ORDER, ref=5, **ASK | named),
    ]


@pytest.mark.parametrize(
    "accounts",
    [
        (100, 100 + SEATS, 100 + 2 * SEATS),  # of one seat
        (SEATS, 3 * SEATS, 2**32 - SEATS),  # of the seat that is nobody's
        (SEATS - 1, 2**32 - 1, 1_000),  # of the last one
    ],
)
def test_accounts_and_sessions_of_one_seat(accounts: tuple[int, ...]) -> None:
    twin, flow = opened()
    twin.apply(flow.record(frame([line for one in accounts for line in used(one)])))
    assert twin.heard[Event.CASH_WITHDRAWN, 0] == twin.heard[Event.DUPLICATE, 0] == len(accounts)
    twin.swap()
    again = [line for one in reversed(accounts) for line in used(one)]
    stopped = command(
        Command.PARTICIPANT_PARAMETER,
        order_id=7,
        order_type=AccountParameter.SUSPENDED,
        quantity=1,
    )
    refused = [command(Command.NEW_ORDER, **ASK | {"account_id": one}) for one in accounts]
    gone = command(Command.MASS_CANCEL, order_id=7)
    twin.apply(flow.record(frame([*again, stopped, *refused, gone])))
    assert twin.heard[Event.REJECTED, Reason.ACCOUNT_SUSPENDED] == len(accounts)
    assert twin.heard[Event.CANCELLED, Reason.CANCELLED_IN_MASS] == len(accounts)
    twin.check()


def test_accounts_and_sessions_with_one_tag() -> None:
    """Their seats are taken, so that they are found by their tags."""
    twin, flow = opened()
    accounts = list(with_one_tag(range(100 + SEATS, 1_000 + SEATS), APART))
    first = [one % SEATS for one in accounts]
    twin.apply(flow.record(frame([line for one in (*first, *accounts) for line in used(one)])))
    assert twin.heard[Event.CASH_WITHDRAWN, 0] == twin.heard[Event.DUPLICATE, 0] == 4
    twin.swap()


def test_many_accounts_without_a_seat() -> None:
    """More than a bucket holds: the index grows, and what was full is passed."""
    twin, flow = opened()
    accounts = [SEATS * at for at in range(1, 1_500)]
    commands = [command(Command.ACCOUNT_OPEN, account_id=one) for one in accounts]
    commands += [command(Command.CASH_DEPOSIT, account_id=one, quantity=1) for one in accounts]
    before = twin.heard[Event.CASH_DEPOSITED, 0]
    twin.apply(flow.record(frame(commands)))
    assert twin.heard[Event.CASH_DEPOSITED, 0] == before + len(accounts)
    twin.swap()


def test_holdings_with_one_tag() -> None:
    """Their key is the seat of the account, which is its number here, and the instrument.

    Four others come first, since those are found in the account itself.
    """
    twin, flow = opened()
    keys = with_one_tag(((8 << 16) + instrument for instrument in range(3, 9_000)), APART)
    places = [key >> 16 for key in keys]
    assert max(places) < SEATS
    commands = [command(Command.ACCOUNT_OPEN, account_id=account_id) for account_id in places]
    first = [at << 16 | instrument for at in places for instrument in range(60_001, 60_005)]
    for instrument_id in {key & 0xFFFF for key in (*keys, *first)}:
        commands.append(command(Command.INSTRUMENT_OPEN, instrument_id=instrument_id))
    for key in (*first, *keys, *reversed(keys)):
        named = {"account_id": key >> 16, "instrument_id": key & 0xFFFF}
        commands.append(command(Command.UNITS_DEPOSIT, quantity=5, **named))
    for at in range(0, len(commands), COUNT_MAX):
        twin.apply(flow.record(frame(commands[at : at + COUNT_MAX])))
    assert not [reason for kind, reason in twin.heard if kind == Event.REJECTED]
    twin.swap()


def test_participants_with_one_tag() -> None:
    twin, flow = opened()
    participants = with_one_tag(range(100, 1_000), APART)
    commands = [
        command(Command.ACCOUNT_OPEN, account_id=100 + index, order_id=participant)
        for index, participant in enumerate(participants)
    ]
    for participant in (*participants, *reversed(participants)):
        terms = {"order_id": participant, "order_type": AccountParameter.POSITION_MAX}
        commands.append(command(Command.PARTICIPANT_PARAMETER, quantity=9, **terms))
    twin.apply(flow.record(frame(commands)))
    assert twin.heard[Event.PARTICIPANT_CHANGED, 0] == 4
    twin.swap()


def test_a_mass_cancel_of_many() -> None:
    twin, flow = opened()
    gone = command(Command.MASS_CANCEL, account_id=1)
    twin.apply(flow.record(frame([command(Command.NEW_ORDER, **ASK)] * 3_000 + [gone])))
    assert twin.heard[Event.CANCELLED, Reason.CANCELLED_IN_MASS] == 3_000
    twin.check()


def test_orders_with_one_tag() -> None:
    """Order ids are places in the log: the orders stand where two ids have one tag."""
    twin, flow = opened()
    first = (offset << INDEX_BITS for offset in range(flow.offset, 1_000))
    keys = with_one_tag(first, ORDERS_APART, order_tag)
    for key in keys:
        flow.offset, index = divmod(key, 2**INDEX_BITS)
        moved = encode(replace(decode(twin.reference.snapshot()), next_offset=flow.offset))
        twin.restore(moved, moved)
        order = command(Command.NEW_ORDER, **ASK)
        twin.apply(flow.record(frame([*[TICK] * index, order])))
    twin.check()
    for key in reversed(keys):
        gone = command(Command.CANCEL_ORDER, account_id=1, order_id=key)
        twin.apply(flow.record(frame([gone, gone])))
        twin.check()
    assert twin.heard[Event.ACCEPTED, 0] == 2
    assert twin.heard[Event.CANCELLED, Reason.CANCELLED_BY_REQUEST] == 2


@pytest.mark.parametrize("end", ["swept", "swept, the rest rests", "cancelled", "day"])
def test_a_large_book_that_becomes_empty(end: str) -> None:
    """Memory goes back to the system with the next record, and trading goes on."""
    twin, flow = opened()
    count, tif = 17 * COUNT_MAX, TimeInForce.DAY if end == "day" else TimeInForce.GTC
    first = flow.offset
    for _ in range(17):
        asks = [
            command(Command.NEW_ORDER, **ASK | {"time_in_force": tif, "price": 7_000 + at % 64})
            for at in range(COUNT_MAX)
        ]
        twin.apply(flow.record(frame(asks)))
    assert twin.heard[Event.ACCEPTED, 0] == count
    if end == "cancelled":
        for offset in range(first, first + 17):
            commands = [
                command(Command.CANCEL_ORDER, account_id=1, order_id=offset << INDEX_BITS | index)
                for index in range(COUNT_MAX)
            ]
            twin.apply(flow.record(frame(commands)))
    elif end == "day":
        closed, opened_again = (
            command(Command.PHASE_CHANGE, order_type=phase)
            for phase in (Phase.CLOSED, Phase.CONTINUOUS)
        )
        rolled = command(Command.DAY_ROLL, quantity=20_261_123)
        twin.apply(flow.record(frame([closed, rolled, opened_again])))
    else:
        quantity = count if end == "swept" else count + 5
        bid = ASK | {"account_id": 2, "side": Side.BUY, "price": 7_100, "quantity": quantity}
        twin.apply(flow.record(frame([command(Command.NEW_ORDER, **bid)])))
    after = [command(Command.NEW_ORDER, **ASK | {"price": 7_000 + at}) for at in range(200)]
    after.append(command(Command.NEW_ORDER, **ASK | {"side": Side.BUY, "quantity": 3}))
    twin.apply(flow.record(frame(after)))
    twin.check()
    twin.swap()
