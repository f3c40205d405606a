"""The price of a call: textbook books for each rule, and random books against the definition."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from matching import compiled
from matching.layout import Command, Event, OrderType, Phase, Side, TimeInForce
from matching.reference import Engine as ReferenceEngine
from matching.reference.call_price import NOTHING_CROSSES, CallPrice, call_price
from tests.matching.frames import command, events, frame

Levels = dict[int, int]
Book = tuple[Levels, Levels, int]  # bids, asks, reference

TEXTBOOK: dict[str, tuple[Book, tuple[int, int, int]]] = {
    "empty": (({}, {}, 100), (0, 0, 0)),
    "one side only": (({100: 5}, {}, 100), (0, 0, 0)),
    "not crossed": (({99: 5}, {100: 5}, 100), (0, 0, 0)),
    "touching": (({100: 5}, {100: 8}, 90), (100, 5, -3)),
    "greatest volume": (({102: 10, 101: 20, 100: 5}, {99: 12, 101: 15, 102: 30}, 99), (101, 27, 3)),
    "least surplus": (({103: 10, 101: 4}, {100: 10, 103: 1}, 103), (103, 10, -1)),
    "surplus to buy: the highest": (({103: 30, 100: 0}, {100: 10, 102: 0}, 100), (103, 10, 20)),
    "surplus to sell: the lowest": (({103: 10, 101: 0}, {100: 30}, 103), (100, 10, -20)),
    "none: nearest to the reference": (({105: 10}, {100: 10, 106: 1}, 104), (105, 10, 0)),
    "none: reference below all": (({105: 10}, {100: 10}, 1), (100, 10, 0)),
    "none: no reference": (({105: 10}, {100: 10}, 0), (100, 10, 0)),
    "none: reference above all": (({105: 10}, {100: 10}, 999), (105, 10, 0)),
    "both near: the higher": (({104: 10}, {100: 10}, 102), (104, 10, 0)),
    "surplus on both sides: nearest": (({104: 10, 100: 5}, {100: 10, 104: 5}, 101), (100, 10, 5)),
    "the same, reference above": (({104: 10, 100: 5}, {100: 10, 104: 5}, 103), (104, 10, -5)),
    "the same, between": (({104: 10, 100: 5}, {100: 10, 104: 5}, 102), (104, 10, -5)),
    "one limit far beyond": (({10**9: 7}, {1: 7}, 5), (1, 7, 0)),
}


def by_definition(bids: Levels, asks: Levels, reference: int) -> tuple[int, int, int]:
    """The rules as they stand in `RULES.md`, limit by limit."""

    def volume(price: int) -> int:
        return min(buys(price), sells(price))

    def buys(price: int) -> int:
        return sum(tonnes for limit, tonnes in bids.items() if limit >= price)

    def sells(price: int) -> int:
        return sum(tonnes for limit, tonnes in asks.items() if limit <= price)

    def surplus(price: int) -> int:
        return buys(price) - sells(price)

    limits = set(bids) | set(asks)
    limits = {p for p in limits if volume(p) == max(map(volume, limits))}
    if not limits or volume(min(limits)) == 0:
        return 0, 0, 0
    least = min(abs(surplus(p)) for p in limits)
    limits = {p for p in limits if abs(surplus(p)) == least}
    if min(map(surplus, limits)) > 0:
        price = max(limits)
    elif max(map(surplus, limits)) < 0:
        price = min(limits)
    else:
        distance = min(abs(p - reference) for p in limits)
        price = max(p for p in limits if abs(p - reference) == distance)
    return price, volume(price), surplus(price)


@pytest.mark.parametrize("name", TEXTBOOK)
def test_textbook(name: str) -> None:
    book, expected = TEXTBOOK[name]
    assert call_price(*book) == expected == by_definition(*book)


PRICES = st.integers(98, 108)
LEVELS = st.dictionaries(PRICES, st.sampled_from((1, 2, 3, 5, 10)), max_size=7)


@given(bids=LEVELS, asks=LEVELS, reference=st.sampled_from((0, 97, 100, 102, 103, 105, 110)))
@example(bids={104: 10, 100: 5}, asks={100: 10, 104: 5}, reference=102)
@settings(max_examples=500, deadline=None)
def test_random_books(bids: Levels, asks: Levels, reference: int) -> None:
    assert call_price(bids, asks, reference) == by_definition(bids, asks, reference)


ENOUGH = {"quantity": 10**9}


@settings(max_examples=150, deadline=None)
@given(bids=LEVELS, asks=LEVELS, reference=st.sampled_from((1, 97, 100, 102, 103, 105, 110)))
@example(bids={104: 10, 100: 5}, asks={100: 10, 104: 5}, reference=102)
@example(bids={104: 10}, asks={100: 10}, reference=102)
def test_both_engines_on_random_books(bids: Levels, asks: Levels, reference: int) -> None:
    for engine in (ReferenceEngine(), compiled.Engine()):
        heard = events(engine.apply(0, 0, frame(_call(bids, asks, reference))))
        said = [(e.price, e.quantity, e.value) for e in heard if e.kind == Event.INDICATIVE]
        expected = by_definition(bids, asks, reference)
        assert said == ([expected] if expected[1] else [])
        end = command(Command.PHASE_CHANGE, instrument_id=1, order_type=Phase.CONTINUOUS)
        heard = events(engine.apply(1, 0, frame([end])))
        fills = [e for e in heard if e.kind == Event.FILL]
        assert sum(e.quantity for e in fills) == 2 * expected[1]
        assert {e.price for e in fills} <= {expected[0]}
        assert engine.self_check() == []


def _call(bids: Levels, asks: Levels, reference: int) -> list[bytes]:
    """A market in its opening call; each level is an order of 1 tonne and one of the rest."""
    named: dict[str, int] = {"instrument_id": 1}
    commands = [
        command(Command.INSTRUMENT_OPEN, **named),
        command(Command.REFERENCE_PRICE, price=reference, **named),
        command(Command.PHASE_CHANGE, order_type=Phase.OPENING_CALL, **named),
        command(Command.ACCOUNT_OPEN, account_id=1),
        command(Command.CASH_DEPOSIT, account_id=1, **ENOUGH),
        command(Command.UNITS_DEPOSIT, account_id=1, **named, **ENOUGH),
    ]
    for side, levels in ((Side.BUY, bids), (Side.SELL, asks)):
        commands += [
            command(
                Command.NEW_ORDER,
                account_id=1,
                side=side,
                order_type=OrderType.LIMIT,
                time_in_force=TimeInForce.GTC,
                quantity=quantity,
                price=price,
                **named,
            )
            for price, tonnes in levels.items()
            for quantity in (1, tonnes - 1)
            if quantity
        ]
    return [*commands, command(Command.CLOCK_TICK)]


def test_nothing_that_crosses_is_left() -> None:
    """At the price, what one side has too much of cannot trade with anything that remains."""
    random = Random(4)
    for _ in range(300):
        bids, asks = (
            {random.randint(90, 110): random.randint(1, 9) for _ in range(6)} for _ in range(2)
        )
        found = call_price(bids, asks, 100)
        if found == NOTHING_CROSSES:
            assert max(bids) < min(asks)
            continue
        left = [_take(levels, found, is_bid) for levels, is_bid in ((bids, True), (asks, False))]
        assert not left[0] or not left[1] or max(left[0]) < min(left[1])


def _take(levels: Levels, found: CallPrice, is_bid: bool) -> Levels:
    """What remains of a side when the volume is taken from its best prices."""
    left, volume = {}, found.volume
    for price in sorted(levels, reverse=is_bid):
        taken = min(volume, levels[price])
        volume -= taken
        if taken:
            assert price >= found.price if is_bid else price <= found.price
        if levels[price] > taken:
            left[price] = levels[price] - taken
    assert volume == 0
    return left
