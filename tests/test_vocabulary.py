"""The vocabulary reads and writes the golden bytes of every version, and the pages say the same."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import numpy as np
import pytest

import exchange
from deploy.docs import generate
from exchange.messages import frames
from exchange.messages.frames import Reason
from exchange.messages.reason_numbers import (
    AccessReason,
    DayReason,
    EdgeReason,
    RegistryReason,
    SettlementReason,
    SupplyReason,
)
from exchange.messages.reasons import REASONS, ReasonText
from exchange.settings import Settings
from gateway.replies.auctions import AuctionRow
from gateway.replies.limits import AccountLimits, ParticipantLimits
from tests.golden import vocabulary

KNOWN: dict[str, str] = json.loads(vocabulary.GOLDEN.read_text("utf-8"))
STRUCTS = dict(vocabulary.structs())


def test_every_message_has_golden_bytes() -> None:
    missing = set(vocabulary.entries()) - set(KNOWN)
    assert not missing, f"{sorted(missing)}: python -m tests.golden.vocabulary"
    gone = set(KNOWN) - set(vocabulary.entries())
    assert not gone, f"{sorted(gone)} were messages once: old records must stay readable"


def test_every_reason_is_given_somewhere() -> None:
    home = Path(exchange.__file__).parent.parent
    defining = {"reason_numbers.py", "reasons.py"}
    source = "\n".join(
        path.read_text("utf-8")
        for part in ("exchange", "matching", "gateway")
        for path in (home / part).rglob("*.py*")
        if path.suffix in (".py", ".pyx", ".pxd") and path.name not in defining
    )
    named = set(re.findall(r"\b[A-Z][A-Z0-9_]+\b", source))
    kinds = (EdgeReason, AccessReason, RegistryReason, DayReason, SupplyReason, SettlementReason)
    assert [reason for kind in kinds for reason in kind if reason.name not in named] == []


@pytest.mark.parametrize("name", sorted(STRUCTS))
def test_structs_read_and_write_their_golden_bytes(name: str) -> None:
    item, text = STRUCTS[name], KNOWN[name]
    value = vocabulary.decode(item, text)
    assert vocabulary.decode(item, vocabulary.encode(value)) == value
    assert vocabulary.encode(vocabulary.make(item)) == text, (
        f"{name} is encoded otherwise than before: fields are added at the end, with defaults"
    )


@pytest.mark.parametrize(
    "name", sorted(name for name, item in STRUCTS.items() if vocabulary.encoding(item) == "msgpack")
)
def test_inner_messages_ignore_fields_of_a_newer_version(name: str) -> None:
    raw = msgspec.msgpack.decode(bytes.fromhex(KNOWN[name]))
    newer = msgspec.msgpack.encode([*raw, "a field added later"]).hex()
    assert vocabulary.decode(STRUCTS[name], newer) == vocabulary.make(STRUCTS[name])


def test_command_frames_are_stable() -> None:
    frame = vocabulary.command_frame()
    assert frame.hex() == KNOWN["frames.commands"]
    order, instruction, note = frames.read_commands(frame)
    assert (order["quantity"], order["price"]) == (1_234_567, -7_125)
    assert order["client_order_id"] == b"golden-0123456"
    assert (instruction["order_type"], instruction["quantity"]) == (
        frames.Instruction.SURRENDER,
        61_728,
    )
    text = frames.note_text(note).rstrip(b"\0").decode()
    assert text == vocabulary.TEXT


def test_event_frames_are_stable() -> None:
    first, second = vocabulary.event_parts()
    assert first[: frames.HEADER_SIZE].hex() == KNOWN["frames.events.header_of_part_0"]
    assert second.hex() == KNOWN["frames.events.part_1"]
    follower = frames.EventFollower(41, 0, 99, bytes(range(32)))
    parts = [follower.accept(offset, value) for offset, value in enumerate((first, second))]
    assert [part.is_last for part in parts if part] == [False, True]
    assert follower.next_event == 99 + 8_193


def test_fills_and_events_share_their_bytes() -> None:
    shared = [name for name in frames.EVENT.names or () if name != "client_order_id"]
    record = np.frombuffer(bytes(range(64)), frames.EVENT)
    fill = np.frombuffer(bytes(range(64)), frames.FILL)
    assert frames.EVENT.itemsize == frames.FILL.itemsize == frames.RECORD_SIZE
    assert all(record[name] == fill[name] for name in shared)


@pytest.mark.parametrize("name", sorted(generate.PAGES))
def test_pages_made_from_the_code_are_current(name: str) -> None:
    assert name not in generate.stale(), "remake it: python -m deploy.docs.generate"


OF_THE_BOOKS = [row for row in REASONS.values() if row.number >= 600]  # registry, day, settlement


@pytest.mark.parametrize("row", OF_THE_BOOKS, ids=lambda row: row.name)
def test_a_refusal_of_the_books_says_what_is_wrong_and_what_to_do(row: ReasonText) -> None:
    assert len(re.findall(r"[.;:](?:\s|$)", row.text)) >= 2


LIMITS = {  # whose limit was passed -> what tells it: the field, and the question that has it
    Reason.ORDER_RATE_EXCEEDED: ("order_rate", "/limits"),
    Reason.BLOCKS_CLOSED: ("block_open", "/instruments"),
    Reason.QUANTITY_ABOVE_MAX: ("quantity_max", "/instruments"),
    Reason.QUANTITY_NOT_LOT: ("lot_size", "/instruments"),
    Reason.QUANTITY_BELOW_MIN: ("block_quantity_min", "/instruments"),
    Reason.BID_ABOVE_MAX: ("bid_max_bp", "/auctions"),
    Reason.PRICE_NOT_TICK: ("tick_size", "/instruments"),
    Reason.VALUE_ABOVE_MAX: ("value_max", "/instruments"),
    Reason.PRICE_OUTSIDE_COLLAR: ("collar_bp", "/instruments"),
    Reason.PRICE_BEYOND_RESERVE: ("public_reserve", "/auctions"),
    Reason.HOLDING_ABOVE_MAX: ("holding_max", "/limits"),
    Reason.POSITION_ABOVE_MAX: ("position_max", "/limits"),
}


@pytest.mark.parametrize("reason", LIMITS, ids=lambda reason: reason.name)
def test_a_limit_that_was_passed_is_named_with_the_question_that_tells_it(reason: Reason) -> None:
    field, path = LIMITS[reason]
    assert f"{field} " in REASONS[reason].text or f"{field}," in REASONS[reason].text
    assert f"GET {path}" in REASONS[reason].text
    kinds = {"/limits": (AccountLimits, ParticipantLimits), "/auctions": (AuctionRow,)}
    told = {name for kind in kinds.get(path, ()) for name in kind.__struct_fields__}
    assert field in told | {parameter.name.lower() for parameter in frames.Parameter}


def test_a_text_holds_at_every_door() -> None:
    """The socket and FIX take messages of other sizes than REST, and FIX writes days otherwise."""
    assert not re.search(r"\d{4,} bytes", REASONS[EdgeReason.BODY_TOO_LARGE].text)
    assert "SendingTime" in REASONS[EdgeReason.BAD_SIGNATURE].text
    assert "2026-12-18" in REASONS[Reason.EXPIRE_DATE_OUT_OF_RANGE].text
    assert "other one" in REASONS[Reason.INVALID_SIDE].text
    assert "Block proposals" in REASONS[Reason.NOT_ALLOWED_BY_POLICY].text


def test_every_reason_and_setting_is_documented() -> None:
    reasons = (generate.HERE / "reasons.md").read_text("utf-8")
    for reason in (*frames.Reason, *EdgeReason, *RegistryReason):
        assert reason in REASONS
        assert f"| {int(reason)} | `{reason.name}` |" in reasons
    page = (generate.HERE / "settings.md").read_text("utf-8")
    for field in Settings.__struct_fields__:
        row = next(line for line in page.splitlines() if f"`EXCHANGE_{field.upper()}`" in line)
        assert row.split("|")[3].strip(), f"{field} has no comment in exchange/settings.py"
