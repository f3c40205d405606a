"""gcc with what `make instrumented` needs: libasan, libubsan and gcov."""

import shutil
import subprocess
from pathlib import Path

from deploy.local.process import LocalServerError

LIBRARIES = ("libasan.so", "libubsan.so")


def find_library(name: str) -> Path:
    """Where gcc keeps a library of its own; `LocalServerError` if it has none of that name."""
    command = ["gcc", f"-print-file-name={name}"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as error:
        raise LocalServerError("no gcc: on Debian, apt-get install gcc") from error
    if not Path(said).is_absolute():
        raise LocalServerError(f"gcc has no {name}: on Debian, apt-get install gcc")
    return Path(said)


def find_gcc() -> Path:
    """A gcc that has its sanitizers and gcov beside it; `LocalServerError` says what is missing."""
    for name in LIBRARIES:
        find_library(name)
    if not shutil.which("gcov"):
        raise LocalServerError("no gcov: on Debian, apt-get install gcc")
    return Path(shutil.which("gcc") or "gcc")
