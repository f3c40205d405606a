"""The compiled engine says what the reference says: seeded flows, hostile flows, drawn flows."""

from __future__ import annotations

from collections import Counter
from random import Random
from struct import pack

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from matching.layout import (
    Command,
    Event,
    OrderType,
    Phase,
    Reason,
    SelfTrade,
    Side,
    TimeInForce,
)
from matching.protocol import Limits
from tests.matching import flows
from tests.matching.flows import INSTRUMENTS, WHOLE_FLOWS, Flow
from tests.matching.frames import command, frame
from tests.matching.limit_flows import LIMIT_FLOWS
from tests.matching.maker_flows import MAKER_FLOWS
from tests.matching.twin import Twin, run, trade

SEEDS = range(3)
FLOWS = WHOLE_FLOWS | MAKER_FLOWS | LIMIT_FLOWS

NEVER_HEARD_IN_FLOWS = {
    # Met in tests of their own: they need limits, or a state no random flow reaches.
    Reason.SESSIONS_FULL,
    Reason.ORDERS_FULL,
    Reason.CLIENT_ORDER_IDS_FULL,
    Reason.ACCOUNTS_FULL,
}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", FLOWS)
def test_flow(name: str, seed: int) -> None:
    twin, flow = Twin(), Flow(seed)
    run(twin, flow, flow.opening())
    if seed:
        run(twin, flow, [flow.rules()])
    run(twin, flow, flow.frames(120, FLOWS[name]))
    run(twin, flow, flows.broken_frames(flow, 40))
    run(twin, flow, flow.frames(10, FLOWS[name]))


def test_flows_meet_every_event_and_reason() -> None:
    """A flow that meets nothing proves nothing."""
    heard: Counter[tuple[int, int]] = Counter()
    for seed in range(4):
        for commands in FLOWS.values():
            twin, flow = trade(seed, commands, 150)
            run(twin, flow, [flow.rules()])
            run(twin, flow, flows.broken_frames(flow, 60), every=100)
            heard += twin.heard
    kinds = {kind for kind, _ in heard}
    reasons = {reason for _, reason in heard}
    assert set(Event) - kinds == set()
    assert {r for r in Reason if r not in reasons} - NEVER_HEARD_IN_FLOWS == set()


def test_thousands_of_levels() -> None:
    twin, flow = Twin(), Flow(5)
    run(twin, flow, flow.opening(units=10**6, cash=10**17))
    random = Random(5)
    prices = random.sample(range(1, 10**9), 3_000)
    terms = {"account_id": 1, "instrument_id": 1, "order_type": OrderType.LIMIT, "quantity": 1}
    orders = [
        command(
            Command.NEW_ORDER,
            side=Side.BUY if price < 5 * 10**8 else Side.SELL,
            time_in_force=TimeInForce.GTC,
            price=price,
            **terms,
        )
        for price in prices
    ]
    run(twin, flow, [flow.record(frame([command(Command.PHASE_CHANGE, order_type=1), *orders]))])
    for side, price in ((Side.SELL, 1), (Side.BUY, 10**9)):
        for tif, quantity in ((TimeInForce.FOK, 700), (TimeInForce.IOC, 2_500)):
            sweep = command(
                Command.NEW_ORDER,
                side=side,
                time_in_force=tif,
                price=price,
                **(terms | {"quantity": quantity}),
            )
            run(twin, flow, [flow.record(frame([sweep]))])
    assert twin.heard[Event.FILL, 0] >= 2 * 2_700


def test_accounts_with_like_numbers_and_many_holdings() -> None:
    """Where a number or an instrument is not found at its first place."""
    twin, flow = Twin(), Flow(8)
    accounts = [7, 7 + 2**17, 7 + 2**18, 7 + 2**31]
    instruments = range(1, 9)
    opening = [command(Command.INSTRUMENT_OPEN, instrument_id=i) for i in instruments]
    for account in accounts:
        named = {"account_id": account}
        opening.append(command(Command.ACCOUNT_OPEN, order_id=account, **named))
        opening.append(command(Command.CASH_DEPOSIT, quantity=10**9, **named))
        for i in instruments:
            opening.append(command(Command.UNITS_DEPOSIT, instrument_id=i, quantity=10**5, **named))
    opening.append(command(Command.PHASE_CHANGE, order_type=Phase.CONTINUOUS))
    run(twin, flow, [flow.record(frame(opening))])
    for ref in range(1, 30):
        orders = [
            command(
                Command.NEW_ORDER,
                account_id=flow.random.choice(accounts),
                session_id=flow.random.choice(accounts),
                ref=ref * 100 + n,
                instrument_id=flow.random.choice(instruments),
                side=flow.random.choice((Side.BUY, Side.SELL)),
                order_type=OrderType.LIMIT,
                time_in_force=TimeInForce.GTC,
                quantity=flow.random.randint(1, 9),
                price=flow.random.randint(95, 105),
            )
            for n in range(40)
        ]
        run(twin, flow, [flow.record(frame(orders))])
    assert twin.heard[Event.FILL, 0] > 100


def test_tables_grow() -> None:
    """Past the first size of every pool and table, with many accounts and labels."""
    twin, flow = Twin(), Flow(6)
    run(twin, flow, flow.opening(accounts=1_500), every=100)
    for batch in range(4):
        orders = [
            command(
                Command.NEW_ORDER,
                account_id=1 + index % 1_500,
                instrument_id=INSTRUMENTS[index % 3],
                side=Side.SELL,
                order_type=OrderType.LIMIT,
                time_in_force=TimeInForce.DAY,
                quantity=1,
                price=7_000 + index % 700,
                session_id=1 + index,
                ref=1 + batch,
                client_order_id=b"%d-%d" % (batch, index),
            )
            for index in range(1_200)
        ]
        flow.hear(twin.apply(flow.record(frame(orders))))
        twin.check()
    assert len(flow.resting) == 4_800
    everyone = list(flow.resting.items())
    Random(6).shuffle(everyone)
    gone = [
        command(Command.CANCEL_ORDER, account_id=who, order_id=which) for which, who in everyone
    ]
    for at in range(0, len(gone), 1_000):
        flow.hear(twin.apply(flow.record(frame(gone[at : at + 1_000]))))
        twin.check()
    assert not flow.resting
    twin.swap()


@pytest.mark.parametrize("seed", SEEDS)
def test_small_limits(seed: int) -> None:
    twin = Twin(Limits(12, 20, 5, 2))
    flow = Flow(seed)
    run(twin, flow, flow.opening())
    resting = {"order_type": OrderType.LIMIT, "time_in_force": TimeInForce.GTC}
    run(twin, flow, flow.frames(5, lambda f: f.new_order(**resting, client_order_id=b"")))
    run(twin, flow, flow.frames(40, flows.trading))
    run(twin, flow, flow.frames(80, flows.everything))
    heard = {reason for _, reason in twin.heard}
    assert heard >= NEVER_HEARD_IN_FLOWS


@pytest.mark.parametrize("name", FLOWS)
def test_each_restores_the_other(name: str) -> None:
    twin, flow = trade(11, FLOWS[name], 30)
    untouched, same = trade(11, FLOWS[name], 30)
    for _ in range(4):
        twin.swap()
        for record in flow.frames(15, FLOWS[name]):
            output = twin.apply(record)
            assert untouched.apply(record) == output
            flow.hear(output)
            same.hear(output)
    twin.check()
    assert untouched.compiled.snapshot() == twin.compiled.snapshot()


@given(data=st.lists(st.binary(max_size=400), max_size=4))
@settings(max_examples=60, deadline=None)
def test_random_bytes(data: list[bytes]) -> None:
    twin = Twin()
    for offset, frame_bytes in enumerate(data):
        assert twin.apply((offset, offset, frame_bytes))
    twin.check()


# -- drawn flows: Hypothesis shrinks what differs to a few commands -------------------------------

PRICES = st.sampled_from((1, 2, 3, 9_999, 10_000, 10_001, 10**9))
QUANTITIES = st.sampled_from((1, 2, 3, 5, 8, 1_000, 10**10))
LABELS = st.sampled_from((b"", b"", b"a", b"b", b"\0c"))
NUMBERS = st.sampled_from(
    ({}, {}, {"session_id": 1, "ref": 1}, {"session_id": 1, "ref": 2}, {"session_id": 0, "ref": 1})
)

NEW_ORDERS = st.fixed_dictionaries(
    {
        "kind": st.just(Command.NEW_ORDER),
        "side": st.sampled_from(tuple(Side)),
        "order_type": st.sampled_from((2, 2, 2, 1, 3, 4)),
        "order_id": st.sampled_from((0, 0, *(mode << 4 for mode in SelfTrade), 1, 4)),
        "time_in_force": st.sampled_from((*TimeInForce, 2)),
        "instrument_id": st.sampled_from((1, 1, 1, 2)),
        "account_id": st.sampled_from((1, 2)),
        "quantity": QUANTITIES,
        "price": PRICES,
        "client_order_id": LABELS,
    }
)
TERMS = st.fixed_dictionaries(
    {
        "kind": st.just(Command.ORDER_TERMS),
        "ref": st.sampled_from((0, 2, 9_999, 10_000, 10_001)),
        "quantity": st.sampled_from((0, 0, 1, 2)),
        "price": st.sampled_from((0, 0, 2)),
    }
)
QUOTES = st.fixed_dictionaries(
    {
        "kind": st.just(Command.QUOTE),
        "order_type": st.sampled_from((0, 1, 0x10, 0x40)),
        "instrument_id": st.just(1),
        "account_id": st.sampled_from((1, 2)),
        "quantity": st.sampled_from((0, 3)),
        "price": st.sampled_from((0, 9_999, 10_000)),
        "client_order_id": st.sampled_from((bytes(16), pack("<qq", 2, 10_000), pack("<qq", 2, 3))),
    }
)
CHANGES = st.fixed_dictionaries(
    {
        "kind": st.sampled_from((Command.CANCEL_ORDER, Command.REPLACE_ORDER)),
        "account_id": st.sampled_from((1, 2)),
        "order_id": st.integers(0, 12).map(lambda index: 1 << 16 | index),
        "quantity": QUANTITIES,
        "price": PRICES,
        "client_order_id": LABELS,
    }
)
PARAMETERS = st.fixed_dictionaries(
    {
        "kind": st.just(Command.INSTRUMENT_PARAMETER),
        "instrument_id": st.sampled_from((1, 2)),
        "order_type": st.integers(0, 12),
        "quantity": st.sampled_from((0, 1, 2, 5, 33, 999, 1_000, 10_000)),
    }
)
OTHERS = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(tuple(Command)),
        "order_type": st.integers(0, 3),
        "instrument_id": st.integers(0, 2),
        "account_id": st.integers(0, 3),
        "quantity": st.sampled_from((1, 2, 20_261_123, 20_261_124)),
        "price": PRICES,
    }
)
ALONE = st.one_of(NEW_ORDERS, NEW_ORDERS, CHANGES, PARAMETERS, QUOTES, OTHERS).flatmap(
    lambda fields: NUMBERS.map(lambda number: [fields | number])
)
WITH_TERMS = st.tuples(st.one_of(NEW_ORDERS, CHANGES), TERMS).map(list)
COMMANDS = st.lists(st.one_of(ALONE, ALONE, WITH_TERMS), max_size=14).map(
    lambda groups: [fields for group in groups for fields in group]
)


@given(
    fees=st.tuples(st.sampled_from((0, 5, 333, 1_000)), st.sampled_from((0, 7, 1_000))),
    band=st.sampled_from((0, 100, 10_000)),
    commands=COMMANDS,
    after=COMMANDS,
)
@settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
def test_drawn_flow(
    fees: tuple[int, int], band: int, commands: list[dict[str, int]], after: list[dict[str, int]]
) -> None:
    twin = Twin()
    named = {"instrument_id": 1}
    opening = [command(Command.INSTRUMENT_OPEN, **named)]
    for parameter, value in ((7, fees[0]), (8, fees[1]), (5, band)):
        opening.append(
            command(Command.INSTRUMENT_PARAMETER, order_type=parameter, quantity=value, **named)
        )
    for account_id in (1, 2):
        opening.append(command(Command.ACCOUNT_OPEN, account_id=account_id))
        means = {"account_id": account_id, "quantity": 10**10}
        opening.append(command(Command.CASH_DEPOSIT, **means))
        opening.append(command(Command.UNITS_DEPOSIT, **means, **named))
    opening.append(command(Command.REFERENCE_PRICE, price=10_000, **named))
    opening.append(command(Command.PHASE_CHANGE, order_type=Phase.CONTINUOUS))
    twin.apply((0, 1, frame(opening)))
    for offset, drawn in ((1, commands), (2, after)):
        twin.apply((offset, offset, frame([command(**fields) for fields in drawn])))
        twin.check()
    twin.swap()
