"""Commands and events as JSON: every byte comes back, every fault is named."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.messages.frames import HEADER_SIZE, RECORD_SIZE, Command, Event, build_commands
from exchange.messages.lines import (
    InputRecord,
    LineError,
    command_line,
    event_lines,
    limits_line,
    read_line,
    record_fields,
    record_of,
)
from exchange.messages.shapes import COMMAND_ROWS, EVENT_ROWS, command_shape, event_shape
from matching.layout import COMMAND, EVENT
from matching.protocol import Limits
from tests.matching.flows import Flow, broken_frames, everything
from tests.matching.frames import RECORD, command, frame, note_text

KINDS = [(Command, kind) for kind in (*Command, 99)] + [(Event, kind) for kind in (*Event, 99)]
IDS = [f"{kinds.__name__}-{int(kind)}" for kinds, kind in KINDS]
SPARSE = st.dictionaries(st.integers(1, RECORD_SIZE - 1), st.integers(0, 255), max_size=9)
DENSE = st.binary(min_size=RECORD_SIZE, max_size=RECORD_SIZE)


def said(line: bytes) -> Any:
    return json.loads(line)


def assert_comes_back(record: bytes, kinds: Any) -> None:
    assert record_of(said(json.dumps(record_fields(record, kinds)).encode()), kinds) == record


def record_with(kind: int, changes: dict[int, int]) -> bytes:
    record = bytearray(RECORD_SIZE)
    for place, byte in changes.items():
        record[place] = byte
    record[0] = kind
    return bytes(record)


@given(which=st.sampled_from(KINDS), dense=DENSE, sparse=SPARSE)
def test_any_record_comes_back_from_json(
    which: tuple[Any, int], dense: bytes, sparse: dict[int, int]
) -> None:
    kinds, kind = which
    assert_comes_back(bytes([kind]) + dense[1:], kinds)
    assert_comes_back(record_with(kind, sparse), kinds)


@pytest.mark.parametrize(("kinds", "kind"), KINDS, ids=IDS)
def test_each_byte_of_each_kind_comes_back(kinds: Any, kind: int) -> None:
    for place in range(RECORD_SIZE):
        for byte in (0, 1, 2, 65, 128, 255):
            assert_comes_back(record_with(kind, {place: byte}), kinds)
    assert_comes_back(bytes([kind]) + b"\xff" * (RECORD_SIZE - 1), kinds)


@pytest.mark.parametrize(("kinds", "kind"), KINDS, ids=IDS)
def test_every_byte_has_one_name(kinds: Any, kind: int) -> None:
    shape = command_shape(kind) if kinds is Command else event_shape(kind)
    assert shape.record.size == RECORD_SIZE
    assert sorted(part.place for part in shape.parts) == list(range(1, len(shape.parts) + 1))
    names = [part.name for part in shape.parts]
    assert len(set(names)) == len(names)
    assert not set(names) & {"kind", "offset", "number", "append_ns", "time_ns", "frame", "hex"}


def test_every_kind_has_a_row() -> None:
    """Without one it could be read, but by the names of the layout."""
    assert set(COMMAND_ROWS) == set(Command)
    assert set(EVENT_ROWS) == set(Event)


def test_an_account_parameter_of_one_instrument_names_it() -> None:
    """INSTRUMENT_HOLDING_MAX needs it, the others name none: shown only where it is not 0."""
    for shape in (command_shape(Command.ACCOUNT_PARAMETER), event_shape(Event.ACCOUNT_CHANGED)):
        own = {part.name: part.is_shown for part in shape.parts if part.is_own}
        assert own == {
            "account_id": True,
            "instrument_id": False,
            "account_parameter": True,
            "quantity": True,
        }


def test_the_shape_of_an_unknown_kind_is_the_layout() -> None:
    for shape, layout in ((command_shape(99), COMMAND), (event_shape(99), EVENT)):
        assert ("kind", *(part.name for part in shape.parts)) == layout.names


def test_an_order_reads_as_it_is_written() -> None:
    written = {
        "kind": "NEW_ORDER",
        "account_id": 101,
        "instrument_id": 1,
        "side": "BUY",
        "order_type": "LIMIT",
        "time_in_force": "GTC",
        "quantity": 5,
        "price": 7125,
        "client_order_id": "a1",
        "session_id": 3,
        "ref": 7,
    }
    record = record_of(written, Command)
    fields = {name: value for name, value in written.items() if name != "kind"}
    fields |= {"side": 1, "order_type": 2, "time_in_force": 1, "client_order_id": b"a1"}
    assert record == command(Command.NEW_ORDER, **fields)
    assert record_fields(record, Command) == written
    numbers = written | {"kind": 1, "side": 1, "order_type": 2, "time_in_force": 1}
    assert record_of(numbers, Command) == record


def test_a_fill_shows_contra_order_and_fee() -> None:
    tail = (77 << 16).to_bytes(8, "little") + (-3).to_bytes(8, "little", signed=True)
    row = (Event.FILL, 2, 1, 2, 1, 0, 101, 4, 0, 10, 7125, 5 << 16, tail)
    (line,) = event_lines(6, 41, RECORD.pack(*row))
    assert said(line) == {
        "offset": 6, "number": 41, "command_index": 4, "kind": "FILL", "account_id": 101,
        "instrument_id": 1, "side": "SELL", "order_id": 5 << 16, "contra_order_id": 77 << 16,
        "liquidity": "MAKER", "method": "BOOK_TRADE", "order_status": "FILLED",
        "quantity": 10, "price": 7125, "leaves": 0, "fee": -3,
    }  # fmt: skip


def test_a_note_is_its_text() -> None:
    record = command(Command.NOTE, **note_text(b"for the year 2026, and so on, to the end"))
    fields = {"kind": "NOTE", "text": "for the year 2026, and so on, to the end"}
    assert record_fields(record, Command) == fields
    half = command(Command.NOTE, **note_text("für".encode()[:2]))
    assert record_fields(half, Command) == {"kind": "NOTE", "text_hex": "66c3"}


PACKED = [
    ({"kind": "NEW_ORDER", "instructions": ["POST_ONLY", "NON_PERSISTENT"]}, {"order_id": 5}),
    ({"kind": "NEW_ORDER", "instructions": ["CANCEL_BOTH"]}, {"order_id": 0x30}),
    ({"kind": "NEW_ORDER", "instructions": 0x50}, {"order_id": 0x50}),
    ({"kind": "NEW_ORDER", "instructions": 256}, {"order_id": 256}),
    (
        {"kind": "ORDER_TERMS", "stop_price": 5, "display_quantity": 6, "minimum_quantity": 7},
        {"ref": 5, "quantity": 6, "price": 7},
    ),
    ({"kind": "PHASE_CHANGE", "phase": "HALT", "seed": 9}, {"order_type": 2, "quantity": 9}),
    (
        {"kind": "QUOTE", "buy_price": 9, "sell_quantity": 2**40, "sell_price": 10,
         "instructions": ["POST_ONLY"]},
        {"price": 9, "order_type": 1,
         "client_order_id": (2**40).to_bytes(8, "little") + (10).to_bytes(8, "little")},
    ),
    ({"kind": "AUCTION_TERMS", "closes_ns": 2**62}, {"quantity": 2**62}),
    ({"kind": "AUCTION_TERMS", "seed": -7}, {"price": -7}),
    (
        {"kind": "AUCTION_OPEN", "flags": ["CANCEL_IF_SHORT", "IN_BAND"], "carry": 4,
         "bid_max_bp": 2_000, "bid_multiple": 500, "tie_break": "AT_RANDOM"},
        {"order_id": 17 | 4 << 8 | 2_000 << 16 | 500 << 32, "time_in_force": 2},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "slots"), PACKED)
def test_what_is_packed_has_names(fields: dict[str, Any], slots: dict[str, Any]) -> None:
    record = command(Command[fields["kind"]], **slots)
    assert record_of(fields, Command) == record
    assert record_fields(record, Command).items() >= {**fields}.items()


@pytest.mark.parametrize("seed", range(3))
def test_a_frame_comes_back_from_its_line(seed: int) -> None:
    flow = Flow(seed)
    records = [*flow.opening(), *flow.frames(60, everything), *broken_frames(flow, 60)]
    unsound = 0
    for _, append_ns, data in records:
        line = command_line(append_ns, data)
        again = read_line(line, 0)
        assert isinstance(again, InputRecord)
        assert again.append_ns == append_ns
        if "hex" in said(line):
            unsound += 1
            assert again.frame == data
        else:
            time_ns = said(line)["time_ns"]
            assert again.frame[HEADER_SIZE:] == data[HEADER_SIZE:]
            assert again.frame == build_commands(
                [again.frame[HEADER_SIZE:][at : at + 64] for at in range(0, len(data) - 80, 64)],
                writer=0, batch=0, time_ns=time_ns,
            )  # fmt: skip
            assert data[16:24] == time_ns.to_bytes(8, "little", signed=True)
    assert unsound > 30


def test_times_follow_the_line_before() -> None:
    tick = b'{"kind": "CLOCK_TICK"'
    for text, append_ns, time_ns in (
        (b"}", 5, 5),
        (b', "time_ns": 7}', 7, 7),
        (b', "append_ns": 9}', 9, 9),
        (b', "append_ns": 9, "time_ns": -8}', 9, -8),
    ):
        record = read_line(tick + text, 5)
        assert isinstance(record, InputRecord)
        assert record == (
            append_ns,
            frame([command(Command.CLOCK_TICK)], time_ns, last=1, origin=0),
        )


def test_limits_come_back() -> None:
    limits = Limits(orders_max=3)
    assert read_line(limits_line(limits), 0) == limits
    assert read_line(b'{"limits": {}}', 0) == Limits()


BAD = {
    "": "no JSON: Expecting value at character 1",
    "{": "no JSON",
    "[1]": r"\[1\] is no object",
    '{"kind": "CLOCK_TICK"} {}': "no JSON: Extra data at character 24",
    '{"kind": "CLOCK_TICK", "kind": "CLOCK_TICK"}': '"kind" is named twice',
    "{}": "kind is missing: one of NEW_ORDER",
    '{"kind": "NEW"}': 'kind: "NEW" is not allowed; one of NEW_ORDER, CANCEL_ORDER',
    '{"kind": 256}': "kind: 256 is not allowed; one of NEW_ORDER.*, or a whole number, 0 to 255",
    '{"kind": null}': "kind: null is not allowed",
    '{"kind": "NEW_ORDER", "side": "BYU"}': 'side: "BYU" is not allowed; one of BUY, SELL',
    '{"kind": "NEW_ORDER", "side": true}': "side: true is not allowed; one of BUY, SELL, or",
    '{"kind": "NEW_ORDER", "price": 71.25}': "price: 71.25 is not allowed; a whole number",
    '{"kind": "NEW_ORDER", "price": "71"}': 'price: "71" is not allowed; a whole number',
    '{"kind": "NEW_ORDER", "price": NaN}': "NaN is no JSON",
    '{"kind": "NEW_ORDER", "price": 9223372036854775808}': "price: 9223372036854775808 is not",
    '{"kind": "NEW_ORDER", "price": ' + "9" * 5_000 + "}": "a number of thousands of digits",
    '{"kind": "NEW_ORDER", "valid_ms": 65536}': "valid_ms: 65536 .* 0 to 65535",
    '{"kind": "CANCEL_ORDER", "order_id": -1}': "order_id: -1 .* 0 to 18446744073709551615",
    '{"kind": "NEW_ORDER", "prise": 71}': 'NEW_ORDER has no field "prise"; it has kind, account_id',
    '{"kind": "PHASE_CHANGE", "order_type": 1}': 'has no field "order_type"; .*phase',
    '{"kind": "NEW_ORDER", "client_order_id": 5}': "client_order_id: 5 is no text",
    '{"kind": "NEW_ORDER", "client_order_id": "12345678901234567"}': "17 bytes, at most 16",
    '{"kind": "NEW_ORDER", "client_order_id": "\\ud800"}': "is no Unicode text",
    '{"kind": "NEW_ORDER", "client_order_id_hex": "0"}': "is no hexadecimal text",
    '{"kind": "NOTE", "text": "a", "text_hex": "61"}': "text is named twice, in words and in hex",
    '{"kind": "NEW_ORDER", "instructions": "POST_ONLY"}': "is not allowed; a list of POST_ONLY",
    '{"kind": "NEW_ORDER", "instructions": ["POST"]}': "is not allowed; a list of POST_ONLY",
    '{"kind": "NEW_ORDER", "instructions": [1]}': "is not allowed; a list of POST_ONLY",
    '{"kind": "NEW_ORDER", "instructions": ["DECREMENT", "CANCEL_BOTH"]}': "CANCEL_BOTH stands tw",
    '{"kind": "AUCTION_OPEN", "flags": ["IN_BAND", "IN_BAND"]}': "IN_BAND stands twice",
    '{"frame": []}': "frame: a list of 1 to 4096 commands",
    '{"frame": [' + "{}," * 4_096 + "{}]}": "frame: a list of 1 to 4096 commands",
    '{"frame": {"kind": "CLOCK_TICK"}}': "frame: a list of 1 to 4096 commands",
    '{"frame": [{"kind": "CLOCK_TICK"}, 5]}': r"frame\[1\]: 5 is no object",
    '{"frame": [{"kind": "CLOCK_TICK"}, {"kind": "X"}]}': r'frame\[1\]: kind: "X" is not allowed',
    '{"frame": [{"kind": "CLOCK_TICK", "time_ns": 5}]}': r'frame\[0\]: CLOCK_TICK has no field "ti',
    '{"frame": [{"kind": "CLOCK_TICK"}], "kind": 1}': 'a frame has no field "kind"',
    '{"kind": "CLOCK_TICK", "time_ns": "now"}': 'time_ns: "now" is not allowed',
    '{"kind": "CLOCK_TICK", "append_ns": 9223372036854775808}': "append_ns: 9223372036854775808",
    '{"hex": "4"}': "hex: .* is no hexadecimal text",
    '{"hex": 4}': "hex: 4 is no hexadecimal text",
    '{"hex": "00", "time_ns": 5}': "hex: a record as it stood; beside it only append_ns",
    '{"hex": "' + "00" * (2**20 + 1) + '"}': "hex: 1048577 bytes, at most 1048576",
    '{"limits": 5}': "limits: an object, alone on its line",
    '{"limits": {}, "kind": "CLOCK_TICK"}': "limits: an object, alone on its line",
    '{"limits": {"orders": 5}}': 'limits has no field "orders"; it has orders_max',
    '{"limits": {"orders_max": -1}}': "limits.orders_max: -1 is not allowed",
    "[" * 100_000: "nested too deeply",
}  # fmt: skip


@pytest.mark.parametrize("line", BAD, ids=lambda line: line[:60])
def test_a_wrong_line_is_named(line: str) -> None:
    with pytest.raises(LineError, match=BAD[line]) as caught:
        read_line(line.encode(), 0)
    assert len(str(caught.value)) < 1_000


def test_a_line_that_is_no_text_is_named() -> None:
    with pytest.raises(LineError, match="no UTF-8 at byte 2"):
        read_line(b'{"\xff', 0)
