from __future__ import annotations

import random
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.messages.registry import Range
from exchange.registry import serial_text
from exchange.registry.blocks import Block, HistoryKind, Position, State, split, untiled
from exchange.registry.holdings import Holdings, place_of
from exchange.registry.rows import Cause, Place, RegistryPosition

BLOCK = Block(1, "CEA", 101, 200, 11, 2024, 201, Position.REGISTRY, State.HELD, 0)


def test_a_serial_as_people_read_it() -> None:
    assert serial_text(BLOCK) == "CEA-000000000101..000000000200"
    assert serial_text(Range(1, "CCER", 1, 61_728)) == "CCER-000000000001..000000061728"


@given(st.integers(1, 99))
def test_a_split_keeps_every_tonne(quantity: int) -> None:
    left, right = split(BLOCK, quantity, 2, 3)
    assert (left.block_id, right.block_id) == (2, 3)
    assert left.quantity == quantity
    assert (left.first_serial, right.last_serial) == (101, 200)
    assert left.last_serial + 1 == right.first_serial
    assert left[4:] == right[4:] == BLOCK[4:]


@pytest.mark.parametrize("quantity", [0, 100, -1, 101])
def test_a_split_leaves_two_blocks(quantity: int) -> None:
    with pytest.raises(ValueError, match="cannot split"):
        split(BLOCK, quantity, 2, 3)


def test_gaps_and_overlaps_are_named() -> None:
    whole = BLOCK._replace(first_serial=1)
    assert untiled([whole], {"CEA": 200}) == []
    assert "a gap, expected 1" in untiled([BLOCK], {"CEA": 200})[0]
    twice = [whole, BLOCK._replace(block_id=2)]
    assert "an overlap, expected 201" in untiled(twice, {"CEA": 200})[0]
    assert untiled([whole], {"CEA": 201}) == ["CEA: blocks end at 200, issued were 201"]


def cause(number: int) -> Cause:
    return Cause(number, number, "TEST", number)


def test_units_leave_in_the_order_in_which_they_came() -> None:
    holdings = Holdings(RegistryPosition())
    holdings.issue("CEA", 11, 2024, 1, 100, cause(1))
    holdings.issue("CEA", 11, 2024, 1, 100, cause(2))
    first = holdings.move(Place(1, Position.REGISTRY, 11), 2, Position.REGISTRY, 150, cause(3))
    assert [(b.first_serial, b.last_serial) for b in first] == [(1, 100), (101, 150)]
    back = holdings.move(Place(2, Position.REGISTRY, 11), 1, Position.REGISTRY, 10, cause(4))
    assert [(b.first_serial, b.last_serial) for b in back] == [(1, 10)]
    # 151..200 came with cause 2, 1..10 only now: the older leave first
    last = holdings.retire(Place(1, Position.REGISTRY, 11), State.CANCELLED, 55, cause(5))
    assert [(b.first_serial, b.last_serial) for b in last] == [(151, 200), (1, 5)]


def test_what_is_not_there_cannot_leave() -> None:
    holdings = Holdings(RegistryPosition())
    holdings.issue("CEA", 11, 2024, 1, 100, cause(1))
    for quantity in (0, 101):
        with pytest.raises(ValueError, match="are not at"):
            holdings.move(Place(1, Position.REGISTRY, 11), 2, Position.REGISTRY, quantity, cause(2))


@given(st.integers(0, 2**32))
def test_changes_replay_to_the_same_blocks(seed: int) -> None:
    """Applying the noted changes to a table gives the state, whatever the batches."""
    dice = random.Random(seed)
    holdings, table = Holdings(RegistryPosition()), {}
    sequences = []
    for number in range(dice.randrange(1, 40)):
        act(holdings, dice, number)
        if dice.random() < 0.4:
            sequences += write(holdings, table)
    sequences += write(holdings, table)
    assert sequences == list(range(1, len(sequences) + 1))
    issued = {name: serial - 1 for name, serial in holdings.next_serial.items()}
    assert untiled(table.values(), issued) == []
    totals: dict[Place, int] = defaultdict(int)
    for block in table.values():
        if block.state == State.HELD:
            totals[place_of(block)] += block.quantity
    assert totals == holdings.totals
    assert holdings.blocks == sum(block.state == State.HELD for block in table.values())
    loaded = Holdings(RegistryPosition())
    for block in table.values():
        loaded.load_block(block)
    assert loaded.totals == holdings.totals
    assert loaded.issued == holdings.issued
    for place, quantity in list(holdings.totals.items()):
        assert [
            b[1:4] for b in holdings.move(place, 9, Position.REGISTRY, quantity, cause(99))
        ] == [b[1:4] for b in loaded.move(place, 9, Position.REGISTRY, quantity, cause(99))]


def act(holdings: Holdings, dice: random.Random, number: int) -> None:
    places = sorted(holdings.totals)
    if not places or dice.random() < 0.2:
        programme, instrument = dice.choice([("CEA", 11), ("CEA", 12), ("CCER", 21)])
        holdings.issue(
            programme, instrument, 2024, dice.randrange(1, 4), dice.randrange(1, 90), cause(number)
        )
        return
    source = dice.choice(places)
    quantity = dice.randrange(1, holdings.totals[source] + 1)
    if dice.random() < 0.15:
        state = dice.choice([State.SURRENDERED, State.CANCELLED])
        holdings.retire(source, state, quantity, cause(number))
    else:
        position = dice.choice(list(Position)[1:])
        lender = dice.randrange(7, 9) if position == Position.PLEDGED else 0
        account = dice.randrange(1, 4)
        holdings.move(source, account, position, quantity, cause(number), lender=lender)


def write(holdings: Holdings, table: dict[int, Block]) -> list[int]:
    changes = holdings.take_changes()
    for block_id in changes.gone:
        del table[block_id]
    for block_id, block in changes.moved.items():
        assert table[block_id][1:4] == block[1:4]  # a range never changes
        table[block_id] = block
    for block_id, block in changes.new.items():
        assert block_id not in table
        table[block_id] = block
    kinds = {row[3] for row in changes.history}
    assert kinds <= set(HistoryKind)
    return [int(row[0]) for row in changes.history]
