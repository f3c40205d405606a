"""`make venue` as an operator runs it: up, Ctrl-C, all stopped, and up again where it was."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deploy.local.postgres import PostgresServer
from deploy.local.process import REPO, child_pids, has_ended

COMMAND = [sys.executable, "-m", "deploy.local.venue", "--no-brokers", "--metrics-port", "0"]
PORTS = ["--port", "0", "--websocket-port", "0", "--fix-port", "0"]
UP_S = 120.0


def run_once(data: Path, output: Path) -> str:
    with output.open("w") as file:
        process = subprocess.Popen(
            [*COMMAND, *PORTS, "--data", str(data)],
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=REPO,
        )
        try:
            deadline = time.monotonic() + UP_S
            while "Ctrl-C stops everything" not in output.read_text():
                assert process.poll() is None, output.read_text()
                assert time.monotonic() < deadline, output.read_text()
                time.sleep(0.2)
            children = child_pids(process.pid)
            assert len(children) == 11  # Kafka, PostgreSQL, two engines, seven more services
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0, output.read_text()
            assert all(has_ended(pid) for pid in children)
        finally:
            process.kill()
            process.wait()
    return output.read_text()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "venue"


def test_up_down_and_up_again(data: Path, tmp_path: Path) -> None:
    try:
        first = run_once(data, tmp_path / "first.txt")
        assert "a new venue" in first
        assert re.search(r"FIX 4.4 +127.0.0.1:[1-9]\d+", first)
        assert "stopped cleanly" in first
        assert len(re.findall(r"metrics [a-zA-Z-]+ +http://127.0.0.1:\d+/metrics", first)) == 9
        second = run_once(data, tmp_path / "second.txt")
        assert "bootstrap: EU: 0 commands sent, CN: 0 commands sent" in second
        assert "a new venue" not in second
    finally:
        PostgresServer(data / "postgres").remove()
