"""What a real engine service left on `events` is what `exchange match` prints of the same log."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from exchange import topics
from exchange.audit import replay
from exchange.clock import SystemClock
from exchange.log.embedded import EmbeddedLog
from exchange.messages.frames import EventFollower
from exchange.messages.lines import event_lines
from gateway.cli import build
from tests.exchange.engine.test_engine_on_logs import wait_for_answers

ROOT = Path(__file__).parent.parent.parent.parent
ORDERS, EVENTS = topics.orders(0), topics.events(0)


async def published(log: EmbeddedLog) -> bytes:
    """The events of the topic as lines."""
    follower, said = EventFollower(), b""
    reader, end = await log.open_reader(EVENTS, 0), await log.end(EVENTS)
    while reader.position < end:
        for record in await reader.read():
            part = follower.accept(record.offset, record.value)
            if part is not None:
                lines = event_lines(part.input_offset, part.first_event, part.events.tobytes())
                said += b"".join(lines)
    return said


async def test_the_events_of_a_service_are_printed_again(
    running: Any, until: Any, make_flow: Any, tmp_path: Path
) -> None:
    log = EmbeddedLog(tmp_path / "log.sqlite", SystemClock())
    await log.start()
    await log.create(topics.of_market(0))
    service = running.start(node=1, log=log)
    await until(lambda: service.is_leading)
    for frame in make_flow(31).frames(60):
        await log.append(ORDERS, [frame])
    await wait_for_answers(log, service)
    await running.stop(service)
    said, state = await published(log), (await replay(log, 0)).state_hash.hex()
    await log.close()
    (tmp_path / "venue.toml").write_bytes((ROOT / "deploy/venue/demo.toml").read_bytes())
    words = ["match", str(tmp_path), "--market", "EU", "--engine", "both"]
    done = await asyncio.to_thread(CliRunner().invoke, build(), words)
    assert done.exit_code == 0, done.stderr
    assert done.stdout_bytes.startswith(said)  # a last tick may stand there without an answer
    assert said.count(b"\n") > 200
    assert f"state {state} " in done.stderr
