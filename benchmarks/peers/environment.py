"""The peers' own environments, under build/: never ours."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.peers.driven import Peer

ROOT = Path(__file__).parent.parent.parent
HOME = ROOT / "build" / "benchmarks" / "peers"
INSTALL_S = 300


def interpreter(least: tuple[int, int]) -> str | None:
    """A Python that is new enough and starts; this one if it can be."""
    found = [sys.executable, *(f"python3.{minor}" for minor in range(least[1], least[1] + 3))]
    found += sorted(map(str, Path.home().glob(".pyenv/versions/3.*/bin/python")))
    test = f"import sys, venv; sys.exit(sys.version_info[:2] < {least})"
    for name in found:
        if shutil.which(name) is None:
            continue
        if subprocess.run([name, "-c", test], capture_output=True, check=False).returncode == 0:
            return name
    return None


class Environments:
    """One environment for each least Python; a peer is installed when it is first asked for."""

    def __init__(self) -> None:
        self._pythons: dict[tuple[int, int], Path | None] = {}

    def python(self, peer: Peer) -> Path:
        """The interpreter that has the peer; RuntimeError, in words, if there is none."""
        if not peer.distribution:
            return Path(sys.executable)
        if peer.python not in self._pythons:
            self._pythons[peer.python] = self._open(peer.python)
        python = self._pythons[peer.python]
        if python is None:
            raise RuntimeError("needs Python {}.{} or newer".format(*peer.python))
        name, version = peer.distribution.split("==")
        test = f"import importlib.metadata as m, sys; sys.exit(m.version({name!r}) != {version!r})"
        if subprocess.run([python, "-c", test], capture_output=True, check=False).returncode:
            self._install(python, peer)
        return python

    def _open(self, least: tuple[int, int]) -> Path | None:
        base = interpreter(least)
        if base is None:
            return None
        home = HOME / "python{}.{}".format(*least)
        python = home / "bin" / "python"
        if not python.exists():
            subprocess.run([base, "-m", "venv", "--clear", str(home)], check=True)
        return python

    def _install(self, python: Path, peer: Peer) -> None:
        command = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        command += ["--no-deps"] if peer.is_bare else []
        command += [peer.distribution, *peer.also]
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            env=environment,
            timeout=INSTALL_S,
        )
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["pip failed"])[-1]
            raise RuntimeError(f"cannot be installed: {last[:120]}")
