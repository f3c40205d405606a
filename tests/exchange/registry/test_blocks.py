from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.messages.registry import Range
from exchange.registry import serial_text
from exchange.registry.blocks import (
    Block,
    HistoryKind,
    Position,
    State,
    node_of,
    nodes_around,
    split,
    untiled,
)
from exchange.registry.holdings import Holdings, place_of
from exchange.registry.places import NotInMemoryError
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


@given(st.data())
def test_whoever_looks_for_a_serial_meets_every_range_around_it(data: st.DataObject) -> None:
    end = data.draw(st.integers(1, 2**62))
    first = data.draw(st.integers(1, end))
    last = data.draw(st.integers(first, end))
    node = node_of(first, last)
    power = node & -node
    assert first <= node <= last
    assert first > (node // (2 * power)) * 2 * power  # none in the range is divided by more
    assert last < (node // (2 * power) + 1) * 2 * power
    within = data.draw(st.integers(first, last))
    nodes = nodes_around(within, data.draw(st.integers(within, last)), end)
    assert node in nodes
    assert len(nodes) <= 63
    assert nodes == sorted(set(nodes), key=lambda number: number & -number)
    assert max(nodes) <= end


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
    loaded = load(table, 99)
    assert loaded.totals == holdings.totals
    assert loaded.blocks == holdings.blocks
    assert loaded.issued == holdings.issued
    for place in list(holdings.totals):
        read(loaded, table, place, None, dice.randrange(1, 5))
    for place, quantity in list(holdings.totals.items()):
        assert [
            b[1:4] for b in holdings.move(place, 9, Position.REGISTRY, quantity, cause(99))
        ] == [b[1:4] for b in loaded.move(place, 9, Position.REGISTRY, quantity, cause(99))]


@given(st.integers(0, 2**32))
def test_blocks_read_when_they_are_wanted_are_as_if_they_had_always_been_there(seed: int) -> None:
    """Whatever was let go, wherever a batch ends, and however few are read at once."""
    dice = random.Random(seed)
    whole, lazy = Holdings(RegistryPosition()), Holdings(RegistryPosition())
    books: tuple[dict[int, Block], dict[int, Block]] = ({}, {})
    for number in range(dice.randrange(1, 60)):
        begin, page = dice.randrange(2**32), dice.randrange(1, 4)
        act(whole, random.Random(begin), number)
        act(lazy, random.Random(begin), number, lambda *want: read(lazy, books[1], *want, page))  # noqa: B023 - used at once
        assert lazy.totals == whole.totals
        assert lazy.changes.history == whole.changes.history
        if dice.random() < 0.4:
            assert write(lazy, books[1]) == write(whole, books[0])
            assert books[0] == books[1]
            lazy.places.let_go(dice.choice((0, 3, 10)), number + 1)
            if dice.random() < 0.1:
                after = RegistryPosition(block_id=lazy.block_id, sequence=lazy.sequence)
                serials, lazy = lazy.next_serial, load(books[1], number + 1, after)
                lazy.next_serial = serials
    assert (lazy.blocks, lazy.issued) == (whole.blocks, whole.issued)


def test_blocks_that_nobody_read_cannot_be_taken() -> None:
    place = Place(1, Position.REGISTRY, 11)
    blocks = [
        Block(n, "CEA", n * 10, n * 10 + 9, 11, 2024, 1, Position.REGISTRY, State.HELD, n)
        for n in range(1, 5)
    ]
    holdings = load({block.block_id: block for block in blocks}, 5)
    assert (holdings.held(*place), holdings.blocks, holdings.places.in_memory) == (40, 4, 0)
    for ask in (holdings.oldest, holdings.lying, holdings.vintages):
        with pytest.raises(NotInMemoryError, match="40 t in the books"):
            ask(place)
    read(holdings, {block.block_id: block for block in blocks}, place, 11, 1)
    assert holdings.places.in_memory == 2
    assert holdings.places.lacking(place, 20) is None
    assert holdings.places.lacking(place, 41) is None  # more than there are: refused anyway
    gap = holdings.places.lacking(place, 21)
    assert gap == (place, (2, 29), 5)
    with pytest.raises(NotInMemoryError, match="20 t are here, 20 t in the books"):
        holdings.move(place, 2, Position.REGISTRY, 21, cause(6))
    assert [b.block_id for b in holdings.move(place, 2, Position.REGISTRY, 20, cause(6))] == [1, 2]
    for wrong in ([], blocks[:3]):
        with pytest.raises(ValueError, match="were read of the 20 t"):
            holdings.places.take_up(gap, wrong)
    other = Place(2, Position.REGISTRY, 11)
    assert [b.block_id for b in holdings.lying(other)] == [1, 2]  # all of it came just now
    holdings.places.let_go(0, 7)
    assert holdings.places.lacking(other, 1) == (other, (-1, -1), 7)
    assert holdings.places.lacking(place, None) == gap  # nothing of it was here
    assert holdings.places.in_memory == 0


def load(
    table: dict[int, Block],
    until: int,
    position: RegistryPosition = RegistryPosition(),  # noqa: B008 - a tuple
) -> Holdings:
    holdings = Holdings(position)
    places: dict[Place, list[int]] = defaultdict(list)
    for block in table.values():
        holdings.load_issued(block.instrument_id, block.vintage, block.quantity)
        if block.state == State.HELD:
            places[place_of(block)].append(block.quantity)
    for place, tonnes in places.items():
        holdings.places.leave(place, sum(tonnes), len(tonnes), until)
    return holdings


def read(
    holdings: Holdings, table: dict[int, Block], place: Place, tonnes: int | None, page: int
) -> None:
    while (gap := holdings.places.lacking(place, tonnes)) is not None:
        found = sorted(
            (block.acquired, block.first_serial, block)
            for block in table.values()
            if block.state == State.HELD
            and place_of(block) == place
            and (block.acquired, block.first_serial) > gap.after
            and block.acquired < gap.until
        )
        holdings.places.take_up(gap, [block for *_, block in found[:page]])


def act(
    holdings: Holdings,
    dice: random.Random,
    number: int,
    want: Callable[[Place, int | None], None] = lambda place, tonnes: None,
) -> None:
    places = sorted(holdings.totals)
    if not places or dice.random() < 0.2:
        programme, instrument = dice.choice([("CEA", 11), ("CEA", 12), ("CCER", 21)])
        vintage = dice.choice((2023, 2024))
        holdings.issue(
            programme, instrument, vintage, dice.randrange(1, 4), dice.randrange(1, 90),
            cause(number),
        )  # fmt: skip
        return
    source = dice.choice(places)
    quantity = dice.randrange(1, holdings.totals[source] + 1)
    if dice.random() < 0.1:
        want(source, None)
        vintages = holdings.vintages(source)
        vintage, most = dice.choice(sorted(vintages.items()))
        holdings.retire(
            source, State.SURRENDERED, dice.randrange(1, most + 1), cause(number),
            vintages=frozenset({vintage}),
        )  # fmt: skip
        return
    want(source, quantity)
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
