"""What is running: version, commit, lock, and whether the engine is the compiled one.

A wheel carries `build.toml`, which `deploy.reproducible` writes; a clone asks git and the lock.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import tomllib
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import msgspec

from exchange import __version__

FILE = Path(__file__).with_name("build.toml")
ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "deploy" / "requirements.txt"
GIT_TIMEOUT_S = 5
UNKNOWN = "unknown"


class Build(msgspec.Struct, frozen=True):
    """The truth about one installation."""

    version: str  # of the distribution carbon-exchange, as PEP 440 has it
    commit: str  # as `git describe` names it; `-dirty` = with changes of its own
    lock: str  # SHA-256 of deploy/requirements.txt, hex
    compiled: bool  # False: the engine is the readable reference, not for production

    def line(self) -> str:
        """In one line. O(1)."""
        engine = "compiled engine" if self.compiled else "REFERENCE engine"
        return f"carbon-exchange {self.version} ({self.commit}, lock {self.lock[:12]}, {engine})"


@cache
def this_build() -> Build:
    """What runs here. The compiled engine is looked for, not loaded."""
    is_pure = os.environ.get("MATCHING_PURE") == "1"
    compiled = not is_pure and find_spec("matching.compiled") is not None
    if FILE.is_file():
        told = tomllib.loads(FILE.read_text("utf-8"))
        return Build(__version__, str(told["commit"]), str(told["lock"]), compiled)
    lock = hashlib.sha256(LOCK.read_bytes()).hexdigest() if LOCK.is_file() else UNKNOWN
    return Build(__version__, _described(), lock, compiled)


def _described() -> str:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--tags"]
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=GIT_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return UNKNOWN
    return done.stdout.strip() or UNKNOWN
