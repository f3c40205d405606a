"""Snapshots by a forked child have the state of the fork, and a failure leaves no trace."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import pytest

from exchange import topics
from exchange.engine.drafts import Draft, Mark
from exchange.engine.snapshots import SnapshotStore, load
from exchange.messages.frames import GENESIS
from matching import Engine, reference
from tests.exchange.engine.test_engine_service import drained, said

ORDERS = topics.orders(0)


def traded(make_flow: Any, body: Any, seed: int = 61) -> tuple[Any, list[bytes]]:
    """An engine after half of a flow, and the other half."""
    frames, engine = make_flow(seed).frames(80), body()
    for at, frame in enumerate(frames[:40]):
        engine.apply(at, 1, frame)
    return engine, frames[40:]


def drafted(engine: Any, store: SnapshotStore) -> Draft:
    return Draft(Mark(engine.next_offset, engine.next_event, GENESIS), store, engine, 7)


@pytest.mark.parametrize("body", [Engine, reference.Engine])
async def test_a_draft_has_the_state_of_its_fork(make_flow: Any, tmp_path: Path, body: Any) -> None:
    store = SnapshotStore(tmp_path, kept=2)
    engine, later = traded(make_flow, body)
    expected, at = engine.snapshot(), engine.next_offset
    draft = drafted(engine, store)
    for frame in later:
        engine.apply(engine.next_offset, 1, frame)
    draft.confirm(123)
    assert await asyncio.wait_for(draft.ended(), 30) is None
    (path,) = tmp_path.iterdir()
    found = load(path)
    assert (found.next_offset, found.events_offset, found.state) == (at, 123, expected)
    assert engine.snapshot() != expected


async def test_an_unconfirmed_draft_leaves_no_trace(make_flow: Any, tmp_path: Path) -> None:
    engine, _ = traded(make_flow, Engine)
    dropped, orphaned = (drafted(engine, SnapshotStore(tmp_path, kept=2)) for _ in range(2))
    dropped.drop()
    os.close(orphaned._go[1])  # as the death of the parent does
    orphaned._go = (orphaned._go[0], os.open(os.devnull, os.O_WRONLY))
    assert "ended with status" in (await asyncio.wait_for(dropped.ended(), 30) or "")
    assert "before its output stood" in (await asyncio.wait_for(orphaned.ended(), 30) or "")
    assert list(tmp_path.iterdir()) == []


async def test_a_draft_whose_wait_is_cancelled_is_reaped(make_flow: Any, tmp_path: Path) -> None:
    engine, _ = traded(make_flow, Engine)
    draft = drafted(engine, SnapshotStore(tmp_path, kept=2))
    waiting = asyncio.create_task(draft.ended())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    with pytest.raises(ChildProcessError):
        os.waitpid(draft._child.pid, 0)


def fill_disk(folder: Path, writer: int, offsets: range) -> None:
    """What is written at these places meets a full disk."""
    folder.mkdir(parents=True, exist_ok=True)
    for offset in offsets:
        (folder / f"{offset:020d}.{writer:x}.draft").symlink_to("/dev/full")


async def test_a_full_disk_keeps_the_older_snapshots(make_flow: Any, tmp_path: Path) -> None:
    store = SnapshotStore(tmp_path, kept=2)
    engine, later = traded(make_flow, Engine)
    first = drafted(engine, store)
    first.confirm(1)
    assert await asyncio.wait_for(first.ended(), 30) is None
    engine.apply(engine.next_offset, 1, later[0])
    fill_disk(tmp_path, 7, range(engine.next_offset, engine.next_offset + 1))
    second = drafted(engine, store)
    second.confirm(2)
    assert "No space left on device" in (await asyncio.wait_for(second.ended(), 30) or "")
    assert [path.name for path in tmp_path.iterdir()] == [f"{40:020d}.snapshot"]


async def test_drafts_of_writers_that_were_killed_go(make_flow: Any, tmp_path: Path) -> None:
    old, new = (tmp_path / f"{at:020d}.9.draft" for at in (1, 2))
    old.write_bytes(b"half")
    new.write_bytes(b"half")
    os.utime(old, (time.time() - 7_200,) * 2)
    engine, _ = traded(make_flow, Engine)
    draft = drafted(engine, SnapshotStore(tmp_path, kept=2))
    draft.confirm(1)
    assert await asyncio.wait_for(draft.ended(), 30) is None
    assert {path.name for path in tmp_path.iterdir()} == {new.name, f"{40:020d}.snapshot"}


async def test_an_engine_trades_on_when_snapshots_cannot_be_written(
    memory_log: Any, running: Any, until: Any, undisturbed: Any, make_flow: Any, tmp_path: Path,
    capsys: Any,
) -> None:  # fmt: skip
    service = running.start(snapshot_every=20)
    folder = tmp_path / "snapshots" / "XX"
    fill_disk(folder, service.run_id, range(20, 201, 20))
    for frame in make_flow(62).frames(100):
        await memory_log.append(ORDERS, [frame])
        await asyncio.sleep(0.001)
    await until(lambda: service.is_leading and drained(memory_log))
    words = ""
    async with asyncio.timeout(15):
        while "snapshot not written" not in words:
            await asyncio.sleep(0.01)
            words += said(capsys)
    assert "No space left" in words
    assert not list(folder.glob("*.snapshot"))
    await running.stop(service)
    assert service.engine.state_hash() == undisturbed(memory_log, service)


async def test_a_torn_newest_snapshot_leaves_the_one_before(
    memory_log: Any, running: Any, until: Any, undisturbed: Any, make_flow: Any, tmp_path: Path,
    capsys: Any,
) -> None:  # fmt: skip
    for node in (1, 2):
        service = running.start(node=node)
        for frame in make_flow(62 + node).frames(30):
            await memory_log.append(ORDERS, [frame])
        await until(lambda s=service: s.is_leading and drained(memory_log))
        await running.stop(service)
    older, newest = sorted((tmp_path / "snapshots" / "XX").glob("*.snapshot"))
    newest.write_bytes(newest.read_bytes()[:-100])
    said(capsys)
    third = running.start(node=3)
    await until(lambda: third.is_leading and drained(memory_log))
    words = said(capsys)
    assert f"snapshot restored              market=XX offset={int(older.stem)}" in words
    assert newest.name in words
    await running.stop(third)
    assert third.engine.state_hash() == undisturbed(memory_log, third)
