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


def test_every_reason_and_setting_is_documented() -> None:
    reasons = (generate.HERE / "reasons.md").read_text("utf-8")
    for reason in (*frames.Reason, *EdgeReason, *RegistryReason):
        assert reason in REASONS
        assert f"| {int(reason)} | `{reason.name}` |" in reasons
    page = (generate.HERE / "settings.md").read_text("utf-8")
    for field in Settings.__struct_fields__:
        row = next(line for line in page.splitlines() if f"`EXCHANGE_{field.upper()}`" in line)
        assert row.split("|")[3].strip(), f"{field} has no comment in exchange/settings.py"
