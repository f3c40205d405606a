"""Order records of the recorded golden flow: whole, true to the events, and the same for ever."""

from __future__ import annotations

import functools
import hashlib
from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec
import pytest

from exchange import topics
from exchange.audit.order_records import Selection, order_records, stamp
from exchange.audit.record_fields import FIELDS, LEFT_OUT, NOT_KNOWN, OrderRecord
from exchange.messages.frames import (
    GENESIS,
    Command,
    Event,
    event_rows,
    seal_events,
    sound_commands,
)
from exchange.reference.venue import Account, Instrument, Key, Market, Participant, Venue
from matching import Engine
from tests.matching.flows import ACCOUNTS, INSTRUMENTS
from tests.matching.golden import records as golden_flow

MARKET = Market(code="XX", partition=0, currency="EUR")
VENUE = Venue(
    "Test",
    (MARKET,),
    tuple(Instrument(i, "XX", f"I{i}", "EUA", "eu-ets", "allowance") for i in INSTRUMENTS),
    (Participant(10, "Ten"), Participant(20, "Twenty", lei="LEI20"), Participant(30, "Thirty")),
    tuple(Account(a, a % 3 * 10 + 10, "XX", f"A{a}") for a in ACCOUNTS),
    (Key("desk", 20, "participant", 4_294_967_295, ""),),
)
PAGE = Path(__file__).parents[2] / "deploy/docs/records.md"
ROWS_HASH = "dce006012b9b2c8876b12a2bd6d85210"
"""Of all rows; it changes only when a column or the recorded flow does, on purpose."""


@functools.cache
def recorded() -> list[tuple[bytes, bytes, list[bytes], int]]:
    """Each record of the flow: frame, events, sealed parts, engine time."""
    found, engine, chain, first = [], Engine(), GENESIS, 0
    for offset, append_ns, frame in golden_flow():
        output = engine.apply(offset, append_ns, frame)
        parts, chain = seal_events(
            output, input_offset=offset, first_event=first, epoch=0, time_ns=engine.time_ns,
            chain=chain,
        )  # fmt: skip
        first = engine.next_event
        found.append((frame, output, parts, engine.time_ns))
    return found


class GoldenLog:
    """The golden flow as a log, and every event row with its time."""

    def __init__(self, memory_log: Any) -> None:
        self.log = memory_log
        self.rows: list[tuple[int, Any]] = []
        for frame, output, parts, time_ns in recorded():
            memory_log.take(topics.orders(0), [frame])
            memory_log.take(topics.events(0), parts)
            self.rows += [(time_ns, row) for row in event_rows(output)]

    async def records(self, venue: Venue = VENUE, **wanted: int) -> list[OrderRecord]:
        (market,) = venue.market
        return [r async for r in order_records(self.log, venue, market, Selection(**wanted))]


@pytest.fixture
def golden(memory_log: Any) -> GoldenLog:
    return GoldenLog(memory_log)


async def test_every_event_of_an_order_has_a_row_that_tells_it(golden: GoldenLog) -> None:
    rows = await golden.records()
    by_event = {row.sequence_number: row for row in rows}
    assert len(by_event) == len(rows)
    kinds = {
        Event.ACCEPTED: {"NEWO"},
        Event.FILL: {"PARF", "FILL"},
        Event.CANCELLED: {"CAME", "CAMO", "EXPI"},
        Event.REPLACED: {"REME", "REMA"},
        Event.TRIGGERED: {"TRIG"},
    }
    met = set()
    for number, (time_ns, event) in enumerate(golden.rows):
        row = by_event.get(number)
        if event.kind in kinds:
            assert row is not None
            assert row.event in kinds[event.kind]
            assert (row.order_id, row.account) == (event.order_id, event.account_id)
            assert row.date_and_time == stamp(time_ns)
        else:
            assert row is None or (event.kind, row.event) == (Event.REJECTED, "REMO")
        if row is not None:
            met.add(row.event)
    told = {"NEWO", "PARF", "FILL", "CAME", "CAMO", "EXPI", "REME", "REMA", "TRIG", "REMO"}
    assert met == told


async def test_quantities_of_each_order_add_up(golden: GoldenLog) -> None:
    lives: dict[int, list[OrderRecord]] = defaultdict(list)
    for row in await golden.records():
        if row.event != "REMO":
            lives[row.order_id].append(row)
    trades: dict[str, list[OrderRecord]] = defaultdict(list)
    assert len(lives) > 300
    for life in lives.values():
        assert life[0].event == "NEWO"
        assert [row.event for row in life].count("NEWO") == 1
        ends = [row.event in ("FILL", "CAME", "CAMO", "EXPI") for row in life]
        assert not any(ends[:-1])
        traded = 0
        for row in life:
            traded += row.traded_quantity
            assert 0 <= row.displayed_quantity <= row.remaining_quantity
            if row.event not in ("CAME", "CAMO", "EXPI"):
                assert row.remaining_quantity + traded == row.initial_quantity
            if row.transaction_id:
                trades[row.transaction_id].append(row)
    for both in trades.values():
        one, other = both
        assert {one.side, other.side} == {"BUYI", "SELL"}
        assert one.contra_order_id == str(other.order_id)
        assert one.traded_quantity == other.traded_quantity
        assert one.transaction_price == other.transaction_price
        called = one.trade_method == "CALL_TRADE"
        wanted = ["", ""] if called else ["AGRE", "PASV"]
        assert sorted((one.passive_or_aggressive, other.passive_or_aggressive)) == wanted


async def test_rows_are_golden(golden: GoldenLog) -> None:
    digest = hashlib.blake2b(digest_size=16)
    for row in await golden.records():
        digest.update(msgspec.json.encode(row))
    assert digest.hexdigest() == ROWS_HASH


async def test_an_order_an_account_and_a_period_select_exactly_theirs(golden: GoldenLog) -> None:
    rows = await golden.records()
    order_id = next(row.order_id for row in rows if row.event == "FILL")
    assert await golden.records(order_id=order_id) == [r for r in rows if r.order_id == order_id]
    assert await golden.records(account=2) == [r for r in rows if r.account == 2]
    times = sorted({time_ns for time_ns, _ in golden.rows})
    low, high = times[len(times) // 3], times[len(times) // 2]
    inside = [r for r in rows if stamp(low) <= r.date_and_time < stamp(high)]
    assert inside
    assert await golden.records(from_ns=low, to_ns=high) == inside
    assert await golden.records(from_ns=low, to_ns=low) == []


async def test_members_keys_and_what_is_not_known(golden: GoldenLog) -> None:
    rows = await golden.records()
    members = {row.participant: row.member_id for row in rows}
    assert members.pop(0) == NOT_KNOWN  # refused: accounts that nobody has
    assert members == {10: "participant 10", 20: "LEI20", 30: "participant 30"}
    for row in rows:
        assert row.participant in (0, row.account % 3 * 10 + 10)
        assert row.segment_mic == row.instrument_code == row.trading_capacity == NOT_KNOWN
    assert {row.execution_decision for row in rows} >= {NOT_KNOWN, "key desk"}
    assert {row.validity_period for row in rows} >= {"DAVY", "GTCV", "GTDV", "IOCV", "FOKV", "GATV"}
    assert {row.passive_only for row in rows} == {"true", "false"}
    assert {row.order_status for row in rows} == {"ACTI", "SUSP", "FIRM", "INAC"}
    assert any(0 < row.displayed_quantity < row.remaining_quantity for row in rows)
    assert any(row.stop_price for row in rows)
    assert any(row.indicative_volume for row in rows)


async def test_what_the_venue_file_says_of_keys_markets_and_instruments(golden: GoldenLog) -> None:
    (desk,) = VENUE.key
    told = msgspec.structs.replace(
        VENUE,
        market=(msgspec.structs.replace(MARKET, mic="XTST"),),
        instrument=tuple(
            msgspec.structs.replace(item, isin="DE000A3CRGR6") for item in VENUE.instrument
        ),
        key=(
            msgspec.structs.replace(
                desk, trading_capacity="MTCH", direct_electronic_access=True,
                investment_decision="P7", execution_decision="ALGO9", non_executing_broker="LEI9",
            ),
        ),
    )  # fmt: skip
    before, rows = await golden.records(), await golden.records(told)
    assert {row.segment_mic for row in rows} == {"XTST"}
    assert {row.instrument_code for row in rows if row.order_book_code} == {"DE000A3CRGR6"}
    mine = [
        row for row, was in zip(rows, before, strict=True) if was.execution_decision != NOT_KNOWN
    ]
    others = [row for row in rows if row not in mine]
    of_key = lambda row: (  # noqa: E731
        row.trading_capacity, row.direct_electronic_access, row.investment_decision,
        row.execution_decision, row.non_executing_broker,
    )  # fmt: skip
    assert {of_key(row) for row in mine} == {("MTCH", "true", "P7", "ALGO9", "LEI9")}
    assert {of_key(row) for row in others} == {(*[NOT_KNOWN] * 4, "")}


async def test_the_seed_that_drew_is_told_where_it_drew(golden: GoldenLog) -> None:
    seeded = [row for row in await golden.records() if row.auction_seed]
    commands = [
        command
        for frame, *_ in recorded()
        if (found := sound_commands(frame)) is not None
        for command in found
    ]
    drawn = {int(c["quantity"]) for c in commands if c["kind"] == Command.PHASE_CHANGE}
    opening, ending = (
        {int(c[name]) for c in commands if c["kind"] == kind} | {0}
        for kind, name in ((Command.AUCTION_TERMS, "price"), (Command.AUCTION_CLEAR, "quantity"))
    )
    drawn |= {one ^ other for one in opening for other in ending}
    assert {int(row.auction_seed) for row in seeded} <= drawn - {0}
    assert {"CLOSING_CALL"} <= {row.trading_phase for row in seeded}
    of_auctions = [row for row in await golden.records() if row.trade_method == "AUCTION_TRADE"]
    assert {bool(row.auction_seed) for row in of_auctions} == {True}


def test_every_column_is_told_and_every_field_of_the_table_is_accounted_for() -> None:
    assert tuple(field.column for field in FIELDS) == OrderRecord.__struct_fields__
    numbers = [field.number for field in FIELDS if field.number]
    assert sorted([*numbers, *LEFT_OUT]) == list(range(1, 52))


def test_the_page_tells_every_column_and_every_field() -> None:
    page = PAGE.read_text("utf-8")
    for field in FIELDS:
        number = str(field.number or "own")
        assert f"| `{field.column}` | {number} | {field.meaning} |" in page
    for number, why in LEFT_OUT.items():
        assert f"| {number} | {why} |" in page


async def test_who_cancelled_is_told_by_the_session_of_the_cancel(golden: GoldenLog) -> None:
    rows, frames = await golden.records(), [item[0] for item in recorded()]
    met = set()
    for row in rows:
        if row.reason_name not in ("CANCELLED_BY_REQUEST", "CANCELLED_IN_MASS", "QUOTE_REPLACED"):
            continue
        commands = sound_commands(frames[row.orders_offset])
        assert commands is not None
        session = int(commands[row.command_index]["session_id"])
        is_own = session >= 1_000 and (session != 4_294_967_295 or row.participant == 20)
        assert row.event == ("CAME" if is_own else "CAMO")
        met.add((session, row.event))
    assert {(0, "CAMO"), (4_294_967_295, "CAME"), (4_294_967_295, "CAMO")} <= met
