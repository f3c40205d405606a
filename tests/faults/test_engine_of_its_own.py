"""Faults that are the engine's own: a bug in it, and a build that no venue should run."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy.local.process import REPO
from deploy.local.venue import exchange
from exchange import topics
from exchange.clock import SystemClock
from exchange.engine import EngineService
from exchange.messages.frames import Command, build_commands, command
from exchange.reference.venue import Market
from exchange.settings import Settings
from matching import Engine
from tests.exchange.conftest import MemoryLog, memory_log  # noqa: F401 - a fixture

POISON = 777  # a participant at whom the planted bug bites
WAIT_S = 30


class Buggy:
    """The engine with a planted bug: it fails at one participant's account."""

    def __init__(self) -> None:
        self._engine = Engine()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def apply(self, offset: int, time_ns: int, frame: bytes) -> bytes:
        assert POISON.to_bytes(8, "little") not in frame, "planted"
        return self._engine.apply(offset, time_ns, frame)


def frame(record: bytes) -> bytes:
    return build_commands([record], writer=1, batch=0, time_ns=1)


async def test_a_bug_stops_its_market_at_a_named_record_and_no_other(
    memory_log: MemoryLog,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = Settings(data=tmp_path, engine_tick_ms=100, engine_silence_ms=100)
    markets = [Market(code=code, partition=n, currency="EUR") for n, code in enumerate("AB")]
    engines = [
        EngineService(memory_log, market, settings, SystemClock(), engine=kind)
        for market, kind in zip(markets, (Buggy, Engine), strict=True)
    ]
    stop = asyncio.Event()
    first, second = (asyncio.create_task(engine.run(stop)) for engine in engines)
    async with asyncio.timeout(WAIT_S):
        while not all(engine.is_leading for engine in engines):
            await asyncio.sleep(0.01)
        sound = command(Command.ACCOUNT_OPEN, account_id=1, order_id=1)
        poison = command(Command.ACCOUNT_OPEN, account_id=2, order_id=POISON)
        await memory_log.append(topics.orders(0), [frame(sound)])
        (offset,) = await memory_log.append(topics.orders(0), [frame(poison)])
        with pytest.raises(AssertionError, match="planted"):
            await first
        (other,) = await memory_log.append(topics.orders(1), [frame(poison)])
        while engines[1].engine.next_offset <= other:
            await asyncio.sleep(0.01)
    said = "".join(capsys.readouterr())
    assert "engine stops: it fails at a record" in said
    assert re.search(rf'offset"?[=:] ?{offset}\b', said)  # in words, or as JSON
    assert engines[0].engine.next_offset == offset  # what comes before it is applied
    stop.set()
    await second


def test_no_venue_starts_on_the_reference_engine(tmp_path: Path) -> None:
    settings = {"MATCHING_PURE": "1", "PYTHONPATH": str(REPO), "EXCHANGE_DATA": str(tmp_path)}
    done = subprocess.run(
        exchange("engine", "--market", "EU"),
        env={**os.environ, **settings},
        cwd=REPO,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1
    assert "engine: MATCHING_PURE=1 chooses the reference engine" in done.stderr


def test_no_venue_starts_without_the_compiled_engine(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['matching.compiled'] = None; from gateway.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "engine", "--market", "EU"],
        env={**os.environ, "PYTHONPATH": str(REPO), "EXCHANGE_DATA": str(tmp_path)},
        cwd=REPO,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1
    assert "matching.compiled is not built: `pip install --editable .` builds it" in done.stderr
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(("pure", "told"), [("0", "true"), ("1", "false")])
def test_a_build_says_which_engine_it_has(pure: str, told: str) -> None:
    program = (
        "import asyncio; from exchange.health import *; "
        "asyncio.run(serve_health('127.0.0.1', 0, [])); "
        "print(HealthServer([]).answer(b'GET /metrics HTTP/1.1').body.decode())"
    )
    metrics = subprocess.check_output(
        [sys.executable, "-c", program],
        env={**os.environ, "MATCHING_PURE": pure, "PYTHONPATH": str(REPO)},
        text=True,
    )
    (line,) = (line for line in metrics.splitlines() if line.startswith("exchange_build_info{"))
    assert f'compiled="{told}"' in line
