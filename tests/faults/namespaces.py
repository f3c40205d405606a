"""Disks and kernel namespaces of a test's own: a small disk, seen by one process or by all.

Root makes them as they are; others inside a user namespace, where the kernel lets them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.local.process import LocalServerError, spawn, tail

READY = "namespace is ready"
WAIT_S = 30.0


class Namespace:
    """A process that holds a mount namespace open, and how to run others inside."""

    def __init__(self, log: Path, script: str) -> None:
        """`script` is shell, run inside before anything else."""
        mine = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        command = ["unshare", *mine, "--mount"]
        command += ["sh", "-c", f"set -e; {script}; echo {READY}; exec sleep 3600"]
        self._log = log
        self._process = spawn(command, log, death_signal=signal.SIGKILL)
        deadline = time.monotonic() + WAIT_S
        while READY not in (log.read_text() if log.exists() else ""):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise LocalServerError(f"no namespace (root, or user namespaces): {tail(log)}")
            time.sleep(0.02)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()

    @property
    def wrap(self) -> list[str]:
        """The words before a command that is to run inside."""
        mine = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        return ["nsenter", f"--target={self._process.pid}", *mine, "--mount", "--"]

    def run(self, command: str) -> str:
        """Runs shell inside; its output."""
        done = subprocess.run(
            [*self.wrap, "sh", "-c", command], capture_output=True, text=True, check=True
        )
        return done.stdout


def small_disk(folder: Path, kib: int) -> Namespace:
    """A namespace in which `folder` is a disk of so many KiB."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = f"mount -t tmpfs -o size={kib}k none '{folder}'"
    return Namespace(folder.with_name(f"{folder.name}-disk.log"), mount)


class Disk:
    """A disk of its own, mounted where every process sees it: for root, who makes it."""

    def __init__(self, folder: Path, mib: int) -> None:
        self.folder = folder
        self._other = folder / "of-somebody-else"
        folder.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=755", "none", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise LocalServerError(f"no disk of its own (root): {done.stderr.strip()}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        subprocess.run(["umount", "--lazy", str(self.folder)], check=True)

    def fill(self) -> None:
        """To the brim, by a file of somebody else."""
        with contextlib.suppress(OSError), self._other.open("ab", buffering=0) as file:
            while True:
                file.write(bytes(1 << 16))

    def free(self) -> None:
        """That file is gone."""
        self._other.unlink()
