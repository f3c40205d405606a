"""Keeps the processes of a local venue running: starts, watches, restarts with backoff, stops.

Each program's output is appended to `<logs>/<name>.log`. The programs are tied to this process
(`process.spawn`), so that none outlives it. Synchronous: call `poll` every tenth of a second or so.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from deploy.local.process import spawn, tail

BACKOFF_S = 0.25
BACKOFF_S_MAX = 10.0
STEADY_S = 20.0  # a program that ran so long starts again without delay
STOP_S = 20.0  # then it is killed


class Program(NamedTuple):
    """One process: its name, its command line, what it gets on top of our environment."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]


class Exit(NamedTuple):
    """A program ended by itself: its exit code (negative: by that signal) and the wait ahead."""

    name: str
    code: int
    restart_in_s: float


class _Watched:
    """A program, its process, and how often it failed in a row."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.process: subprocess.Popen[bytes] | None = None
        self.started_s = 0.0
        self.due_s = 0.0
        self.failures = 0
        self.restarts = 0


class Supervisor:
    """Runs programs in the given order, and stops them in the opposite one."""

    def __init__(self, programs: Sequence[Program], logs: Path) -> None:
        self._logs = logs
        self._watched = {program.name: _Watched(program) for program in programs}

    def start(self) -> None:
        """Starts every program; OSError when no process can be made."""
        self._logs.mkdir(parents=True, exist_ok=True)
        for watched in self._watched.values():
            self._spawn(watched)

    def poll(self) -> list[Exit]:
        """Starts again what ended and is due; gives what ended since the last call."""
        now = time.monotonic()
        ended = []
        for watched in self._watched.values():
            if watched.process is not None:
                code = watched.process.poll()
                if code is not None:
                    ended.append(self._ended(watched, code, now))
            if watched.process is None and now >= watched.due_s:
                watched.restarts += 1
                self._spawn(watched)
        return ended

    def pid(self, name: str) -> int | None:
        """The process id of a program, None while it is down."""
        process = self._watched[name].process
        return process.pid if process is not None and process.poll() is None else None

    def restarts(self, name: str) -> int:
        """How often a program was started again."""
        return self._watched[name].restarts

    def kill(self, name: str) -> int:
        """SIGKILL, as a crash: `poll` starts it again. Gives the id of the killed process."""
        process = self._watched[name].process
        if process is None:
            raise LookupError(f"{name} is not running")
        process.kill()
        return process.pid

    def hold(self, name: str) -> None:
        """SIGKILL, and no start before `release`."""
        watched = self._watched[name]
        process = watched.process
        if process is not None:
            process.kill()
            process.wait()
        watched.process, watched.due_s = None, float("inf")

    def release(self, name: str) -> None:
        """Lets `poll` start a program that was held, or that waits, at once."""
        self._watched[name].due_s = 0.0

    def log_of(self, name: str) -> Path:
        """The file with a program's output."""
        return self._logs / f"{name}.log"

    def log_tail(self, name: str) -> str:
        """The end of a program's output."""
        return tail(self.log_of(name))

    def stop(self) -> dict[str, int]:
        """SIGTERM in the opposite order, SIGKILL after STOP_S; the exit code of each program."""
        codes = {}
        for name, watched in reversed(self._watched.items()):
            process = watched.process
            if process is None:
                continue
            process.send_signal(signal.SIGTERM)
            try:
                codes[name] = process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                codes[name] = process.wait()
            watched.process = None
            watched.due_s = float("inf")
        return codes

    def _spawn(self, watched: _Watched) -> None:
        program = watched.program
        settings = [f"{name}={value}" for name, value in program.environment.items()]
        watched.process = spawn(
            ["env", *settings, *program.command],
            self.log_of(program.name),
            death_signal=signal.SIGTERM,
        )
        watched.started_s = time.monotonic()

    @staticmethod
    def _ended(watched: _Watched, code: int, now: float) -> Exit:
        watched.process = None
        if now - watched.started_s >= STEADY_S:
            watched.failures = 0
        pause = min(BACKOFF_S * 2**watched.failures, BACKOFF_S_MAX)
        watched.failures += 1
        watched.due_s = now + pause
        return Exit(watched.program.name, code, pause)
