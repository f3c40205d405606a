"""Programs that some tests drive: a Chromium browser and Prometheus's server and promtool.

Chromium run by root needs `--no-sandbox`.
"""

import shutil
import subprocess
from pathlib import Path

from deploy.local import apt
from deploy.local.process import CACHE, LocalServerError

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def _runs(program: Path) -> bool:
    """Whether the program starts and tells its version."""
    try:
        done = subprocess.run([program, "--version"], capture_output=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _on_path(*names: str) -> Path | None:
    for name in names:
        if (found := shutil.which(name)) and _runs(Path(found)):
            return Path(found)
    return None


def find_chromium(install: bool = True) -> Path:
    """A Chromium or Chrome that runs: on PATH, else installed with apt-get by root.

    `install=False` only looks.  Raises `LocalServerError` that says how to get one.
    """
    if found := _on_path(*BROWSERS):
        return found
    if install and apt.can_install():
        apt.install("chromium")
        if found := _on_path(*BROWSERS):
            return found
    raise LocalServerError(
        f"no browser ({', '.join(BROWSERS)}) on PATH: apt-get install chromium "
        "(Debian package 'chromium')"
    )


def _of_prometheus(name: str, install: bool) -> Path:
    if found := _on_path(name):
        return found
    program = CACHE / "bin" / name
    if _runs(program):
        return program
    if install and shutil.which("apt-get"):
        apt.extract("prometheus", f"usr/bin/{name}", program)
        if _runs(program):
            return program
    raise LocalServerError(
        f"{name} is not on PATH: apt-get install prometheus (Debian package 'prometheus')"
    )


def find_promtool(install: bool = True) -> Path:
    """promtool that runs: on PATH, in `.local`, else taken from Debian's package.

    Only that file is taken out of the package, so no Prometheus service comes with it.
    `install=False` only looks.  Raises `LocalServerError` that says how to get one.
    """
    return _of_prometheus("promtool", install)


def find_prometheus(install: bool = True) -> Path:
    """The Prometheus server, found or taken as `find_promtool` does it."""
    return _of_prometheus("prometheus", install)
