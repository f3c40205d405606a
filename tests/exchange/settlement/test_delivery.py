from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.messages.frames import (
    GENESIS,
    RECORD_SIZE,
    Command,
    EventFollower,
    EventPart,
    Instruction,
    Side,
    build_commands,
    command,
    notes,
    seal_events,
)
from exchange.messages.settlement import (
    AccountOpened,
    CashMoved,
    DayTurned,
    InstructionPassed,
    SettlementItem,
    TradeSettled,
    UnitsDeposited,
    UnitsReleased,
)
from exchange.settlement.delivery import DeliveryError, settle_part
from matching import Engine
from tests.books_venue import CEA_2023, HUADONG, NORTHERN, cross, opening, order, release


def run(*frames: list[bytes]) -> list[tuple[int, bytes]]:
    """(first event, event records) of each frame through the real engine."""
    engine, answers = Engine(), []
    for offset, records in enumerate(frames):
        first = engine.next_event
        frame = build_commands(records, writer=1, batch=offset, time_ns=1)
        answers.append((first, engine.apply(offset, 1, frame)))
    return answers


def parts_of(first: int, records: bytes, cuts: tuple[int, ...] = ()) -> list[EventPart]:
    """Parts as a follower gives them, cut before these events."""
    events = EventFollower(next_event=first)
    whole = events.accept(
        0,
        seal_events(records, input_offset=0, first_event=first, epoch=0, time_ns=5, chain=GENESIS)[
            0
        ][0],
    )
    assert whole is not None
    ends = [*cuts, len(whole.events)]
    return [
        whole._replace(
            part=number,
            is_last=number == len(ends) - 1,
            first_event=first + start,
            body=whole.events[start:end].tobytes(),
        )
        for number, (start, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True))
    ]


def settle(parts: list[EventPart]) -> list[SettlementItem]:
    items: list[SettlementItem] = []
    carry = b""
    for part in parts:
        settled = settle_part(part, carry)
        carry = settled.carry
        items += settled.items
    assert carry == b""
    return items


def units(account: int, quantity: int) -> bytes:
    return command(
        Command.UNITS_DEPOSIT,
        account_id=account,
        instrument_id=CEA_2023,
        quantity=quantity,
        order_id=77,
    )


DAY = [
    units(NORTHERN, 1_000),
    *cross(NORTHERN, HUADONG, CEA_2023, 100, 8_000),
    *cross(NORTHERN, HUADONG, CEA_2023, 50, 8_001),
    command(
        Command.INSTRUCTION,
        order_type=Instruction.CANCEL,
        account_id=HUADONG,
        instrument_id=CEA_2023,
        quantity=5,
        price=6,
        client_order_id=b"label",
    ),
    *notes("somebody 某人\n" + "for a long reason " * 4),
    command(Command.CASH_WITHDRAW, account_id=NORTHERN, quantity=10, order_id=4),
    release(HUADONG, CEA_2023, 20, 8),
    order(NORTHERN, CEA_2023, Side.BUY, 0, 8_000),  # refused: settles nothing
]


def test_what_a_day_settles() -> None:
    (start, opened), (first, records) = run(opening(), DAY)
    items = settle(parts_of(start, opened))
    assert items[:2] == [AccountOpened(201, 201), CashMoved(201, 10**12, 201)]
    items = settle(parts_of(first, records))
    assert items[0] == UnitsDeposited(NORTHERN, CEA_2023, 1_000, 77)
    trade, second = items[1:3]
    assert trade == TradeSettled(
        first + 3, CEA_2023, 100, 8_000, HUADONG, NORTHERN, 400, 240, 1 << 16 | 2, 1 << 16 | 1
    )
    assert isinstance(second, TradeSettled)
    assert (second.buyer_account, second.seller_account, second.price) == (202, 201, 8_001)
    assert items[3] == InstructionPassed(
        1 << 16 | 5,
        Instruction.CANCEL,
        HUADONG,
        CEA_2023,
        5,
        6,
        "label",
        "somebody 某人\n" + "for a long reason " * 4,
    )
    assert items[4:] == [
        CashMoved(NORTHERN, -10, 4),
        UnitsReleased(HUADONG, CEA_2023, 20, 8),
    ]


def test_the_maker_may_be_the_buyer() -> None:
    selling = [
        units(NORTHERN, 10),
        order(HUADONG, CEA_2023, Side.BUY, 4, 9_000),
        order(NORTHERN, CEA_2023, Side.SELL, 4, 8_900),
    ]
    trade = settle(parts_of(*run(opening(), selling)[1]))[1]
    assert isinstance(trade, TradeSettled)
    assert (trade.buyer_account, trade.seller_account, trade.price) == (HUADONG, NORTHERN, 9_000)
    assert trade.buyer_order_id < trade.seller_order_id
    assert (trade.buyer_fee, trade.seller_fee) == (11, 18)  # 36,000: maker 3, taker 5 bp


def test_a_day_turns() -> None:
    closing = [
        command(Command.PHASE_CHANGE, order_type=0),
        command(Command.DAY_ROLL, quantity=20_261_123),
    ]
    assert settle(parts_of(*run(opening(), closing)[1])) == [DayTurned(20_261_123)]


@given(st.data())
def test_a_group_may_be_cut_anywhere(data: st.DataObject) -> None:
    first, records = run(opening(), DAY)[1]
    whole = settle(parts_of(first, records))
    count = len(records) // RECORD_SIZE
    cuts = data.draw(st.sets(st.integers(1, count - 1)).map(sorted).map(tuple))
    assert settle(parts_of(first, records, cuts)) == whole


def test_bytes_that_are_no_text_become_some() -> None:
    odd = [
        command(
            Command.INSTRUCTION,
            order_type=Instruction.CANCEL,
            account_id=HUADONG,
            instrument_id=CEA_2023,
            client_order_id=b"a\0b\xff",
        ),
        *notes("x\0y"),
        *notes("z" * 800),
    ]
    item = settle(parts_of(*run(opening(), odd)[1]))[0]
    assert isinstance(item, InstructionPassed)
    assert item.label == "a\ufffdb\ufffd"
    assert item.notes.startswith("x\ufffdy\ufffd")
    assert len(item.notes) == 400  # NOTE_BYTES_MAX


def broken(records: bytes, change: Any) -> list[EventPart]:
    part = parts_of(0, records)[0]
    events = part.events.copy()
    change(events)
    return [part._replace(body=events.tobytes())]


def test_a_broken_trade_stops_settlement() -> None:
    records = run(opening(), DAY)[1][1]

    def set_field(name: str, value: int) -> Any:
        def change(events: Any) -> None:
            events[name][3] = value

        return change

    for change, words in (
        (set_field("kind", 1), "without its other side"),
        (set_field("order_type", 9), "without its other side"),
        (set_field("quantity", 99), "differ in quantity"),
        (set_field("price", 1), "differ in price"),
        (set_field("instrument_id", 1), "differ in instrument_id"),
        (set_field("client_order_id", b"?"), "another contra order"),
    ):
        with pytest.raises(DeliveryError, match=words):
            settle(broken(records, change))
    # a maker's fill with nothing after it, in the last part
    with pytest.raises(DeliveryError, match="without its other side"):
        settle(parts_of(0, records[: 4 * RECORD_SIZE]))
