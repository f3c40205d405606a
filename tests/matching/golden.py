"""The recorded flow in tests/golden and what it must lead to.

`python -m tests.matching.golden` records anew; do so only when the rules have changed on purpose.
Where they have only grown, `--append` keeps what was recorded and adds `later` to its end, once.
"""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from struct import Struct

from matching import reference
from matching.layout import INDEX_BITS, Command, Pricing, Side, TieBreak
from matching.protocol import EngineProtocol
from tests.matching import flows
from tests.matching.flows import Flow, Record
from tests.matching.frames import command, frame
from tests.matching.limit_flows import LIMIT_FLOWS
from tests.matching.maker_flows import MAKER_FLOWS

FOLDER = Path(__file__).parent.parent / "golden"
FRAMES = FOLDER / "matching_flow.bin"
OUTCOME = FOLDER / "matching_flow.json"
_PREFIX = Struct("<qI")  # append time, size of the frame
NEW = 9_000  # numbers that the recorded flow has not
STEP_NS = 10_000_000


def records() -> Iterator[Record]:
    """The recorded frames."""
    data, at, offset = zlib.decompress(FRAMES.read_bytes()), 0, 0
    while at < len(data):
        append_ns, size = _PREFIX.unpack_from(data, at)
        at += _PREFIX.size
        yield offset, append_ns, data[at : at + size]
        at, offset = at + size, offset + 1


def outcome(engine: EngineProtocol) -> dict[str, str | int]:
    """What the recorded flow leads to."""
    said = blake2b(digest_size=32)
    for record in records():
        said.update(engine.apply(*record))
    return {
        "records": engine.next_offset,
        "events": engine.next_event,
        "events_hash": said.hexdigest(),
        "state_hash": engine.state_hash().hex(),
    }


def _record() -> None:
    flow, engine = Flow(3514), reference.Engine()
    made = [*flow.opening(), flow.rules()]
    for record in made:
        flow.hear(engine.apply(*record))
    for commands in (flows.WHOLE_FLOWS | MAKER_FLOWS | LIMIT_FLOWS).values():
        for record in flow.frames(40, commands, most=8):
            flow.hear(engine.apply(*record))
            made.append(record)
    made += flows.broken_frames(flow, 20)
    body = b"".join(_PREFIX.pack(at, len(data)) + data for _, at, data in made)
    FRAMES.write_bytes(zlib.compress(body, 9))
    OUTCOME.write_text(json.dumps(outcome(reference.Engine()), indent=2) + "\n")


def later() -> list[bytes]:
    """Frames of what an engine has learned since: an auction with a closing time; 10 ms apart."""
    at_ns = max(append_ns for _, append_ns, _ in records())
    item = {"instrument_id": NEW}
    accounts = [{"account_id": NEW + at} for at in range(2)]
    opening = [command(Command.INSTRUMENT_OPEN, **item)]
    for named in accounts:
        opening.append(command(Command.ACCOUNT_OPEN, order_id=10, **named))
        opening.append(command(Command.CASH_DEPOSIT, quantity=10**9, **named))
        opening.append(command(Command.UNITS_DEPOSIT, quantity=10**6, **named, **item))
    seller, bidder = accounts
    offer = {"side": Side.SELL, "order_type": Pricing.UNIFORM, "time_in_force": TieBreak.BY_TIME}
    auction = command(Command.AUCTION_OPEN, quantity=500, **offer, **item, **seller)
    number = next_offset() + 1 << INDEX_BITS
    bid = {"side": Side.BUY, "quantity": 300, "price": 7_000, "order_id": number}
    bidding = command(Command.AUCTION_BID, **bid, **item, **bidder)
    clearing = command(Command.AUCTION_CLEAR, **item)
    closing = command(Command.AUCTION_TERMS, quantity=at_ns + 3 * STEP_NS, price=7)
    frames = [opening, [auction, closing, bidding, clearing], [bidding, clearing, auction, closing]]
    return [frame(commands) for commands in frames]


def next_offset() -> int:
    """The offset after the recorded frames."""
    return sum(1 for _ in records())


def _append() -> None:
    at_ns = max(append_ns for _, append_ns, _ in records())
    added = later()
    body = zlib.decompress(FRAMES.read_bytes())
    for place, data in enumerate(added, 1):
        body += _PREFIX.pack(at_ns + place * STEP_NS, len(data)) + data
    FRAMES.write_bytes(zlib.compress(body, 9))
    OUTCOME.write_text(json.dumps(outcome(reference.Engine()), indent=2) + "\n")


if __name__ == "__main__":
    _append() if sys.argv[1:] == ["--append"] else _record()
