"""`exchange demo` as a user runs it: first start, Ctrl-C, second start, SIGTERM, sound books."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import OperationalError

import pytest
from typer.testing import CliRunner

from exchange import topics
from exchange.database import open_database
from exchange.log import open_log
from exchange.rebuild import place_of
from exchange.settings import Settings
from exchange.settlement.queries import position_of as settlement_position
from exchange.simulation.proof import prove
from gateway.cli import build
from gateway.cli.demo import program_name
from gateway.client import Client, load_key
from gateway.demo.demo_keys import DESK, HOLDERS, key_path
from gateway.demo.demonstration import LOCK_FILE

PORTS = ["--port", "0", "--websocket-port", "0", "--fix-port", "0", "--metrics-port", "0"]
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


async def behind(data: Path) -> list[str]:
    """What had not read its topic to the end when the venue stopped."""
    settings, late = Settings(data=data), list[str]()
    log, database = open_log(settings), open_database(settings.database, data)
    await log.start()
    try:
        for market in (0, 1):
            place = await place_of(database, market)
            events = await log.end(topics.events(market))
            settlements = (await settlement_position(database, market)).number
            if place != (events, settlements):
                late.append(f"{market}: {place}, not {events} and {settlements}")
    finally:
        await log.close()
        await database.close()
    return late


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


def test_its_commands_are_printed_as_they_can_be_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "exchange"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(program), "demo"])
    monkeypatch.setenv("PATH", "/usr/bin")
    assert program_name() == "bin/exchange"
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin")
    assert program_name() == "exchange"
    monkeypatch.setattr(sys, "argv", ["-c"])
    assert program_name() == "exchange"


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
    assert asyncio.run(behind(data)) == []
    assert asyncio.run(failed_checks(data)) == []
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


def test_books_that_are_locked_too_long_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run(*_: object) -> None:
        raise ExceptionGroup("", [ExceptionGroup("", [OperationalError("database is locked")])])

    monkeypatch.setattr("gateway.cli.demo._run", run)
    result = CliRunner().invoke(build(), ["demo", "--data", str(tmp_path)])
    assert (result.exit_code, result.output) == (1, "demo: database is locked\n")


def refused(data: Path, *more: str) -> str:
    """What a start that must fail says on standard error."""
    result = subprocess.run(
        [*COMMAND, str(data), *PORTS, *more],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    return result.stderr


def test_second_demo_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "demo"
    with demo(data, tmp_path / "one.txt", "--no-brokers") as one:
        one.until("Ctrl-C stops it")
        keys = {holder: key_path(data, holder).read_bytes() for holder in HOLDERS}
        said = refused(data)
        assert said.count("\n") == 1
        assert f"--data {data}: another exchange demo is running" in said
        assert {holder: key_path(data, holder).read_bytes() for holder in HOLDERS} == keys
        asyncio.run(positions(data))
        one.end(signal.SIGINT)


@pytest.mark.parametrize("option", ["--port", "--websocket-port", "--fix-port", "--metrics-port"])
def test_taken_port_is_told_before_anything_is_made(tmp_path: Path, option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refused(tmp_path / "demo", option, str(port))
    assert said.count("\n") == 1
    assert said.startswith(f"demo: {option} {port}: Address already in use;")
    assert [path.name for path in (tmp_path / "demo").iterdir()] == [LOCK_FILE]


def test_one_port_for_two_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    said = refused(tmp_path / "demo", "--port", port, "--metrics-port", port)
    assert said.startswith(f"demo: --metrics-port {port}: Address already in use;")


@pytest.mark.parametrize("option", ["--port", "--websocket-port", "--fix-port", "--metrics-port"])
@pytest.mark.parametrize("number", ["-1", "65536"])
def test_impossible_port_is_a_usage_error(option: str, number: str) -> None:
    result = CliRunner().invoke(build(), ["demo", option, number])
    assert result.exit_code == 2
    assert "Invalid value" in result.output


def test_unknown_log_level_and_file_for_folder_are_one_line_errors(tmp_path: Path) -> None:
    said = refused(tmp_path / "demo", "--log-level", "foo")
    assert said == "demo: --log-level foo: must be one of debug, info, warning, error\n"
    assert not (tmp_path / "demo").exists()
    file = tmp_path / "file"
    file.touch()
    for data in (file, file / "below"):
        assert refused(data) == f"demo: --data {data}: there is a file; name a folder\n"
