"""The recorded flow in tests/golden and what it must lead to.

`python -m tests.matching.golden` records anew; do so only when the rules have changed on purpose.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from struct import Struct

from matching import reference
from matching.protocol import EngineProtocol
from tests.matching import flows
from tests.matching.flows import Flow, Record
from tests.matching.limit_flows import LIMIT_FLOWS
from tests.matching.maker_flows import MAKER_FLOWS

FOLDER = Path(__file__).parent.parent / "golden"
FRAMES = FOLDER / "matching_flow.bin"
OUTCOME = FOLDER / "matching_flow.json"
_PREFIX = Struct("<qI")  # append time, size of the frame


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
    flow, engine = Flow(35), reference.Engine()
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


if __name__ == "__main__":
    _record()
