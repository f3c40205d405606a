"""Programs are restarted with growing pauses, logged, and stopped in good order."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from deploy.local.process import has_ended
from deploy.local.supervisor import Program, Supervisor

SLEEP = "import time; print('up', flush=True); time.sleep(600)"
ASK = "import os; print(os.environ['EXCHANGE_NODE'], flush=True)"


def python(name: str, code: str, **environment: str) -> Program:
    return Program(name, [sys.executable, "-c", code], environment)


def until(holds: Callable[[], object], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def test_killed_program_comes_back(tmp_path: Path) -> None:
    venue = Supervisor([python("one", SLEEP), python("two", SLEEP)], tmp_path / "logs")
    venue.start()
    try:
        until(lambda: "up" in venue.log_tail("two"))
        killed = venue.kill("one")
        exits = []
        until(lambda: exits.extend(venue.poll()) or venue.restarts("one"))
        assert [(e.name, e.code) for e in exits] == [("one", -signal.SIGKILL)]
        assert venue.pid("one") not in (None, killed)
        assert venue.restarts("two") == 0
    finally:
        pids = [venue.pid("one"), venue.pid("two")]
        codes = venue.stop()
    assert codes == {"one": -signal.SIGTERM, "two": -signal.SIGTERM}
    assert all(pid is not None and has_ended(pid) for pid in pids)


def test_program_that_keeps_ending_waits_longer(tmp_path: Path) -> None:
    venue = Supervisor([python("ends", ASK, EXCHANGE_NODE="7")], tmp_path)
    venue.start()
    pauses = []
    until(lambda: pauses.extend(e.restart_in_s for e in venue.poll()) or len(pauses) == 3)
    assert pauses == [0.25, 0.5, 1.0]
    assert venue.stop() == {}
    assert venue.log_of("ends").read_text().split() == ["7", "7", "7"]
    assert "EXCHANGE_NODE" not in os.environ
