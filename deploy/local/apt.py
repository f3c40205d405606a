"""Debian packages, installed only where that needs no question: by root, with apt-get.

No service is started by an installation: while apt-get runs, a `policy-rc.d` that says no is in
place (unless the machine has one already).
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from deploy.local.process import LocalServerError

POLICY = Path("/usr/sbin/policy-rc.d")


def can_install() -> bool:
    """Whether `install` may work: we are root and apt-get is there."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def _apt(*arguments: str, cwd: Path | None = None) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=300", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=cwd)
    if done.returncode:
        said = (done.stdout + done.stderr).strip()[-2000:]
        raise LocalServerError(f"apt-get {' '.join(arguments)} failed:\n{said}")


@contextmanager
def _no_services() -> Iterator[None]:
    """Keep package scripts from starting services while this is open."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink(missing_ok=True)


def install(*packages: str) -> None:
    """Install Debian packages without their recommendations and without starting services.

    Raises `LocalServerError` when we are not root, apt-get is missing, or it fails.
    """
    wanted = " ".join(packages)
    if not can_install():
        raise LocalServerError(f"as root, on Debian: apt-get install {wanted}")
    with _no_services():
        _apt("update")
        _apt("install", "-y", "--no-install-recommends", *packages)


def extract(package: str, member: str, target: Path) -> None:
    """Put one file of a Debian package at `target` without installing the package.

    `member` is the file's path without the leading slash, `*` for what depends on the machine.
    Maintainer scripts do not run and dependencies are not fetched.  Needs apt-get and dpkg; root
    only to refresh the package lists.  Raises `LocalServerError` on failure.
    """
    extract_all(package, {member: target})


def extract_all(package: str, targets: Mapping[str, Path]) -> None:
    """Put several files of a Debian package, member by member, at their targets; see `extract`."""
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        raise LocalServerError(f"apt-get and dpkg are needed to unpack the package {package}")
    for target in targets.values():
        target.parent.mkdir(parents=True, exist_ok=True)
    home = next(iter(targets.values())).parent
    with tempfile.TemporaryDirectory(prefix=f"{package}-", dir=home) as name:
        work = Path(name)
        if os.geteuid() == 0:
            _apt("update")
        _apt("download", package, cwd=work)
        for archive in work.glob("*.deb"):
            done = subprocess.run(["dpkg", "-x", archive, work], capture_output=True, text=True)
            if done.returncode:
                raise LocalServerError(f"dpkg -x {archive.name}: {done.stderr.strip()}")
        for member, target in targets.items():
            found = [path for path in work.glob(member) if path.is_file()]
            if not found:
                raise LocalServerError(f"the Debian package {package} holds no {member}")
            found[0].replace(target)
