"""`layout.pxd` and `snapshot.pxd` are `layout.py` and `snapshot.py`; their bytes never move."""

from __future__ import annotations

import enum
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from matching import layout, snapshot
from tests.matching.frames import HEADER, RECORD

MATCHING = Path(layout.__file__).parent
C_TYPES = {
    "uint8_t": "u1",
    "uint16_t": "<u2",
    "uint32_t": "<u4",
    "uint64_t": "<u8",
    "int64_t": "<i8",
    "char": "S1",
}
STRUCTS = {
    "Header": layout.HEADER,
    "CommandRecord": layout.COMMAND,
    "EventRecord": layout.EVENT,
    "FillRecord": layout.FILL,
    "AccountRow": snapshot.ACCOUNT_ROW,
    "ParticipantRow": snapshot.PARTICIPANT_ROW,
    "HoldingRow": snapshot.HOLDING_ROW,
    "InstrumentRow": snapshot.INSTRUMENT_ROW,
    "AuctionRow": snapshot.AUCTION_ROW,
    "OrderRow": snapshot.ORDER_ROW,
    "TermsRow": snapshot.TERMS_ROW,
    "SessionRow": snapshot.SESSION_ROW,
    "ClientOrderIdRow": snapshot.CLIENT_ORDER_ID_ROW,
}
TEXT = "\n".join((MATCHING / name).read_text("utf-8") for name in ("layout.pxd", "snapshot.pxd"))
ENUMS = {
    name: kind
    for name, kind in vars(layout).items()
    if isinstance(kind, type) and issubclass(kind, enum.IntEnum) and kind is not enum.IntEnum
}


def c_structs() -> dict[str, list[tuple[str, str, int]]]:
    """Of each packed struct the (name, type, count) of its fields."""
    found = {}
    for name, body in re.findall(r"cdef packed struct (\w+):\n((?:    .*\n)+)", TEXT):
        fields = re.findall(r"^    (\w+) (\w+)(?:\[(\d+)\])?$", body, re.M)
        found[name] = [(field, kind, int(count or 1)) for kind, field, count in fields]
    return found


def offsets(fields: list[tuple[str, str, int]]) -> tuple[dict[str, tuple[int, int]], int]:
    """Offset and size of each field of a packed struct, and its size."""
    at, found = 0, {}
    for field, kind, count in fields:
        size = 16 if kind == "ClientOrderId" else np.dtype(C_TYPES[kind]).itemsize
        found[field] = (at, size * count)
        at += size * count
    return found, at


def test_every_struct_is_compared() -> None:
    assert c_structs().keys() - {"ClientOrderId"} == STRUCTS.keys()
    assert offsets(c_structs()["ClientOrderId"])[1] == 16


@pytest.mark.parametrize("name", STRUCTS)
def test_struct_is_the_dtype(name: str) -> None:
    found, size = offsets(c_structs()[name])
    dtype = STRUCTS[name]
    assert size == dtype.itemsize
    wanted = {}
    for field, (kind, at, *_) in (dtype.fields or {}).items():
        wanted[field] = (at, kind.itemsize)
    if name == "InstrumentRow":  # its parameters are one array in C
        columns = [wanted.pop(column) for column in snapshot.PARAMETER_FIELDS.values()]
        wanted["parameters"] = (columns[0][0], sum(width for _, width in columns))
        assert [at for at, _ in columns] == list(
            range(columns[0][0], columns[0][0] + 8 * len(columns), 8)
        )
    assert found == wanted


@pytest.mark.parametrize("name", [n for n in STRUCTS if n != "InstrumentRow"])
def test_struct_has_the_types(name: str) -> None:
    dtype = STRUCTS[name]
    for field, kind, count in c_structs()[name]:
        if count == 1 and kind != "ClientOrderId":
            assert dtype[field] == np.dtype(C_TYPES[kind]), field


@pytest.mark.parametrize("name", ENUMS)
def test_enum_has_the_values(name: str) -> None:
    body = re.search(rf"cdef enum:  # {name}\n((?:    .*\n)+)", TEXT)
    assert body
    found = {key: int(value) for key, value in re.findall(r"^    (\w+) = (\d+)$", body[1], re.M)}
    assert found == {member.name: member.value for member in ENUMS[name]}


def test_constants_have_the_values() -> None:
    constants = re.findall(
        r"^    ([A-Z_]+) = (0x[0-9A-F_]+|[\d_]+)$", TEXT.split("FrameKind")[0], re.M
    )
    assert len(constants) >= 12
    for name, value in constants:
        assert getattr(layout, name) == int(value, 0), name


def test_sizes() -> None:
    assert layout.HEADER.itemsize == layout.HEADER_SIZE == HEADER.size == 80
    assert layout.COMMAND.itemsize == layout.EVENT.itemsize == layout.FILL.itemsize == 64
    assert layout.RECORD_SIZE == RECORD.size == 64
    places: Any = layout.COMMAND.fields
    assert [places[n][1] for n in ("ref", "quantity", "price", "order_id")] == [16, 24, 32, 40]


def test_golden_bytes() -> None:
    """A record of known values is these bytes, in every version to come."""
    record = np.zeros(1, layout.COMMAND)
    values = (
        1,
        2,
        2,
        3,
        0x0504,
        0x0706,
        0x0B0A0908,
        0x0F0E0D0C,
        -2,
        10**10,
        10**9,
        2**63,
        b"label",
    )
    record[0] = values
    golden = (
        "0102020304050607" "08090a0b0c0d0e0f" "feffffffffffffff" "00e40b5402000000"
        "00ca9a3b00000000" "0000000000000080" "6c6162656c000000" "0000000000000000"
    )  # fmt: skip
    assert record.tobytes().hex() == golden
    assert RECORD.pack(*values).hex() == golden
