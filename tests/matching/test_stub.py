"""What the stub says of the compiled module is true."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
ALLOWED = Path(__file__).with_name("stubtest_allowed.txt")


def test_stub_is_true() -> None:
    command = [sys.executable, "-m", "mypy.stubtest", "matching.compiled"]
    done = subprocess.run(
        [*command, "--mypy-config-file", "pyproject.toml", "--allowlist", str(ALLOWED)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
