"""What reads bytes from outside, each as a function of bytes that must end, whatever comes.

A target has seeds (valid messages), and `mended`, which puts lengths, sums and hashes right again
after something was changed, so that what lies behind them is reached too. `run` raises only what
would be a fault of ours: refusals and the errors that a reader promises are caught here.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from isal.isal_zlib import crc32

import matching
from exchange.engine import snapshots
from exchange.messages.executions import Logon
from exchange.messages.frames import ChainBrokenError, EventFollower, sound_commands
from exchange.messages.orders import OrderRequest
from exchange.reference.venue import Market
from gateway.entry.fields import decode, unpack
from gateway.entry.order_commands import PACKERS
from gateway.fix import session
from gateway.fix.codec import Framer, GarbledError, encode, utc_text
from gateway.fix.codec import decode as read_fix
from gateway.fix.requests import TRANSLATORS
from gateway.refusal import Refused
from gateway.routes import ROUTES
from gateway.websocket.subscriber import Subscribe
from matching import reference, snapshot
from matching.layout import HEADER, HEADER_SIZE
from tests.matching.bad_input import MARKET
from tests.matching.frames import frame
from tests.matching.golden import records

CORPUS = Path(__file__).parent / "corpus"
GOLDEN = Path(__file__).parents[1] / "golden"
NOW = 1_800_000_000_000_000_000
SECOND = 1_000_000_000


class Target(NamedTuple):
    """One reader of bytes."""

    name: str
    run: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]
    mended: Callable[[bytes], bytes] | None = None

    def kept(self) -> list[bytes]:
        """What was found once, and stays in the repository. O(files)."""
        folder = CORPUS / self.name
        return [path.read_bytes() for path in sorted(folder.glob("*"))] if folder.exists() else []

    def try_all(self, data: bytes) -> None:
        """The bytes as they are, and mended."""
        self.run(data)
        if self.mended is not None:
            self.run(self.mended(data))


# -- FIX ------------------------------------------------------------------------------------------


def run_fix(data: bytes) -> None:
    """Framing, fields, the session's state machine, translation, packing."""
    state = session.open_state("northern", "CARBON", 9, 1, NOW)
    state = state._replace(phase=session.Phase.ACTIVE, heartbeat_ns=30 * SECOND)
    for found in Framer().feed(data):
        if isinstance(found, GarbledError):
            continue
        message = read_fix(found)
        state = session.received(state, message, NOW).state
        if message.fault is not None or message.msg_type not in TRANSLATORS:
            continue
        with suppress(Refused):
            for request in TRANSLATORS[message.msg_type](message, 77, ["CN", "EU"]):
                pack = PACKERS.get(type(request))
                if pack is not None:
                    who = {"session_id": 1, "ref": 77, "account_id": 1, "instrument_id": 1}
                    assert pack(request, who, Market("EU", 0, "EUR"))


def fix_seeds() -> list[bytes]:
    """One message of each kind that a broker sends."""
    sent = utc_text(NOW)
    order = [(11, "a1"), (1, 101), (55, "EUA"), (54, 1), (60, sent), (38, 10), (40, 2),
             (44, "70.05"), (59, 0)]  # fmt: skip
    bodies: dict[str, list[tuple[int, Any]]] = {
        "A": [(98, 0), (108, 30), (95, 4), (96, "AAAA"), (141, "Y")],
        "D": order,
        "F": [(11, "a2"), (41, "a1"), (1, 101), (55, "EUA"), (54, 1), (60, sent)],
        "G": [(11, "a3"), (41, "a1"), *order[1:]],
        "q": [(11, "a4"), (530, 7), (60, sent)],
        "H": [(11, "a1"), (55, "EUA"), (54, 1)],
        "0": [(112, "x")], "1": [(112, "x")], "2": [(7, 1), (16, 0)], "4": [(123, "Y"), (36, 12)],
        "5": [(58, "bye")], "3": [(45, 3), (58, "no")],
    }  # fmt: skip
    return [encode(kind, 9, "northern", "CARBON", NOW, values) for kind, values in bodies.items()]


_FIX = re.compile(rb"8=FIX\.4\.4\x019=[^\x01]*\x01(.*?)10=[^\x01]*\x01", re.DOTALL)


def mended_fix(data: bytes) -> bytes:
    """With the length and the sum that each message has."""

    def whole(match: re.Match[bytes]) -> bytes:
        head = b"8=FIX.4.4\x019=%d\x01%s" % (len(match[1]), match[1])
        return b"%s10=%03d\x01" % (head, sum(head) % 256)

    return _FIX.sub(whole, data)


# -- JSON and MessagePack -------------------------------------------------------------------------


@cache
def _json_decoders() -> list[msgspec.json.Decoder[Any]]:
    kinds = {row.body for row in ROUTES if row.body is not None}
    kinds |= {Logon, Subscribe, OrderRequest | list[OrderRequest]}
    return [msgspec.json.Decoder(kind) for kind in sorted(kinds, key=repr)]


@cache
def _packed_decoders() -> list[msgspec.msgpack.Decoder[Any]]:
    return [msgspec.msgpack.Decoder(kind) for kind in (Logon, OrderRequest | list[OrderRequest])]


def run_json(data: bytes) -> None:
    """Every body, logon and subscription."""
    for decoder in _json_decoders():
        with suppress(Refused):
            decode(data, decoder)


def json_seeds() -> list[bytes]:
    """The golden messages that are JSON, and an array of requests."""
    rows = json.loads((GOLDEN / "messages.json").read_text("utf-8"))
    texts = [text.encode() for text in rows.values() if text.startswith("{")]
    orders = [text for text in texts if b'"type":"NewOrderSingle"' in text]
    return [*texts, b"[" + b",".join(orders * 3) + b"]"]


def run_packed(data: bytes) -> None:
    """Logon and requests of a binary session."""
    for decoder in _packed_decoders():
        with suppress(Refused):
            unpack(data, decoder)


def packed_seeds() -> list[bytes]:
    """The JSON seeds, packed."""
    return [msgspec.msgpack.encode(msgspec.json.decode(text)) for text in json_seeds()]


# -- frames and the engine ------------------------------------------------------------------------


@cache
def _market() -> bytes:
    engine = reference.Engine()
    engine.apply(0, SECOND, frame(MARKET))
    return engine.snapshot()


def run_engine(data: bytes) -> None:
    """Both engines answer a record of `orders` alike, and stand alike afterwards."""
    sound_commands(data)
    one, other = matching.Engine.restore(_market()), reference.Engine.restore(_market())
    said = one.apply(1, 2 * SECOND, data)
    assert said == other.apply(1, 2 * SECOND, data)
    assert one.snapshot() == other.snapshot()


def engine_seeds() -> list[bytes]:
    """Frames of the recorded flow, the shortest, and the market's own."""
    flow = {data for _, _, data in records()}
    return [*sorted(flow, key=lambda data: (len(data), data))[:200], frame(MARKET)]


def mended_frame(data: bytes) -> bytes:
    """With the count and the sum of what is there, cut to whole records."""
    count = (len(data) - HEADER_SIZE) // 64
    if count < 1:
        return data
    body = data[HEADER_SIZE : HEADER_SIZE + 64 * count]
    header = np.frombuffer(data, HEADER, 1).copy()
    header["count"], header["checksum"] = min(count, 2**16 - 1), crc32(body)
    return header.tobytes() + body


def run_events(data: bytes) -> None:
    """A reader of `events` takes it or says that the chain is broken."""
    with suppress(ChainBrokenError):
        EventFollower().accept(0, data)


def run_snapshot(data: bytes) -> None:
    """A snapshot is refused with ValueError, or both engines stand where it says."""
    for read in (snapshots.decode, snapshot.decode):
        with suppress(ValueError):
            read(data)
    taken = []
    for kind in (matching.Engine, reference.Engine):
        with suppress(ValueError):
            taken.append(kind.restore(data).snapshot())
    assert taken in ([], [data, data])


def snapshot_seeds() -> list[bytes]:
    """A market's, and the file around it."""
    state = _market()
    file = snapshots.encode(snapshots.EngineSnapshot(1, 9, 1, b"\0" * 32, state))
    return [state, b"".join(file)]


def mended_snapshot(data: bytes) -> bytes:
    """With the hash of what is there."""
    return data[:-32] + hashlib.blake2b(data[:-32], digest_size=32).digest()


TARGETS = (
    Target("fix", run_fix, fix_seeds, mended_fix),
    Target("json", run_json, json_seeds),
    Target("messagepack", run_packed, packed_seeds),
    Target("engine", run_engine, engine_seeds, mended_frame),
    Target("events", run_events, engine_seeds),
    Target("snapshot", run_snapshot, snapshot_seeds, mended_snapshot),
)
