"""`exchange demo` as a user runs it: first start, Ctrl-C, second start, SIGTERM, sound books."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from exchange.database import open_database
from exchange.log import open_log
from exchange.settings import Settings
from exchange.simulation.proof import prove
from gateway.client import Client, load_key
from gateway.demo_keys import DESK, HOLDERS, key_path

PORTS = ["--port", "0", "--websocket-port", "0", "--metrics-port", "0"]
PROGRAM = "from gateway.cli import main; main()"
COMMAND = [sys.executable, "-c", PROGRAM, "demo", "--data"]
PATIENCE_S = 90.0


class Running:
    def __init__(self, process: subprocess.Popen[str], output: Path) -> None:
        self.process = process
        self._output = output

    def text(self) -> str:
        return self._output.read_text()

    def until(self, words: str) -> str:
        deadline = time.monotonic() + PATIENCE_S
        while words not in self.text():
            assert self.process.poll() is None, self.text()
            assert time.monotonic() < deadline, f"no {words!r} in:\n{self.text()}"
            time.sleep(0.1)
        return self.text()

    def end(self, number: signal.Signals) -> str:
        self.process.send_signal(number)
        assert self.process.wait(30) == 0, self.text()
        return self.text()


@contextmanager
def demo(data: Path, output: Path, *more: str) -> Iterator[Running]:
    with output.open("w") as file:
        process = subprocess.Popen(
            [*COMMAND, str(data), *PORTS, *more],
            stdout=file,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            yield Running(process, output)
        finally:
            process.kill()
            process.wait()


async def positions(data: Path) -> object:
    async with Client(load_key(key_path(data, DESK)).url, load_key(key_path(data, DESK))) as client:
        return await client.positions()


async def failed_checks(data: Path) -> list[str]:
    settings = Settings(data=data)
    log, database = open_log(settings), open_database(settings.database, data)
    await log.start()
    try:
        return [
            f"{check.name}: {check.figures}"
            for market in (0, 1)
            for check in await prove(log, database, market)
            if not check.ok
        ]
    finally:
        await log.close()
        await database.close()


def test_demo_runs_stops_cleanly_and_goes_on(tmp_path: Path) -> None:
    data = tmp_path / "demo"
    with demo(data, tmp_path / "first.txt") as first:
        said = first.until("compliance: surrendered 1,234,567 t")
        assert "a new venue" in said
        assert "surrender of 61,729 t refused" in said
        assert re.search(r"page +http://127.0.0.1:\d+/", said)
        time.sleep(2)
        before = asyncio.run(positions(data))
        said = first.end(signal.SIGINT)
    ended = re.search(r"stopped cleanly at orders offset EU (\d+), CN (\d+)", said)
    assert ended, said
    for holder in HOLDERS:
        assert key_path(data, holder).stat().st_mode & 0o777 == 0o600
    with demo(data, tmp_path / "second.txt", "--no-brokers") as second:
        said = second.until("Ctrl-C stops it")
        found = re.search(r"records of orders EU (\d+), CN (\d+); orders on the books", said)
        assert found, said
        assert int(found[1]) >= int(ended[1])
        assert "making keys" not in said
        assert asyncio.run(positions(data)) == before
        second.end(signal.SIGTERM)
    assert asyncio.run(failed_checks(data)) == []


def test_taken_port_is_a_clear_error(tmp_path: Path) -> None:
    with demo(tmp_path / "one", tmp_path / "one.txt", "--no-brokers") as one:
        said = one.until("Ctrl-C stops it")
        port = re.search(r"page +http://127.0.0.1:(\d+)/", said)
        assert port
        result = subprocess.run(
            [*COMMAND, str(tmp_path / "two"), "--port", port[1], *PORTS[2:]],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert result.returncode == 1
        assert "demo: " in result.stderr
        assert "in use" in result.stderr
        assert "Traceback" not in result.stderr
        one.end(signal.SIGINT)
